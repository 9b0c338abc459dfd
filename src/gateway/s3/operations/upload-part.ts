import { checksumHeaders, DEFAULT_CHECKSUM, readChecksumClaim } from '../checksums.ts'
import { S3Error } from '../codes.ts'
import { readPartNumber, required } from '../numbers.ts'
import { operation } from '../operation.ts'
import { refuseUnsupportedHeaders } from '../unsupported.ts'

export const uploadPart = operation({
  name: 'UploadPart',
  on: 'object',
  needs: 'write',
  read: ({ bucket, key, query, headers }) => {
    refuseUnsupportedHeaders(headers)
    return {
      bucket,
      path: key,
      uploadId: required('uploadId', query.get('uploadId')),
      number: readPartNumber(required('partNumber', query.get('partNumber'))) ?? 0,
      claimed: readChecksumClaim(headers)?.algorithm,
    }
  },
  run: async ({ bucket, path, uploadId, number, claimed }, context) => {
    const at = await context.branch(bucket)
    // Asked before the body is taken: a part of an upload that is gone is not worth receiving.
    const upload = await context.versioning.uploads.get(at, path, uploadId)
    const algorithm = upload.checksumAlgorithm
    if (algorithm && claimed && algorithm !== claimed) {
      throw new S3Error(
        'InvalidRequest',
        `Checksum Type mismatch occurred, expected checksum Type: ${algorithm.toLowerCase()}, actual checksum Type: ${claimed.toLowerCase()}`,
      )
    }
    const { staged, md5, checksum } = await context.receive(at, { checksum: algorithm ?? DEFAULT_CHECKSUM })
    const part = { number, staged, md5, ...(checksum ? { checksum } : {}) }
    await context.versioning.uploads.putPart(at, path, uploadId, part)
    return { md5, checksum }
  },
  write: ({ md5, checksum }) => {
    const { 'x-amz-checksum-type': _type, ...headers } = checksumHeaders(checksum)
    return { status: 200, headers: { ETag: `"${md5}"`, ...headers } }
  },
})
