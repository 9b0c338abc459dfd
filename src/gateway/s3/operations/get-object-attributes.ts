import type { ContentStore, FileEntry, StoredPart } from '../../../versioning/index.ts'
import { algorithms } from '../checksums.ts'
import { invalidArgument } from '../codes.ts'
import { httpDate } from '../entry-headers.ts'
import { findEntry, readVersionId } from '../find-entry.ts'
import { readPageSize } from '../numbers.ts'
import { operation } from '../operation.ts'
import type { RequestHeaders } from '../request.ts'
import { versionHeader } from '../write-headers.ts'
import { document, leaf, node } from '../xml.ts'

const attributeNames = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'] as const
type AttributeName = (typeof attributeNames)[number]

interface PartsPage {
  readonly total: number
  readonly after: number
  readonly limit: number
  /** Numbered from 1 without gaps, as GET counts them by `partNumber`. */
  readonly parts: readonly (StoredPart & { readonly number: number })[]
}

export const getObjectAttributes = operation({
  name: 'GetObjectAttributes',
  on: 'object',
  needs: 'read',
  parameters: ['versionId'],
  read: ({ bucket, key, query, headers }) => ({
    bucket,
    path: key,
    version: readVersionId(query.get('versionId')),
    wanted: readAttributeNames(headers['x-amz-object-attributes']),
    limit: readPageSize('x-amz-max-parts', headers['x-amz-max-parts']),
    after: readMarker(headers),
  }),
  run: async ({ bucket, path, version, wanted, limit, after }, context) => {
    const found = await findEntry(context, bucket, path, version)
    const page = wanted.has('ObjectParts')
      ? await readParts(context.versioning.content, found.entry, limit, after)
      : undefined
    return { found, wanted, page }
  },
  write: ({ found, wanted, page }) => {
    const { entry } = found
    return {
      status: 200,
      headers: {
        'Content-Type': 'application/xml',
        'Last-Modified': httpDate(entry.modifiedMs),
        ...versionHeader(found),
      },
      body: document(
        'GetObjectAttributesResponse',
        wanted.has('ETag') ? leaf('ETag', entry.etag) : '',
        wanted.has('Checksum') ? checksumElement(entry) : '',
        page ? partsElement(entry, page) : '',
        wanted.has('StorageClass') ? leaf('StorageClass', 'STANDARD') : '',
        wanted.has('ObjectSize') ? leaf('ObjectSize', entry.size) : '',
      ),
    }
  },
})

function readAttributeNames(text: string | undefined): ReadonlySet<AttributeName> {
  const names = (text ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const wanted = new Set<AttributeName>()
  for (const name of names) {
    const known = attributeNames.find((attribute) => attribute === name)
    if (!known) throw invalidAttributes(name)
    wanted.add(known)
  }
  if (wanted.size === 0) throw invalidAttributes('')
  return wanted
}

function invalidAttributes(value: string) {
  const message = `The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty, or names another than ${attributeNames.join(', ')}`
  return invalidArgument('x-amz-object-attributes', value.slice(0, 100), message)
}

function readMarker(headers: RequestHeaders): number {
  const name = 'x-amz-part-number-marker'
  const text = headers[name]
  if (text === undefined || text === '') return 0
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw invalidArgument(name, text.slice(0, 100), 'Provided part number marker not an integer or within integer range')
}

/** Undefined for what was not uploaded in parts. */
async function readParts(
  content: ContentStore,
  entry: FileEntry,
  limit: number,
  after: number,
): Promise<PartsPage | undefined> {
  const parts = entry.parts === undefined ? undefined : await content.parts(entry.content)
  if (!parts) return undefined
  const page = parts.slice(after, after + limit).map((part, index) => ({ ...part, number: after + index + 1 }))
  return { total: parts.length, after, limit, parts: page }
}

function checksumElement({ checksum }: FileEntry): string {
  if (!checksum) return ''
  const { algorithm, type, value } = checksum
  return node('Checksum', leaf(algorithms[algorithm].element, value), leaf('ChecksumType', type))
}

function partsElement(entry: FileEntry, { total, after, limit, parts }: PartsPage): string {
  const last = parts.at(-1)?.number ?? after
  return node(
    'ObjectParts',
    leaf('PartsCount', total),
    leaf('PartNumberMarker', after),
    leaf('NextPartNumberMarker', last),
    leaf('MaxParts', limit),
    leaf('IsTruncated', last < total && limit > 0),
    ...parts.map((part) =>
      node(
        'Part',
        leaf('PartNumber', part.number),
        leaf('Size', part.size),
        entry.checksum && part.checksum ? leaf(algorithms[entry.checksum.algorithm].element, part.checksum) : '',
      ),
    ),
  )
}
