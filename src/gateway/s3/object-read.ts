import { MIB } from '../../kernel/index.ts'
import type { ByteRange, Checksum, Content, ContentStore, FileEntry, Path, TargetInfo } from '../../versioning/index.ts'
import type { Bucket } from './addressing.ts'
import { headerBytes } from './attributes.ts'
import { invalidArgument, S3Error } from './codes.ts'
import { evaluateConditions, preconditionFailed, type ReadConditions, readConditions } from './conditions.ts'
import { entryHeaders } from './entry-headers.ts'
import { findEntry, readVersionId, type VersionClaim } from './find-entry.ts'
import { readPartNumber } from './numbers.ts'
import type { Context, Reply, ReplyHeaders } from './operation.ts'
import { type RangeClaim, readRange, resolveRange } from './ranges.ts'
import type { ObjectRequest, S3Request } from './request.ts'

/** Up to this an answer is read whole and sent with its head in one write; above it is streamed. */
const MAX_WHOLE_BYTES = MIB

export interface ReadInput {
  readonly bucket: Bucket
  readonly path: Path
  readonly version: VersionClaim | undefined
  readonly range: RangeClaim | undefined
  readonly partNumber: number | undefined
  readonly conditions: ReadConditions | undefined
  readonly withChecksum: boolean
  readonly overrides: ReplyHeaders
}

export type ReadOutput =
  | { readonly kind: 'notModified'; readonly entry: FileEntry; readonly info: TargetInfo }
  | {
      readonly kind: 'found'
      readonly entry: FileEntry
      readonly info: TargetInfo
      /** Undefined: the whole object, as 200. */
      readonly range: ByteRange | undefined
      readonly partsCount: number | undefined
      readonly checksum: Checksum | undefined
      readonly tagCount: number
      readonly overrides: ReplyHeaders
    }

/** What GET and HEAD understand beside their path. */
export const readParameters = [
  'versionId',
  'partNumber',
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
  'response-content-language',
  'response-content-type',
  'response-expires',
] as const

const overrideHeaders = [
  ['response-cache-control', 'Cache-Control'],
  ['response-content-disposition', 'Content-Disposition'],
  ['response-content-encoding', 'Content-Encoding'],
  ['response-content-language', 'Content-Language'],
  ['response-content-type', 'Content-Type'],
  ['response-expires', 'Expires'],
] as const

/** The input of GetObject and HeadObject. Pure. */
export function readObjectInput(request: ObjectRequest): ReadInput {
  const range = readRange(request.headers['range'])
  const partNumber = readPartNumber(request.query.get('partNumber'))
  if (partNumber !== undefined && request.headers['range'] !== undefined) {
    throw new S3Error('InvalidRequest', 'Cannot specify both Range header and partNumber query parameter')
  }
  return {
    bucket: request.bucket,
    path: request.key,
    version: readVersionId(request.query.get('versionId')),
    range,
    partNumber,
    conditions: readConditions(request.headers),
    withChecksum: request.headers['x-amz-checksum-mode']?.toUpperCase() === 'ENABLED',
    overrides: readOverrides(request.query),
  }
}

function readOverrides(query: S3Request['query']): ReplyHeaders {
  const headers: ReplyHeaders = {}
  if (query.size === 0) return headers
  for (const [parameter, header] of overrideHeaders) {
    const value = query.get(parameter)
    if (value === undefined) continue
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
    if (/[\x00-\x1f\x7f]/.test(value)) {
      throw invalidArgument(parameter, '', 'A header that is to be sent can not hold control characters')
    }
    headers[header] = headerBytes(value)
  }
  return headers
}

/** Finds the object and decides what of it is to be sent; no content is read yet. */
export async function locateObject(input: ReadInput, context: Context): Promise<ReadOutput> {
  const { entry, info } = await findEntry(context, input.bucket, input.path, input.version)
  await context.admitVersion(entry.version)
  const verdict = evaluateConditions(input.conditions, entry)
  if (verdict.kind === 'failed') throw preconditionFailed(verdict.condition)
  if (verdict.kind === 'notModified') return { kind: 'notModified', entry, info }
  const part =
    input.partNumber === undefined ? undefined : await findPart(entry, input.partNumber, context.versioning.content)
  const range = part ? part.range : input.range && resolveRange(input.range, entry.size)
  const { tags } = context.versioning
  const whole = range === undefined || (range.start === 0 && range.end === entry.size)
  return {
    kind: 'found',
    entry,
    info,
    range,
    partsCount: part?.count,
    checksum: input.withChecksum ? checksumOf(entry, part, whole) : undefined,
    tagCount: tags.some ? (await tags.of(entry.version)).length : 0,
    overrides: input.overrides,
  }
}

/** The object's checksum says nothing about a piece of it; a part has its own. */
function checksumOf(entry: FileEntry, part: FoundPart | undefined, whole: boolean): Checksum | undefined {
  const { checksum } = entry
  if (!checksum || part?.checksum === undefined) return whole ? checksum : undefined
  return { ...checksum, value: part.checksum }
}

interface FoundPart {
  readonly range: ByteRange
  readonly count: number | undefined
  readonly checksum: string | undefined
}

async function findPart(entry: FileEntry, number: number, content: ContentStore): Promise<FoundPart> {
  const parts = entry.parts === undefined ? undefined : await content.parts(entry.content)
  if (!parts) {
    if (number === 1) return { range: { start: 0, end: entry.size }, count: undefined, checksum: undefined }
    throw invalidPartNumber(number, 1)
  }
  let start = 0
  for (const [index, part] of parts.entries()) {
    // Parts of an object count from 1 without gaps, whatever numbers they were uploaded by.
    if (index + 1 === number) {
      return { range: { start, end: start + part.size }, count: parts.length, checksum: part.checksum }
    }
    start += part.size
  }
  throw invalidPartNumber(number, parts.length)
}

function invalidPartNumber(number: number, count: number): S3Error {
  return new S3Error('InvalidPartNumber', 'The requested partnumber is not satisfiable', {
    PartNumberRequested: String(number),
    ActualPartCount: String(count),
  })
}

/** Status and headers of GET and HEAD; the body is the caller's. */
export function writeObjectHead(output: ReadOutput): Reply {
  const { entry, info } = output
  if (output.kind === 'notModified') {
    const { 'Content-Type': _type, ...headers } = entryHeaders(entry, info, undefined)
    return { status: 304, headers }
  }
  const { range } = output
  const headers: ReplyHeaders = {
    ...entryHeaders(entry, info, output.checksum),
    ...output.overrides,
    'Content-Length': range ? range.end - range.start : entry.size,
  }
  if (output.partsCount !== undefined) headers['x-amz-mp-parts-count'] = output.partsCount
  if (output.tagCount > 0) headers['x-amz-tagging-count'] = output.tagCount
  // There is no way to write the range of nothing.
  if (!range || range.end === range.start) return { status: range ? 206 : 200, headers }
  headers['Content-Range'] = `bytes ${range.start}-${range.end - 1}/${entry.size}`
  return { status: 206, headers }
}

/** The bytes to send. What is small is read (and so verified) before the answer's head goes out. */
export async function readContent(
  content: ContentStore,
  from: { readonly content: Content; readonly size: number },
  range: ByteRange | undefined,
): Promise<Buffer | AsyncIterable<Buffer>> {
  const start = range?.start ?? 0
  const end = range?.end ?? from.size
  if (end === start) return Buffer.alloc(0)
  if (from.content.kind === 'inline') return from.content.bytes.subarray(start, end)
  return end - start <= MAX_WHOLE_BYTES ? content.readBytes(from.content, range) : content.lend(from.content, range)
}
