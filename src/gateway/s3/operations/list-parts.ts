import { algorithms } from '../checksums.ts'
import { invalidArgument } from '../codes.ts'
import { uploadOwnerElements } from '../listing.ts'
import { readPageSize, required } from '../numbers.ts'
import { operation } from '../operation.ts'
import { document, leaf, node, xmlTime } from '../xml.ts'

export const listParts = operation({
  name: 'ListParts',
  on: 'object',
  needs: 'read',
  parameters: ['max-parts', 'part-number-marker', 'encoding-type'],
  read: ({ bucket, key, query }) => ({
    bucket,
    path: key,
    uploadId: required('uploadId', query.get('uploadId')),
    limit: readPageSize('max-parts', query.get('max-parts')),
    after: readMarker(query.get('part-number-marker')),
  }),
  run: async (input, context) => {
    const at = await context.branch(input.bucket)
    const { uploads } = context.versioning
    const upload = await uploads.get(at, input.path, input.uploadId)
    const page =
      input.limit === 0
        ? { parts: [], truncated: false }
        : await uploads.listParts(at, input.path, input.uploadId, { after: input.after, limit: input.limit })
    return { input, upload, page, owner: await context.ownerOf(at.repo) }
  },
  write: ({ input, upload, page, owner }) => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml' },
    body: document(
      'ListPartsResult',
      leaf('Bucket', input.bucket.text),
      leaf('Key', input.path),
      leaf('UploadId', input.uploadId),
      uploadOwnerElements(upload, owner),
      leaf('StorageClass', 'STANDARD'),
      leaf('PartNumberMarker', input.after),
      // Only where there is more, as AWS documents it: the paginators of several SDKs go on for as long as they are given one.
      leaf('NextPartNumberMarker', page.truncated ? page.parts.at(-1)?.number : undefined),
      leaf('MaxParts', input.limit),
      leaf('IsTruncated', page.truncated),
      leaf('ChecksumAlgorithm', upload.checksumAlgorithm),
      leaf('ChecksumType', upload.checksumType),
      ...page.parts.map((part) =>
        node(
          'Part',
          leaf('PartNumber', part.number),
          leaf('LastModified', xmlTime(part.modifiedMs)),
          leaf('ETag', `"${part.md5}"`),
          leaf('Size', part.size),
          part.checksum ? leaf(algorithms[part.checksum.algorithm].element, part.checksum.value) : '',
        ),
      ),
    ),
  }),
})

function readMarker(text: string | undefined): number {
  if (text === undefined || text === '') return 0
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw invalidArgument(
    'part-number-marker',
    text.slice(0, 100),
    'Provided part-number-marker not an integer or within integer range',
  )
}
