import { encodeRfc3986, type Person } from '../../kernel/index.ts'
import type { FileEntry, ListResult, TargetInfo, UploadInfo } from '../../versioning/index.ts'
import type { Bucket } from './addressing.ts'
import { targetHeaders } from './entry-headers.ts'
import { readEncodingType, readPageSize, writeToken } from './numbers.ts'
import type { Context, Reply } from './operation.ts'
import type { BucketRequest } from './request.ts'
import { document, escapeXml, leaf, node, xmlTime } from './xml.ts'

/** What both versions of ListObjects read. */
export interface ListInput {
  readonly bucket: Bucket
  readonly prefix: string
  readonly delimiter: string
  readonly maxKeys: number
  readonly urlEncoded: boolean
  /** Only what comes after it; '' for everything. */
  readonly after: string
}

interface ListOutput {
  readonly page: ListResult
  readonly info: TargetInfo
  readonly owner: Person
}

export function readListInput({ bucket, query }: BucketRequest): Omit<ListInput, 'after'> {
  return {
    bucket,
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    maxKeys: readPageSize('max-keys', query.get('max-keys')),
    urlEncoded: readEncodingType(query.get('encoding-type')),
  }
}

export async function runList(input: ListInput, context: Context): Promise<ListOutput> {
  const target = await context.target(input.bucket)
  const info = await context.describe(target)
  const owner = await context.ownerOf(target.repo)
  if (input.maxKeys === 0) return { page: { entries: [], prefixes: [] }, info, owner }
  const page = await context.versioning.list(target, {
    limit: input.maxKeys,
    ...(input.prefix === '' ? {} : { prefix: input.prefix }),
    ...(input.delimiter === '' ? {} : { delimiter: input.delimiter }),
    ...(input.after === '' ? {} : { after: input.after }),
  })
  return { page, info, owner }
}

export function writeListV1({
  input,
  page,
  info,
  owner,
}: ListOutput & { input: ListInput & { marker: string } }): Reply {
  const text = textWriter(input.urlEncoded)
  // Without a delimiter the client goes on after the last key it got.
  const nextMarker = page.next !== undefined && input.delimiter !== '' ? text('NextMarker', page.next) : ''
  return listReply(
    info,
    common(input, text),
    text('Marker', input.marker),
    nextMarker,
    leaf('IsTruncated', page.next !== undefined),
    contents(page, input.urlEncoded, ownerElement(owner)),
    commonPrefixes(page, text),
  )
}

export function writeListV2({
  input,
  page,
  info,
  owner,
}: ListOutput & {
  input: ListInput & { token: string | undefined; startAfter: string | undefined; fetchOwner: boolean }
}): Reply {
  const text = textWriter(input.urlEncoded)
  return listReply(
    info,
    common(input, text),
    leaf('ContinuationToken', input.token),
    input.startAfter === undefined ? '' : text('StartAfter', input.startAfter),
    leaf('KeyCount', page.entries.length + page.prefixes.length),
    leaf('IsTruncated', page.next !== undefined),
    leaf('NextContinuationToken', page.next === undefined ? undefined : writeToken(page.next)),
    contents(page, input.urlEncoded, input.fetchOwner ? ownerElement(owner) : ''),
    commonPrefixes(page, text),
  )
}

function listReply(info: TargetInfo, ...children: readonly string[]): Reply {
  return {
    status: 200,
    headers: { 'Content-Type': 'application/xml', ...targetHeaders(info) },
    body: document('ListBucketResult', ...children),
  }
}

type TextWriter = (name: string, value: string) => string

/** Elements that hold keys: with `encoding-type=url` they are percent-encoded but for `/`, as AWS does. */
export function textWriter(urlEncoded: boolean): TextWriter {
  return urlEncoded ? (name, value) => leaf(name, encodeKey(value)) : leaf
}

function encodeKey(key: string): string {
  return /^[A-Za-z0-9\-._~/]*$/.test(key) ? key : key.split('/').map(encodeRfc3986).join('/')
}

export function ownerElement(owner: Person, name = 'Owner'): string {
  return node(name, leaf('ID', owner.canonicalId), leaf('DisplayName', owner.name))
}

/** Who began an upload, and owns it until it is an object; of those that are older than users, the bucket's owner. */
export function uploadOwnerElements({ initiator, author }: UploadInfo, bucketOwner: Person): string {
  const name = author === undefined ? {} : { name: author }
  const person = initiator === undefined ? bucketOwner : { canonicalId: initiator, ...name }
  return ownerElement(person, 'Initiator') + ownerElement(person)
}

function common(input: ListInput, text: TextWriter): string {
  return (
    leaf('Name', input.bucket.text) +
    text('Prefix', input.prefix) +
    (input.delimiter === '' ? '' : text('Delimiter', input.delimiter)) +
    leaf('MaxKeys', input.maxKeys) +
    (input.urlEncoded ? '<EncodingType>url</EncodingType>' : '')
  )
}

function contents(page: ListResult, urlEncoded: boolean, owner: string): string {
  let text = ''
  for (const entry of page.entries) text += contentElement(entry, urlEncoded, owner)
  return text
}

function contentElement(entry: FileEntry, urlEncoded: boolean, owner: string): string {
  const key = urlEncoded ? encodeKey(entry.path) : escapeXml(entry.path)
  const { checksum } = entry
  return (
    `<Contents><Key>${key}</Key><LastModified>${xmlTime(entry.modifiedMs)}</LastModified><ETag>&quot;${entry.etag}&quot;</ETag>` +
    (checksum
      ? `<ChecksumAlgorithm>${checksum.algorithm}</ChecksumAlgorithm><ChecksumType>${checksum.type}</ChecksumType>`
      : '') +
    `<Size>${entry.size}</Size>${owner}<StorageClass>STANDARD</StorageClass></Contents>`
  )
}

function commonPrefixes(page: ListResult, text: TextWriter): string {
  return page.prefixes.map((prefix) => node('CommonPrefixes', text('Prefix', prefix))).join('')
}
