import { bodyDigest } from '../../../kernel/index.ts'
import type { Checksum, ContentStore, Entry } from '../../../versioning/index.ts'
import { admitSharing, readCannedAcl } from '../acl.ts'
import { readAttributes } from '../attributes.ts'
import { algorithms, type ChecksumAlgorithm, fullObject, readAlgorithm } from '../checksums.ts'
import { S3Error } from '../codes.ts'
import { readWriteConditions } from '../conditions.ts'
import { openCopySource, readCopySource } from '../copy-source.ts'
import { operation } from '../operation.ts'
import { readTaggingHeader } from '../tagging.ts'
import { refuseUnsupportedHeaders, UNSUPPORTED_ON_WRITE } from '../unsupported.ts'
import { commitHeaders, copiedVersionHeader, newVersionHeader } from '../write-headers.ts'
import { document, leaf, xmlTime } from '../xml.ts'

export const copyObject = operation({
  name: 'CopyObject',
  on: 'object',
  partly: UNSUPPORTED_ON_WRITE,
  needs: 'write',
  read: ({ bucket, key, headers }) => {
    refuseUnsupportedHeaders(headers)
    const directive = headers['x-amz-metadata-directive'] ?? 'COPY'
    if (directive !== 'COPY' && directive !== 'REPLACE') {
      throw new S3Error('InvalidArgument', 'Unknown metadata directive.', { ArgumentName: 'x-amz-metadata-directive' })
    }
    const tagging = headers['x-amz-tagging-directive'] ?? 'COPY'
    if (tagging !== 'COPY' && tagging !== 'REPLACE') {
      throw new S3Error('InvalidArgument', 'Unknown tagging directive.', { ArgumentName: 'x-amz-tagging-directive' })
    }
    const source = readCopySource(headers)
    const algorithm = headers['x-amz-checksum-algorithm']
    if (
      source.bucket.text === bucket.text &&
      source.path === key &&
      directive === 'COPY' &&
      tagging === 'COPY' &&
      !source.version
    ) {
      throw new S3Error(
        'InvalidRequest',
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, " +
          'storage class, website redirect location or encryption attributes.',
      )
    }
    return {
      bucket,
      path: key,
      source,
      attributes: directive === 'REPLACE' ? readAttributes(headers) : undefined,
      tags: tagging === 'REPLACE' ? (readTaggingHeader(headers['x-amz-tagging']) ?? []) : undefined,
      algorithm: algorithm === undefined ? undefined : readAlgorithm(algorithm, 'x-amz-checksum-algorithm'),
      access: readCannedAcl(headers),
      conditions: readWriteConditions(headers),
    }
  },
  run: async (input, context) => {
    await admitSharing(context, input.bucket.repo, input.access)
    const { entry, info } = await openCopySource(input.source, context)
    const at = await context.branch(input.bucket)
    const checksum = await checksumOfCopy(entry, input.algorithm, context.versioning.content)
    const result = await context.versioning.copy(at, input.path, {
      source: entry,
      attributes: input.attributes ?? entry.attributes,
      author: context.caller.name,
      tags: input.tags ?? (await context.versioning.tags.of(entry.version)),
      ...(checksum ? { checksum } : {}),
      ...(input.access ? { access: input.access } : {}),
      ...(input.conditions ? { conditions: input.conditions } : {}),
    })
    return { at, result, entry, info, checksum }
  },
  write: ({ at, result, entry, info, checksum }) => ({
    status: 200,
    headers: {
      'Content-Type': 'application/xml',
      ...newVersionHeader(result),
      ...copiedVersionHeader({ entry, info }),
      ...commitHeaders(at, result.commit),
    },
    body: document(
      'CopyObjectResult',
      leaf('LastModified', xmlTime(result.modifiedMs)),
      leaf('ETag', `"${entry.etag}"`),
      ...checksumElements(checksum),
    ),
  }),
})

/** The source's own, unless another algorithm is asked for: then its bytes are read once more, but never moved. */
async function checksumOfCopy(
  entry: Entry,
  algorithm: ChecksumAlgorithm | undefined,
  content: ContentStore,
): Promise<Checksum | undefined> {
  if (algorithm === undefined || entry.checksum?.algorithm === algorithm) return entry.checksum
  const { digest: name } = algorithms[algorithm]
  const digest = bodyDigest([name], { expectedBytes: entry.size })
  let ended = false
  try {
    for await (const bytes of content.read(entry.content)) await digest.update(bytes as Buffer)
    ended = true
    const value = (await digest.digest()).get(name)
    return value && fullObject(algorithm, value)
  } catch (error) {
    if (!ended) digest.abandon()
    throw error
  }
}

function checksumElements(checksum: Checksum | undefined): string[] {
  if (!checksum) return []
  return [leaf(algorithms[checksum.algorithm].element, checksum.value), leaf('ChecksumType', checksum.type)]
}
