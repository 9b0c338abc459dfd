import type { FileVersion, VersionName, VersionPage } from '../../../versioning/index.ts'
import { invalidArgument } from '../codes.ts'
import { targetHeaders, versionText } from '../entry-headers.ts'
import { invalidVersionId, readVersionName } from '../find-entry.ts'
import { ownerElement, textWriter } from '../listing.ts'
import { readEncodingType, readPageSize } from '../numbers.ts'
import { operation } from '../operation.ts'
import { document, leaf, node, xmlTime } from '../xml.ts'

export const listObjectVersions = operation({
  name: 'ListObjectVersions',
  on: 'bucket',
  needs: 'read',
  reach: 'prefix',
  parameters: ['prefix', 'delimiter', 'max-keys', 'key-marker', 'version-id-marker', 'encoding-type'],
  read: ({ bucket, query }) => ({
    bucket,
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    limit: readPageSize('max-keys', query.get('max-keys')),
    keyMarker: query.get('key-marker') ?? '',
    versionMarker: readMarker(query.get('key-marker'), query.get('version-id-marker')),
    urlEncoded: readEncodingType(query.get('encoding-type')),
  }),
  run: async (input, context) => {
    const target = await context.target(input.bucket)
    const info = await context.describe(target)
    const { prefix, delimiter, limit, keyMarker: path, versionMarker: version } = input
    const page = await context.versioning.versions.list(target, {
      limit,
      ...(prefix === '' ? {} : { prefix }),
      ...(delimiter === '' ? {} : { delimiter }),
      ...(path === '' ? {} : { after: { path, ...(version ? { version } : {}) } }),
    })
    return { input, page, info, owner: await context.ownerOf(target.repo) }
  },
  write: ({ input, page, info, owner }) => {
    const text = textWriter(input.urlEncoded)
    const ownerXml = ownerElement(owner)
    return {
      status: 200,
      headers: { 'Content-Type': 'application/xml', ...targetHeaders(info) },
      body: document(
        'ListVersionsResult',
        leaf('Name', input.bucket.text),
        text('Prefix', input.prefix),
        text('KeyMarker', input.keyMarker),
        leaf('VersionIdMarker', input.versionMarker === undefined ? '' : versionText(input.versionMarker)),
        nextMarkers(page, text),
        leaf('MaxKeys', input.limit),
        input.delimiter === '' ? '' : text('Delimiter', input.delimiter),
        input.urlEncoded ? leaf('EncodingType', 'url') : '',
        leaf('IsTruncated', page.next !== undefined),
        ...page.versions.map((version) => versionElement(version, text, ownerXml)),
        ...page.prefixes.map((prefix) => node('CommonPrefixes', text('Prefix', prefix))),
      ),
    }
  },
})

type TextWriter = ReturnType<typeof textWriter>

function nextMarkers({ next }: VersionPage, text: TextWriter): string {
  if (!next) return ''
  const version = next.version === undefined ? '' : leaf('NextVersionIdMarker', versionText(next.version))
  return text('NextKeyMarker', next.path) + version
}

function versionElement({ path, version, isLatest, modifiedMs, entry }: FileVersion, text: TextWriter, owner: string) {
  const head = text('Key', path) + leaf('VersionId', versionText(version)) + leaf('IsLatest', isLatest)
  const time = leaf('LastModified', xmlTime(modifiedMs))
  if (!entry) return node('DeleteMarker', head, time, owner)
  const { checksum } = entry
  return node(
    'Version',
    head,
    time,
    leaf('ETag', `"${entry.etag}"`),
    checksum ? leaf('ChecksumAlgorithm', checksum.algorithm) + leaf('ChecksumType', checksum.type) : '',
    leaf('Size', entry.size),
    owner,
    leaf('StorageClass', 'STANDARD'),
  )
}

function readMarker(key: string | undefined, text: string | undefined): VersionName | undefined {
  if (text === undefined || text === '') return undefined
  if (key === undefined || key === '') {
    throw invalidArgument(
      'version-id-marker',
      text.slice(0, 255),
      'A version-id marker cannot be specified without a key marker.',
    )
  }
  const version = readVersionName(text)
  if (version === undefined) throw invalidVersionId('version-id-marker', text)
  return version
}
