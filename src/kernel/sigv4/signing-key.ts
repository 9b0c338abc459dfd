import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'

/** Signing keys change with the day, the region and the access key; this many are kept. */
const MAX_CACHED_KEYS = 1000

interface Cached {
  readonly secret: string
  /** A key object: with a buffer each HMAC would cost seven times as much. */
  readonly key: KeyObject
}
const cache = new Map<string, Cached>()

export interface Scope {
  /** `20130524` */
  readonly date: string
  readonly region: string
  readonly service: string
}

export const ALGORITHM = 'AWS4-HMAC-SHA256'

export function scopeText(scope: Scope): string {
  return `${scope.date}/${scope.region}/${scope.service}/aws4_request`
}

/** The key of one day, region and service, derived as SigV4 says. `remember` keeps it: only for requests that were verified. */
export function signingKey(accessKeyId: string, secret: string, scope: Scope): { key: KeyObject; remember(): void } {
  const name = `${scopeText(scope)}/${accessKeyId}`
  const known = cache.get(name)
  if (known && known.secret === secret) return { key: known.key, remember: alreadyKnown }
  const dateKey = hmac(`AWS4${secret}`, scope.date)
  const key = createSecretKey(hmac(hmac(hmac(dateKey, scope.region), scope.service), 'aws4_request'))
  return { key, remember: () => remember(name, { secret, key }) }
}

function alreadyKnown(): void {}

function remember(name: string, entry: Cached): void {
  if (cache.size >= MAX_CACHED_KEYS) {
    for (const oldest of cache.keys()) {
      cache.delete(oldest)
      break
    }
  }
  cache.set(name, entry)
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

export function hmacHex(key: KeyObject, text: string): string {
  return createHmac('sha256', key).update(text).digest('hex')
}

/** The string to sign of a request: its canonical form hashed, under its time and scope. */
export function requestSignature(key: KeyObject, dateTime: string, scope: Scope, canonicalRequest: string): string {
  return hmacHex(key, `${ALGORITHM}\n${dateTime}\n${scopeText(scope)}\n${sha256OfHeaderText(canonicalRequest)}`)
}

/** Node hands header bytes over as Latin-1, and the client signed the bytes. */
function sha256OfHeaderText(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: "is it ASCII" is exactly the question here
  return hash('sha256', /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, 'latin1'), 'hex')
}
