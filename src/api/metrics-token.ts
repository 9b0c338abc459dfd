import { hash, timingSafeEqual } from 'node:crypto'
import { SignatureError } from '../kernel/index.ts'

/**
 * Whether a request to the metrics carries the configured bearer token; false if it carries none. Compared in constant time, whatever
 * its length. Throws SignatureError for another token.
 */
export function carriesToken(authorization: string | undefined, token: string | undefined): boolean {
  const given = /^Bearer +(.+)$/i.exec(authorization ?? '')?.[1]
  if (given === undefined) return false
  if (token !== undefined && timingSafeEqual(hash('sha256', given, 'buffer'), hash('sha256', token, 'buffer'))) {
    return true
  }
  throw new SignatureError(
    'MissingAuthentication',
    'the bearer token is not the one of SLUICE_METRICS_TOKEN: send that one, or sign the request with an administrator key',
  )
}
