import {
  type ObjectInfo,
  type PutOptions,
  StorePreconditionFailed,
  StoreRejected,
  StoreUnreachable,
} from '../object-store.ts'

/** What the JSON API says of an object, as far as it is asked for. */
export interface Resource {
  readonly name: string
  readonly size: number
  /** Another one each time that it is written: our ETag. */
  readonly generation: string
  readonly md5?: string
  readonly crc32c?: string
  readonly modifiedMs: number
  readonly contentType?: string
  readonly metadata: Readonly<Record<string, string>>
}

const LISTED = 'name,size,generation,md5Hash,crc32c,updated'
/** The `fields` of an answer that is an object. */
export const OBJECT_FIELDS = `${LISTED},contentType,metadata`
/** The `fields` of an answer that is a page of objects. */
export const PAGE_FIELDS = `nextPageToken,items(${LISTED})`
/** The `fields` of an answer to a copy. */
export const REWRITE_FIELDS = `done,rewriteToken,resource(${OBJECT_FIELDS})`

/** Throws StoreRejected unless the body is a JSON document. */
export function parseDocument(body: Buffer): Readonly<Record<string, unknown>> {
  const document = parseJson(body.toString('utf8'))
  if (isRecord(document)) return document
  throw new StoreRejected('the answer is not one of Google Cloud Storage: check the endpoint, and what stands between')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // What is no JSON is no document.
    return undefined
  }
}

/**
 * Throws StoreUnreachable unless it describes an object: that of this name, where it was asked for by one, so that what is done with
 * it next is done to no other.
 */
export function parseResource(value: unknown, expectedName?: string): Resource {
  if (!isRecord(value)) throw notAnObject('no document')
  const { name, size, generation, md5Hash, crc32c, updated, contentType, metadata } = value
  if (typeof name !== 'string') throw notAnObject('no name')
  if (expectedName !== undefined && name !== expectedName) throw notAnObject('the name of another')
  const bytes = Number(size)
  if (size === undefined || !Number.isSafeInteger(bytes) || bytes < 0) throw notAnObject('no size')
  if (!/^\d+$/.test(String(generation))) throw notAnObject('no generation')
  return {
    name,
    size: bytes,
    generation: String(generation),
    ...hex('md5', md5Hash, 16),
    ...hex('crc32c', crc32c, 4),
    modifiedMs: typeof updated === 'string' ? Date.parse(updated) || 0 : 0,
    ...(typeof contentType === 'string' ? { contentType } : {}),
    metadata: isRecord(metadata)
      ? Object.fromEntries(Object.entries(metadata).map(([field, text]) => [field, String(text)]))
      : {},
  }
}

export function infoOf(key: string, resource: Resource): ObjectInfo {
  const { name: _, generation, ...described } = resource
  return { key, etag: generation, ...described }
}

/** The description of an object that is to be written, as the JSON API is told it. */
export function describe(
  name: string,
  { contentType, metadata, md5 }: PutOptions,
  crc32c?: string,
): Record<string, unknown> {
  return {
    name,
    ...(contentType === undefined ? {} : { contentType }),
    ...(metadata && Object.keys(metadata).length > 0 ? { metadata } : {}),
    // With these the service refuses a body that is another.
    ...(md5 === undefined ? {} : { md5Hash: Buffer.from(md5, 'hex').toString('base64') }),
    ...(crc32c === undefined ? {} : { crc32c }),
  }
}

/** The generation that has to be the current one; `0`: there must be none; undefined: any. */
export function generationOf(only: PutOptions['only']): string | undefined {
  if (only === undefined) return undefined
  if (only === 'absent') return '0'
  // What is no generation is the ETag of no object here; 0 would ask for there to be none.
  if (!/^[1-9]\d{0,18}$/.test(only.etag)) throw new StorePreconditionFailed('no object here has this ETag')
  return only.etag
}

function hex(field: 'md5' | 'crc32c', value: unknown, bytes: number): Record<string, string> {
  if (typeof value !== 'string') return {}
  const decoded = Buffer.from(value, 'base64')
  return decoded.length === bytes ? { [field]: decoded.toString('hex') } : {}
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function notAnObject(why: string): StoreUnreachable {
  return new StoreUnreachable(`the store described an object with ${why}`)
}
