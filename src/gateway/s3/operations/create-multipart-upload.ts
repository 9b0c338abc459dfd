import type { Checksum } from '../../../versioning/index.ts'
import { admitSharing, readCannedAcl } from '../acl.ts'
import { readAttributes } from '../attributes.ts'
import { algorithms, type ChecksumAlgorithm, readAlgorithm } from '../checksums.ts'
import { S3Error } from '../codes.ts'
import { operation, type ReplyHeaders } from '../operation.ts'
import type { RequestHeaders } from '../request.ts'
import { readTaggingHeader } from '../tagging.ts'
import { refuseUnsupportedHeaders, UNSUPPORTED_ON_WRITE } from '../unsupported.ts'
import { document, leaf } from '../xml.ts'

export const createMultipartUpload = operation({
  name: 'CreateMultipartUpload',
  on: 'object',
  partly: UNSUPPORTED_ON_WRITE,
  needs: 'write',
  read: ({ bucket, key, headers }) => {
    refuseUnsupportedHeaders(headers)
    return {
      bucket,
      path: key,
      attributes: readAttributes(headers),
      checksum: readUploadChecksum(headers),
      tags: readTaggingHeader(headers['x-amz-tagging']),
      access: readCannedAcl(headers),
    }
  },
  run: async ({ bucket, path, attributes, checksum, tags, access }, context) => {
    await admitSharing(context, bucket.repo, access)
    const at = await context.branch(bucket)
    const upload = await context.versioning.uploads.create(at, {
      path,
      attributes,
      author: context.caller.name,
      initiator: context.caller.canonicalId,
      ...(tags ? { tags } : {}),
      ...(access ? { access } : {}),
      ...(checksum ? { checksumAlgorithm: checksum.algorithm, checksumType: checksum.type } : {}),
    })
    return { bucket, upload }
  },
  write: ({ bucket, upload }) => {
    const headers: ReplyHeaders = { 'Content-Type': 'application/xml' }
    if (upload.checksumAlgorithm) headers['x-amz-checksum-algorithm'] = upload.checksumAlgorithm
    if (upload.checksumType) headers['x-amz-checksum-type'] = upload.checksumType
    return {
      status: 200,
      headers,
      body: document(
        'InitiateMultipartUploadResult',
        leaf('Bucket', bucket.text),
        leaf('Key', upload.path),
        leaf('UploadId', upload.id),
      ),
    }
  },
})

function readUploadChecksum(
  headers: RequestHeaders,
): { algorithm: ChecksumAlgorithm; type: Checksum['type'] } | undefined {
  const algorithmText = headers['x-amz-checksum-algorithm']
  const typeText = headers['x-amz-checksum-type']?.toUpperCase()
  if (algorithmText === undefined) {
    if (typeText === undefined) return undefined
    throw new S3Error(
      'InvalidRequest',
      'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
    )
  }
  const algorithm = readAlgorithm(algorithmText, 'x-amz-checksum-algorithm')
  const { types } = algorithms[algorithm]
  const type = typeText === undefined ? types[0] : types.find((known) => known === typeText)
  if (type) return { algorithm, type }
  throw new S3Error(
    'InvalidRequest',
    `The ${typeText} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm: use ${types.join(' or ')}`,
  )
}
