import { createHash } from 'node:crypto'
import { crc32cBase64, crc32cOf } from '../gcs/crc32c.ts'

/** An answer of the JSON API that is an error: status, reason and words. */
export class GcsFault extends Error {
  readonly status: number
  readonly reason: string
  readonly retryAfter: string | undefined
  constructor(status: number, reason: string, message: string, retryAfter?: string) {
    super(message)
    this.status = status
    this.reason = reason
    this.retryAfter = retryAfter
  }
}

/** An object as the server keeps it. */
export interface GcsObject {
  readonly name: string
  readonly bucket: string
  readonly generation: string
  readonly content: Buffer
  readonly contentType?: string
  readonly metadata?: Readonly<Record<string, string>>
  readonly updated: string
}

/** The description that comes with an upload. */
export interface GcsDescription {
  readonly name?: string
  readonly contentType?: string
  readonly metadata?: Readonly<Record<string, string>>
  readonly md5Hash?: string
  readonly crc32c?: string
}

/** The objects of some buckets, as Google's documentation of the JSON API says that they behave ("Objects: insert", "list"…). */
export class GcsObjects {
  readonly #buckets = new Map<string, Map<string, GcsObject>>()
  #generation = 1_700_000_000_000_000n

  makeBucket(name: string): void {
    if (!this.#buckets.has(name)) this.#buckets.set(name, new Map())
  }

  bucket(name: string): Map<string, GcsObject> {
    const bucket = this.#buckets.get(name)
    if (!bucket) throw new GcsFault(404, 'notFound', 'The specified bucket does not exist.')
    return bucket
  }

  object(bucket: string, name: string): GcsObject {
    const object = this.bucket(bucket).get(name)
    if (!object) throw new GcsFault(404, 'notFound', `No such object: ${bucket}/${name}`)
    return object
  }

  /** `match`: the generation that has to be the current one, `0` for none, null for any. */
  checkGeneration(bucket: string, name: string, match: string | null): void {
    if (match === null) return
    if (!/^\d+$/.test(match)) throw new GcsFault(400, 'invalid', `Invalid value for ifGenerationMatch: ${match}`)
    const current = this.bucket(bucket).get(name)?.generation ?? '0'
    if (current !== match) {
      throw new GcsFault(412, 'conditionNotMet', 'At least one of the pre-conditions you specified did not hold.')
    }
  }

  put(bucket: string, description: GcsDescription, content: Buffer, match: string | null): GcsObject {
    const { name, contentType, metadata } = description
    checkName(name)
    checkHashes(description, content)
    this.checkGeneration(bucket, name, match)
    const object: GcsObject = {
      name,
      bucket,
      generation: String(++this.#generation),
      content,
      ...(contentType === undefined ? {} : { contentType }),
      ...(metadata && Object.keys(metadata).length > 0 ? { metadata } : {}),
      updated: new Date().toISOString(),
    }
    this.bucket(bucket).set(name, object)
    return object
  }

  /** The names after one another in the order of their UTF-8 bytes. */
  list(bucket: string, from: string, prefix: string): readonly GcsObject[] {
    const compare = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b))
    return [...this.bucket(bucket).values()]
      .filter(({ name }) => name.startsWith(prefix) && compare(name, from) >= 0)
      .sort((a, b) => compare(a.name, b.name))
  }
}

export function checkName(name: string | undefined): asserts name is string {
  if (!name || Buffer.byteLength(name) > 1024 || !name.isWellFormed()) {
    throw new GcsFault(400, name ? 'invalid' : 'required', 'Required or invalid: object name')
  }
  if (name === '.' || name === '..' || /[\r\n]/.test(name) || name.startsWith('.well-known/acme-challenge/')) {
    throw new GcsFault(400, 'invalid', `Disallowed object name: ${name}`)
  }
}

/** Of an upload that says what it should be. */
function checkHashes({ md5Hash, crc32c }: GcsDescription, content: Buffer): void {
  for (const [kind, said, found] of [
    ['MD5 hash', md5Hash, md5Base64(content)],
    ['CRC32C', crc32c, crc32cBase64(crc32cOf(content))],
  ] as const) {
    if (said === undefined || said === found) continue
    throw new GcsFault(400, 'invalid', `Provided ${kind} "${said}" doesn't match calculated ${kind} "${found}".`)
  }
}

/** The resource of an object ("Objects": resource representations). */
export function resourceOf(object: GcsObject): Record<string, unknown> {
  const { name, bucket, generation, content, contentType, metadata, updated } = object
  return {
    kind: 'storage#object',
    id: `${bucket}/${name}/${generation}`,
    name,
    bucket,
    generation,
    metageneration: '1',
    ...(contentType === undefined ? {} : { contentType }),
    ...(metadata === undefined ? {} : { metadata }),
    storageClass: 'STANDARD',
    size: String(content.length),
    md5Hash: md5Base64(content),
    crc32c: crc32cBase64(crc32cOf(content)),
    etag: Buffer.from(generation).toString('base64'),
    timeCreated: updated,
    updated,
  }
}

function md5Base64(content: Buffer): string {
  return createHash('md5').update(content).digest('base64')
}

/** Leaves of a document what `fields` names ("Partial response"): names with commas between, parts of one in brackets. */
export function pickFields(document: unknown, fields: string | null): unknown {
  if (fields === null || document === undefined) return document
  if (Array.isArray(document)) return document.map((item) => pickFields(item, fields))
  const whole = document as Record<string, unknown>
  const picked: Record<string, unknown> = {}
  for (const [, name, inner] of fields.matchAll(/([A-Za-z0-9_]+)(?:\(((?:[^()]|\([^()]*\))*)\))?/g)) {
    if (name !== undefined && name in whole) picked[name] = pickFields(whole[name], inner ?? null)
  }
  return picked
}
