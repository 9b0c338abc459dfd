import { createPrivateKey } from 'node:crypto'
import { readEndpoint } from './endpoint.ts'
import type { CheckedSecret, SecretParts } from './parts.ts'

/** Of the key file only what signs is kept: where tokens would be asked for is not for a file to say. */
export function readGcs(parts: SecretParts, problems: string[]): CheckedSecret | undefined {
  const endpoint = readEndpoint(parts.endpoint, problems)
  const file = readKeyFile(parts.serviceAccount)
  if (typeof file === 'string') {
    problems.push(file)
    return undefined
  }
  const { type, client_email: email, private_key: key, private_key_id: keyId, universe_domain: universe } = file
  if (type !== 'service_account') {
    problems.push(
      'its key file is not that of a service account (its type is not service_account): make one with gcloud iam service-accounts keys create',
    )
  }
  if (typeof email !== 'string' || !/^[\x21-\x7e]{1,256}$/.test(email) || !email.includes('@')) {
    problems.push('its key file has no client_email')
  }
  if (universe !== undefined && universe !== 'googleapis.com') {
    problems.push('its key file is for another cloud than googleapis.com (universe_domain), which is not supported')
  }
  const pem = typeof key === 'string' ? normalKey(key) : undefined
  if (pem === undefined) problems.push('its key file has no private_key that is an RSA key in PEM')
  if (typeof email !== 'string' || pem === undefined) return undefined
  const privateKeyId = typeof keyId === 'string' && /^[\x21-\x7e]{1,128}$/.test(keyId) ? keyId : undefined
  return {
    kind: 'gcs',
    identity: email,
    sealed: pem,
    ...(endpoint ? { endpoint } : {}),
    details: privateKeyId === undefined ? {} : { privateKeyId },
  }
}

/** The key file's fields, or what is wrong with it. JSON's own errors quote the text, and are not passed on. */
function readKeyFile(text: string | undefined): Readonly<Record<string, unknown>> | string {
  if (text === undefined) return 'it lacks serviceAccount: the JSON key file of a service account'
  try {
    const file = JSON.parse(text) as unknown
    if (typeof file === 'object' && file !== null && !Array.isArray(file)) return file as Record<string, unknown>
    return 'its key file is not a JSON object'
  } catch {
    // What it is instead may be the key itself.
    return 'its key file is not JSON'
  }
}

function normalKey(pem: string): string | undefined {
  try {
    const key = createPrivateKey(pem)
    return key.asymmetricKeyType === 'rsa' ? (key.export({ type: 'pkcs8', format: 'pem' }) as string) : undefined
  } catch {
    // The answer: it is no key.
    return undefined
  }
}
