import { S3Error } from './codes.ts'
import type { RequestHeaders } from './request.ts'

/** For the compatibility table: what the headers below ask for. */
export const UNSUPPORTED_ON_WRITE =
  'no encryption by request, no object lock, no website redirect, no grants, no storage class but STANDARD'

/** Headers that ask for something that is not there. To ignore one would be to promise it. */
const refused: readonly string[] = [
  'x-amz-website-redirect-location',
  'x-amz-server-side-encryption',
  'x-amz-server-side-encryption-aws-kms-key-id',
  'x-amz-server-side-encryption-context',
  'x-amz-server-side-encryption-customer-algorithm',
  'x-amz-server-side-encryption-customer-key',
  'x-amz-copy-source-server-side-encryption-customer-algorithm',
  'x-amz-object-lock-mode',
  'x-amz-object-lock-retain-until-date',
  'x-amz-object-lock-legal-hold',
  'x-amz-grant-full-control',
  'x-amz-grant-read',
  'x-amz-grant-read-acp',
  'x-amz-grant-write',
  'x-amz-grant-write-acp',
  'x-amz-write-offset-bytes',
  'x-amz-mfa',
  'x-amz-bypass-governance-retention',
]
const refusedSet = new Set(refused)

/** Throws NotImplemented that names the header, for what a write or a new bucket may ask for in vain. */
export function refuseUnsupportedHeaders(headers: RequestHeaders): void {
  for (const name in headers) {
    if (!name.startsWith('x-amz-')) continue
    if (refusedSet.has(name)) throw notImplemented(name)
  }
  const storageClass = headers['x-amz-storage-class']
  if (storageClass !== undefined && storageClass !== 'STANDARD') {
    throw new S3Error('InvalidStorageClass', 'The storage class you specified is not valid: there is only STANDARD')
  }
}

function notImplemented(header: string): S3Error {
  return new S3Error(
    'NotImplemented',
    `A header you provided implies functionality that is not implemented: ${header}`,
    { Header: header },
  )
}
