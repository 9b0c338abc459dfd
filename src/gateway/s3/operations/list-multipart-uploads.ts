import type { BranchAddress, UploadInfo, Uploads } from '../../../versioning/index.ts'
import { textWriter, uploadOwnerElements } from '../listing.ts'
import { readEncodingType, readPageSize } from '../numbers.ts'
import { operation } from '../operation.ts'
import { document, leaf, node, xmlTime } from '../xml.ts'

/** Sorts after every key that begins as the text before it (the last character of Unicode). */
const LAST_CHARACTER = '\u{10ffff}'

interface Page {
  readonly uploads: readonly UploadInfo[]
  readonly prefixes: readonly string[]
  readonly next: { readonly key: string; readonly id: string } | undefined
}

interface Query {
  readonly prefix: string
  readonly delimiter: string
  readonly limit: number
  readonly keyMarker: string
  readonly idMarker: string
}

export const listMultipartUploads = operation({
  name: 'ListMultipartUploads',
  on: 'bucket',
  needs: 'read',
  reach: 'prefix',
  parameters: ['prefix', 'delimiter', 'max-uploads', 'key-marker', 'upload-id-marker', 'encoding-type'],
  read: ({ bucket, query }) => ({
    bucket,
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    limit: readPageSize('max-uploads', query.get('max-uploads')),
    keyMarker: query.get('key-marker') ?? '',
    // Without a key it says nothing.
    idMarker: query.get('key-marker') ? (query.get('upload-id-marker') ?? '') : '',
    urlEncoded: readEncodingType(query.get('encoding-type')),
  }),
  run: async (input, context) => {
    const at = await context.branch(input.bucket)
    const owner = await context.ownerOf(at.repo)
    return { input, page: await listPage(context.versioning.uploads, at, input), owner }
  },
  write: ({ input, page, owner }) => {
    const text = textWriter(input.urlEncoded)
    return {
      status: 200,
      headers: { 'Content-Type': 'application/xml' },
      body: document(
        'ListMultipartUploadsResult',
        leaf('Bucket', input.bucket.text),
        text('KeyMarker', input.keyMarker),
        leaf('UploadIdMarker', input.idMarker),
        page.next ? text('NextKeyMarker', page.next.key) + leaf('NextUploadIdMarker', page.next.id) : '',
        text('Prefix', input.prefix),
        input.delimiter === '' ? '' : text('Delimiter', input.delimiter),
        leaf('MaxUploads', input.limit),
        input.urlEncoded ? leaf('EncodingType', 'url') : '',
        leaf('IsTruncated', page.next !== undefined),
        ...page.uploads.map((upload) =>
          node(
            'Upload',
            text('Key', upload.path),
            leaf('UploadId', upload.id),
            uploadOwnerElements(upload, owner),
            leaf('StorageClass', 'STANDARD'),
            leaf('Initiated', xmlTime(upload.createdMs)),
            leaf('ChecksumAlgorithm', upload.checksumAlgorithm),
            leaf('ChecksumType', upload.checksumType),
          ),
        ),
        ...page.prefixes.map((prefix) => node('CommonPrefixes', text('Prefix', prefix))),
      ),
    }
  },
})

/** Uploads are few: common prefixes are made here, jumping over all uploads of each. */
async function listPage(uploads: Uploads, at: BranchAddress, query: Query): Promise<Page> {
  const found: UploadInfo[] = []
  const prefixes: string[] = []
  let next: Page['next']
  let after: { path: string; id?: string } | undefined = firstPlace(query)
  while (query.limit > 0) {
    const page: Awaited<ReturnType<Uploads['list']>> = await uploads.list(at, {
      limit: query.limit,
      ...(query.prefix === '' ? {} : { prefix: query.prefix }),
      ...(after ? { after } : {}),
    })
    let jumped = false
    for (const upload of page.uploads) {
      if (found.length + prefixes.length === query.limit) return { uploads: found, prefixes, next }
      const prefix = commonPrefix(upload.path, query)
      if (prefix === undefined) {
        found.push(upload)
        next = { key: upload.path, id: upload.id }
        after = { path: upload.path, id: upload.id }
      } else {
        prefixes.push(prefix)
        next = { key: prefix, id: '' }
        after = { path: prefix + LAST_CHARACTER }
        jumped = true
        break
      }
    }
    if (!jumped && !page.truncated) break
    if (page.uploads.length === 0) break
  }
  return { uploads: found, prefixes, next: undefined }
}

/** A marker that is a common prefix was shown already, with everything below it. */
function firstPlace(query: Query): { path: string; id?: string } | undefined {
  const { keyMarker, idMarker, delimiter } = query
  if (keyMarker === '') return undefined
  if (idMarker !== '') return { path: keyMarker, id: idMarker }
  const isPrefix = delimiter !== '' && keyMarker.endsWith(delimiter) && commonPrefix(keyMarker, query) === keyMarker
  return { path: isPrefix ? keyMarker + LAST_CHARACTER : keyMarker }
}

function commonPrefix(path: string, { prefix, delimiter }: Query): string | undefined {
  if (delimiter === '') return undefined
  const found = path.indexOf(delimiter, prefix.length)
  return found < 0 ? undefined : path.slice(0, found + delimiter.length)
}
