import { generateKeyPairSync, type KeyObject, verify } from 'node:crypto'
import type { GcsCredentials } from '../credentials.ts'

/** A service account that exists in tests only. */
export interface TestAccount {
  readonly credentials: GcsCredentials
  readonly publicKey: KeyObject
}

export function makeAccount(clientEmail = 'pusher@tests.iam.gserviceaccount.com'): TestAccount {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  return { credentials: { kind: 'gcs', clientEmail, privateKey: pem, privateKeyId: 'key-1' }, publicKey }
}

const SCOPES = ['devstorage.read_write', 'devstorage.full_control', 'cloud-platform'].map(
  (name) => `https://www.googleapis.com/auth/${name}`,
)
const MAX_SKEW_S = 300

/**
 * What is wrong with a request's Authorization, if anything: a self-signed token has to be signed by the account's key (RS256),
 * be of this account, for a scope of storage or for the service itself, and live for an hour at most (Google: "Using OAuth 2.0
 * for server to server applications", the addendum on authorization without OAuth).
 */
export function tokenProblem(header: string | undefined, account: TestAccount, nowMs: number): string | undefined {
  const token = /^Bearer (\S+)$/.exec(header ?? '')?.[1]
  if (token === undefined) return 'Anonymous caller does not have access'
  const [head = '', claims = '', signature = ''] = token.split('.')
  const { alg, kid } = decode(head)
  if (alg !== 'RS256') return `the algorithm is ${String(alg)}`
  if (kid !== account.credentials.privateKeyId) return `the key is ${String(kid)}`
  const signed = Buffer.from(`${head}.${claims}`)
  if (!verify('RSA-SHA256', signed, account.publicKey, Buffer.from(signature, 'base64url'))) return 'Invalid signature'
  const { iss, sub, scope, aud, iat, exp } = decode(claims)
  if (iss !== account.credentials.clientEmail || sub !== iss) return `issued by ${String(iss)} for ${String(sub)}`
  if (aud === undefined ? !SCOPES.includes(String(scope)) : aud !== 'https://storage.googleapis.com/') {
    return `for the scope ${String(scope)} and the audience ${String(aud)}`
  }
  const now = nowMs / 1000
  const [from, until] = [Number(iat), Number(exp)]
  if (!(from <= now + MAX_SKEW_S && now < until && until - from <= 3600)) return 'Token expired or not yet valid'
  return undefined
}

function decode(part: string): Record<string, unknown> {
  try {
    return JSON.parse(Buffer.from(part, 'base64url').toString('utf8')) as Record<string, unknown>
  } catch {
    // What is no token has no claims.
    return {}
  }
}
