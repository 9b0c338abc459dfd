import { digestOnce, MAX_PARTS } from '../../kernel/index.ts'
import type {
  BranchAddress,
  Checksum,
  PartInfo,
  Path,
  UploadInfo,
  Uploads,
  WriteConditions,
} from '../../versioning/index.ts'
import type { Bucket } from './addressing.ts'
import { crcCombiner, isCombinable } from './body/crc-combine.ts'
import { algorithmNames, algorithms, type ChecksumAlgorithm, DEFAULT_CHECKSUM, fullObject } from './checksums.ts'
import { invalidArgument, S3Error } from './codes.ts'
import { readWriteConditions, stripQuotes } from './conditions.ts'
import { orElse } from './find-entry.ts'
import { required } from './numbers.ts'
import type { Context } from './operation.ts'
import type { ObjectRequest, RequestHeaders } from './request.ts'
import { malformed, readXml, type XmlElement } from './xml-read.ts'

interface NamedPart {
  readonly number: number
  readonly etag: string
  /** As the client says it, base64. */
  readonly checksums: ReadonlyMap<ChecksumAlgorithm, string>
}

export interface CompleteInput {
  readonly bucket: Bucket
  readonly path: Path
  readonly uploadId: string
  readonly parts: readonly NamedPart[]
  readonly conditions: WriteConditions | undefined
  /** What the whole object should come to, where the client says so. */
  readonly expected: {
    readonly size: number | undefined
    readonly type: string | undefined
    readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string } | undefined
  }
}

const LIST_PAGE = 1000

export function readCompleteInput({ bucket, key, query, headers }: ObjectRequest, bytes: Buffer): CompleteInput {
  if (bytes.length === 0) throw malformed('it is empty: name at least one part')
  // Some clients send the answer's element instead of the request's.
  const root = readXml(bytes, 'CompleteMultipartUpload', 'CompleteMultipartUploadResult')
  const parts = root.children('Part')
  if (parts.length === 0) throw malformed('it names no part')
  if (parts.length > MAX_PARTS) throw malformed(`it may name at most ${MAX_PARTS} parts`)
  const named: NamedPart[] = []
  for (const part of parts.map(readPart)) {
    const before = named.at(-1)
    // A client that sent a part again may name it again: as with the part itself, the last one counts.
    if (before?.number === part.number) named.pop()
    else if (before && part.number < before.number) {
      throw new S3Error(
        'InvalidPartOrder',
        'The list of parts was not in ascending order. Parts must be ordered by part number.',
      )
    }
    named.push(part)
  }
  return {
    bucket,
    path: key,
    uploadId: required('uploadId', query.get('uploadId')),
    parts: named,
    conditions: readWriteConditions(headers),
    expected: {
      size: readObjectSize(headers['x-amz-mp-object-size']),
      type: headers['x-amz-checksum-type']?.toUpperCase(),
      checksum: readObjectChecksum(headers),
    },
  }
}

function readPart(part: XmlElement): NamedPart {
  const number = part.child('PartNumber')?.text.trim() ?? ''
  const etag = part.child('ETag')?.text.trim()
  if (!/^\d{1,5}$/.test(number) || etag === undefined) throw malformed('a Part needs PartNumber and ETag')
  const checksums = new Map<ChecksumAlgorithm, string>()
  for (const algorithm of algorithmNames) {
    const value = part.child(algorithms[algorithm].element)?.text.trim()
    if (value) checksums.set(algorithm, value)
  }
  return { number: Number(number), etag: stripQuotes(etag), checksums }
}

function readObjectSize(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw invalidArgument('x-amz-mp-object-size', text.slice(0, 100), 'It must be a number of bytes')
}

function readObjectChecksum(headers: RequestHeaders): CompleteInput['expected']['checksum'] {
  for (const algorithm of algorithmNames) {
    const value = headers[algorithms[algorithm].header]
    if (value !== undefined) return { algorithm, value }
  }
  return undefined
}

/** Checks what the client says of the parts, computes the object's checksum from theirs, and makes the object. */
export async function completeUpload(input: CompleteInput, context: Context) {
  const at = await context.branch(input.bucket)
  const { uploads } = context.versioning
  const { path, uploadId, conditions } = input
  // Completed before: versioning knows, and answers as it did then.
  const upload = await uploads.get(at, path, uploadId).catch(orElse('UploadNotFound', undefined))
  const checksum = upload && (await checkParts(input, at, upload, uploads))
  const result = await uploads.complete(at, path, uploadId, {
    parts: input.parts.map(({ number, etag }) => ({ number, etag })),
    ...(checksum ? { checksum } : {}),
    ...(conditions ? { conditions } : {}),
  })
  return { at, result }
}

async function checkParts(
  input: CompleteInput,
  at: BranchAddress,
  upload: UploadInfo,
  uploads: Uploads,
): Promise<Checksum | undefined> {
  const { expected } = input
  if (expected.type !== undefined && expected.type !== (upload.checksumType ?? expected.type)) {
    throw new S3Error(
      'InvalidRequest',
      `The upload was created using the ${upload.checksumType} checksum mode. The complete request must use the same checksum mode.`,
    )
  }
  const stored = await allParts(uploads, at, input)
  const parts = input.parts.map((named) => {
    const part = stored.get(named.number)
    // Whether it is the right one is versioning's to say; here only what it does not know is checked.
    if (!part) throw invalidPart(named.number)
    for (const [algorithm, value] of named.checksums) {
      if (part.checksum?.algorithm === algorithm && part.checksum.value !== value) throw invalidPart(named.number)
    }
    return part
  })
  const size = parts.reduce((sum, part) => sum + part.size, 0)
  if (expected.size !== undefined && expected.size !== size) {
    throw new S3Error(
      'InvalidRequest',
      `The provided 'x-amz-mp-object-size' header value ${expected.size} does not match what was computed: ${size}`,
    )
  }
  const checksum = upload.checksumAlgorithm
    ? objectChecksum(upload.checksumAlgorithm, upload.checksumType, parts)
    : objectChecksum(DEFAULT_CHECKSUM, 'FULL_OBJECT', parts)
  if (expected.checksum && checksum && !agrees(expected.checksum, checksum)) {
    throw new S3Error('BadDigest', `The ${checksum.algorithm} you specified did not match the calculated checksum.`)
  }
  return checksum
}

function agrees(expected: { algorithm: ChecksumAlgorithm; value: string }, checksum: Checksum): boolean {
  if (expected.algorithm !== checksum.algorithm) return false
  return expected.value === checksum.value || expected.value === checksum.value.replace(/-\d+$/, '')
}

async function allParts(
  uploads: Uploads,
  at: BranchAddress,
  input: CompleteInput,
): Promise<ReadonlyMap<number, PartInfo>> {
  const parts = new Map<number, PartInfo>()
  let after = 0
  for (;;) {
    const page = await uploads.listParts(at, input.path, input.uploadId, { after, limit: LIST_PAGE })
    for (const part of page.parts) parts.set(part.number, part)
    const last = page.parts.at(-1)
    if (!page.truncated || !last) return parts
    after = last.number
  }
}

/** Of the parts' checksums: theirs together (`…-N`), or what the object itself has. Undefined if a part has none. */
function objectChecksum(
  algorithm: ChecksumAlgorithm,
  type: Checksum['type'] | undefined,
  parts: readonly PartInfo[],
): Checksum | undefined {
  const values: { value: Buffer; size: number }[] = []
  for (const { checksum, size } of parts) {
    if (checksum?.algorithm !== algorithm) return undefined
    values.push({ value: Buffer.from(checksum.value, 'base64'), size })
  }
  if (type !== 'FULL_OBJECT') {
    const { digest } = algorithms[algorithm]
    const joined = Buffer.concat(values.map(({ value }) => value))
    const value = digestOnce([digest], joined)[digest]
    return { algorithm, type: 'COMPOSITE', value: `${value.toString('base64')}-${parts.length}` }
  }
  if (!isCombinable(algorithm)) return undefined
  const { combine } = crcCombiner(algorithm)
  const [first, ...rest] = values
  if (!first) return undefined
  return fullObject(
    algorithm,
    rest.reduce((sum, next) => combine(sum, next.value, next.size), first.value),
  )
}

function invalidPart(number: number): S3Error {
  return new S3Error(
    'InvalidPart',
    'One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag or checksum may not match.',
    { PartNumber: String(number) },
  )
}
