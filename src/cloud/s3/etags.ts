import type { Place } from './errors.ts'
import { notAnObject } from './errors.ts'

/** How an object is encrypted, as S3 says it. */
export interface Encryption {
  readonly ServerSideEncryption?: string | undefined
  readonly SSECustomerAlgorithm?: string | undefined
}

/** Far above any store's; ten thousand parts have one each. */
const MAX_ETAG_CHARACTERS = 1024

/** Without quotes. Every store of this kind says one: an answer without is somebody else's (a proxy's page, another service). */
export function etagOf(etag: string | undefined, place: Place): string {
  const bare = (etag ?? '').replace(/^"(.*)"$/, '$1')
  if (bare === '' || bare.length > MAX_ETAG_CHARACTERS) throw notAnObject(place)
  return bare
}

/**
 * The MD5 of an object's content, where its ETag is sure to be it. Amazon says when it is not: objects made of parts (`…-3`), encrypted
 * by KMS or by keys of the customer's, and those of directory buckets. (AWS: "Checking object integrity", "Object".)
 */
export function surelyMd5(etag: string, encryption: Encryption, bucket: string): string | undefined {
  const { ServerSideEncryption: by = 'AES256', SSECustomerAlgorithm: customer } = encryption
  const isMd5 = /^[0-9a-f]{32}$/.test(etag) && by === 'AES256' && !customer && !bucket.endsWith('--x-s3')
  return isMd5 ? etag : undefined
}
