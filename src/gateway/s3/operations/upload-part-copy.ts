import { bodyDigest, type DigestName, MAX_PUT_BYTES } from '../../../kernel/index.ts'
import type { ByteRange, ContentStore, Entry } from '../../../versioning/index.ts'
import { algorithms, type ChecksumAlgorithm, DEFAULT_CHECKSUM, fullObject } from '../checksums.ts'
import { invalidArgument, S3Error } from '../codes.ts'
import { openCopySource, readCopySource } from '../copy-source.ts'
import { readPartNumber, required } from '../numbers.ts'
import { operation, type ReceivedContent } from '../operation.ts'
import { copiedVersionHeader } from '../write-headers.ts'
import { document, leaf, xmlTime } from '../xml.ts'

export const uploadPartCopy = operation({
  name: 'UploadPartCopy',
  on: 'object',
  needs: 'write',
  read: ({ bucket, key, query, headers }) => ({
    bucket,
    path: key,
    uploadId: required('uploadId', query.get('uploadId')),
    number: readPartNumber(required('partNumber', query.get('partNumber'))) ?? 0,
    source: readCopySource(headers),
    range: readCopyRange(headers['x-amz-copy-source-range']),
  }),
  run: async ({ bucket, path, uploadId, number, source, range }, context) => {
    const { entry, info } = await openCopySource(source, context)
    const at = await context.branch(bucket)
    const upload = await context.versioning.uploads.get(at, path, uploadId)
    const wanted = range ?? { start: 0, end: entry.size }
    if (wanted.end > entry.size) {
      throw new S3Error('InvalidRange', `Range specified is not valid for source object of size: ${entry.size}`, {
        ActualObjectSize: String(entry.size),
      })
    }
    if (wanted.end - wanted.start > MAX_PUT_BYTES) {
      throw new S3Error(
        'InvalidRequest',
        'The specified copy source is larger than the maximum allowable size for a part',
      )
    }
    const algorithm = upload.checksumAlgorithm ?? DEFAULT_CHECKSUM
    const { staged, md5, checksum } =
      wholeObject(entry, wanted, algorithm) ?? (await copyBytes(context.versioning.content, entry, wanted, algorithm))
    const part = await context.versioning.uploads.putPart(at, path, uploadId, {
      number,
      staged,
      md5,
      ...(checksum ? { checksum } : {}),
    })
    return { entry, info, part, checksum }
  },
  write: ({ entry, info, part, checksum }) => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml', ...copiedVersionHeader({ entry, info }) },
    body: document(
      'CopyPartResult',
      leaf('LastModified', xmlTime(part.modifiedMs)),
      leaf('ETag', `"${part.md5}"`),
      checksum ? leaf(algorithms[checksum.algorithm].element, checksum.value) : '',
    ),
  }),
})

/** An object that becomes a part as it is: everything about its bytes is known, and none of them is read. */
function wholeObject(
  entry: Entry,
  range: ByteRange,
  algorithm: ChecksumAlgorithm,
): Pick<ReceivedContent, 'staged' | 'md5' | 'checksum'> | undefined {
  const { size, content, etag, checksum, parts } = entry
  const known = checksum?.algorithm === algorithm && checksum.type === 'FULL_OBJECT'
  // Of an object that was made of parts itself, the ETag is not the MD5.
  if (!known || parts !== undefined || !/^[0-9a-f]{32}$/.test(etag)) return undefined
  if (range.start !== 0 || range.end !== size) return undefined
  const relies = content.kind === 'inline' ? [] : [content.sha256]
  return { staged: { size, content, chunks: [], relies, copied: true }, md5: etag, checksum }
}

/** A part begins where it likes, so its bytes are cut anew; pieces that are there already are not stored twice. */
async function copyBytes(
  content: ContentStore,
  entry: Entry,
  range: ByteRange,
  algorithm: ChecksumAlgorithm,
): Promise<Pick<ReceivedContent, 'staged' | 'md5' | 'checksum'>> {
  const size = range.end - range.start
  const names: DigestName[] = ['md5', algorithms[algorithm].digest]
  const digest = bodyDigest(names, { expectedBytes: size })
  const writer = content.writer({ expectedBytes: size })
  let digestEnded = false
  let writerEnded = false
  try {
    if (size > 0) {
      for await (const piece of content.read(entry.content, range)) {
        await Promise.all([digest.update(piece as Buffer), writer.write(piece as Buffer)])
      }
    }
    digestEnded = true
    const digests = await digest.digest()
    writerEnded = true
    const staged = await writer.finish()
    const value = digests.get(algorithms[algorithm].digest)
    const md5 = digests.get('md5')?.toString('hex') ?? ''
    return { staged, md5, ...(value ? { checksum: fullObject(algorithm, value) } : {}) }
  } catch (error) {
    if (!digestEnded) digest.abandon()
    if (!writerEnded) await writer.abort()
    throw error
  }
}

/** `bytes=first-last`, both given: a copy has no other form. */
function readCopyRange(text: string | undefined): ByteRange | undefined {
  if (text === undefined) return undefined
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(text)
  const range = match && { start: Number(match[1]), end: Number(match[2]) + 1 }
  if (range && range.start < range.end) return range
  throw invalidArgument(
    'x-amz-copy-source-range',
    text.slice(0, 100),
    'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
  )
}
