import { KIB } from '../../kernel/index.ts'
import {
  type ObjectInfo,
  ObjectNotFound,
  type PartUpload,
  StoreError,
  StorePreconditionFailed,
  StoreRejected,
  StoreUnreachable,
  type UploadedPart,
  type UploadOptions,
} from '../object-store.ts'
import { type GcsConnection, query } from './connection.ts'
import { combineCrc32c, crc32cBase64, crc32cHex, crc32cOf } from './crc32c.ts'
import { checkReceived, remove } from './received.ts'
import { describe, generationOf, infoOf, type Resource } from './resource.ts'
import { type Progress, ResumableSession } from './session.ts'
import { headerOf } from './transport.ts'
import { decodeUploadId, encodeUploadId, isSessionId, type UploadState } from './upload-id.ts'

/** All that is sent of an upload but its end comes in multiples of this. */
const GRAIN_BYTES = 256 * KIB

export async function createGcsUpload(to: GcsConnection, key: string, options: UploadOptions): Promise<PartUpload> {
  const { size, partBytes, md5, signal } = options
  if (partBytes <= 0 || partBytes % GRAIN_BYTES !== 0) {
    throw new StoreRejected(`parts of an upload must be multiples of ${GRAIN_BYTES} bytes, not ${partBytes}`)
  }
  const name = to.fullKey(key)
  const description = Buffer.from(JSON.stringify(describe(name, options)))
  // Begun twice, one of them is never gone on with and expires; nothing of it is seen.
  const answer = await to.again({
    method: 'POST',
    path: `/upload${to.path()}${query({ uploadType: 'resumable', name, ifGenerationMatch: generationOf(options.only) })}`,
    headers: { 'content-type': 'application/json; charset=UTF-8', 'x-upload-content-length': String(size) },
    body: [description],
    size: description.length,
    signal,
    subject: 'bucket',
  })
  const location = URL.parse(headerOf(answer.headers, 'location') ?? '', 'https://relative')
  const sessionId = location?.searchParams.get('upload_id') ?? ''
  if (!isSessionId(sessionId)) {
    throw new StoreUnreachable(`${to.place.service} began an upload without naming it`)
  }
  return new GcsUpload(to, key, { sessionId, size, partBytes, md5: md5?.toLowerCase() }, 0)
}

/** Throws ObjectNotFound if the service does not know it any more. */
export async function resumeGcsUpload(to: GcsConnection, key: string, uploadId: string): Promise<PartUpload> {
  const upload = new GcsUpload(to, key, decodeUploadId(placeOf(to, key), uploadId), undefined)
  await upload.takeUp()
  return upload
}

const placeOf = (to: GcsConnection, key: string) => `${to.target.bucket}/${to.fullKey(key)}`

/**
 * Parts over a resumable session. The session makes the object when its last byte comes, so that the last bytes (at most one
 * grain) are kept back until the upload is completed.
 */
class GcsUpload implements PartUpload {
  readonly uploadId: string
  readonly sequential = true
  readonly #to: GcsConnection
  readonly #key: string
  readonly #state: UploadState
  readonly #session: ResumableSession
  /** Of every part that was put here: parts that are taken up again have none. */
  readonly #crcs = new Map<number, number>()
  /** What the service has, as far as it said; undefined: it was not asked yet. */
  #progress: Progress | undefined
  #tail: { readonly from: number; readonly bytes: Buffer } | undefined

  constructor(to: GcsConnection, key: string, state: UploadState, persisted: number | undefined) {
    this.uploadId = encodeUploadId(placeOf(to, key), state)
    this.#to = to
    this.#key = key
    this.#state = state
    this.#session = new ResumableSession(to, to.fullKey(key), state.sessionId)
    this.#progress = persisted === undefined ? undefined : { kind: 'incomplete', persisted }
  }

  /** Throws ObjectNotFound if the upload is gone, or if what it made is not there any more. */
  async takeUp(): Promise<void> {
    const progress = await this.#ask()
    if (progress.kind === 'incomplete') return
    // The session remembers what it made, also where that was replaced, or removed since it was not what was sent.
    const { name, generation } = progress.resource
    const path = this.#to.path(name) + query({ ifGenerationMatch: generation, fields: 'generation' })
    try {
      await this.#to.again({ method: 'GET', path, subject: 'object' })
    } catch (error) {
      if (!(error instanceof ObjectNotFound || error instanceof StorePreconditionFailed)) throw error
      throw new ObjectNotFound('what this upload made is not there any more', { what: 'upload' }, error)
    }
  }

  async putPart(number: number, body: Buffer, signal?: AbortSignal): Promise<UploadedPart> {
    const part = this.#part(number)
    if (!part || body.length !== part.size) {
      throw new StoreRejected(
        part
          ? `part ${number} of this upload has ${part.size} bytes, not ${body.length}`
          : `this upload has no part ${number}`,
      )
    }
    const isLast = part.end === this.#state.size
    const kept = isLast ? tailBytes(body.length) : 0
    await this.#cover(body.subarray(0, body.length - kept), part.start, signal)
    this.#crcs.set(number, crc32cOf(body))
    // A copy: the caller's buffer may hold another part by the time that it is sent.
    if (isLast) this.#tail = { from: part.end - kept, bytes: Buffer.from(body.subarray(body.length - kept)) }
    return uploaded(part)
  }

  async listParts(): Promise<readonly UploadedPart[]> {
    const progress = this.#progress ?? (await this.#ask())
    const persisted = progress.kind === 'complete' ? this.#state.size : progress.persisted
    const parts: UploadedPart[] = []
    for (let part = this.#part(1); part; part = this.#part(part.number + 1)) {
      // Its end alone makes an empty object.
      if (part.end > persisted || (progress.kind === 'incomplete' && part.end === this.#state.size)) break
      parts.push(uploaded(part))
    }
    return parts
  }

  async complete(parts: readonly UploadedPart[]): Promise<ObjectInfo> {
    this.#checkParts(parts)
    const crc32c = this.#wholeCrc()
    const resource = await this.#finish(crc32c === undefined ? undefined : crc32cBase64(crc32c))
    await checkReceived(this.#to, resource, {
      size: this.#state.size,
      crc32c: crc32c === undefined ? undefined : crc32cHex(crc32c),
      said: this.#state.md5,
    })
    return infoOf(this.#key, resource)
  }

  async abort(): Promise<void> {
    try {
      await this.#session.cancel()
    } catch (error) {
      // Cancelled or expired before: it is gone, which is what was asked for.
      if (!(error instanceof ObjectNotFound)) throw error
    }
  }

  /** What the service refused as a whole it would refuse for ever: whoever goes on begins anew. */
  async #forget(): Promise<void> {
    try {
      await this.abort()
    } catch (error) {
      // It expires by itself.
      if (!(error instanceof StoreError)) throw error
    }
  }

  /** Sends what the service does not have yet of bytes that begin at `start`. */
  async #cover(bytes: Buffer, start: number, signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      const progress = this.#progress ?? (await this.#ask(signal))
      if (progress.kind === 'complete' || progress.persisted >= start + bytes.length) {
        this.#checkOrder(progress, start)
        return
      }
      this.#checkOrder(progress, start)
      await this.#step(bytes, start, { signal })
    }
  }

  async #finish(crc32c: string | undefined): Promise<Resource> {
    for (;;) {
      const progress = this.#progress ?? (await this.#ask())
      if (progress.kind === 'complete') return progress.resource
      const tail = this.#tail
      if (!tail) throw new StoreRejected('the last part of this upload was not put')
      this.#checkOrder(progress, tail.from)
      try {
        await this.#step(tail.bytes, tail.from, { crc32c })
      } catch (error) {
        if (error instanceof StoreRejected) await this.#forget()
        throw error
      }
    }
  }

  /**
   * One step forward. After a failure the service is asked how far it came: what arrived is not sent again, and the tries are
   * counted anew, so that a connection that is cut again and again comes to an end too.
   */
  async #step(
    bytes: Buffer,
    start: number,
    options: { signal?: AbortSignal | undefined; crc32c?: string | undefined },
  ): Promise<void> {
    const before = this.#progress
    try {
      await this.#to.retrying(async (attempt) => {
        if (attempt > 1) {
          this.#progress = await this.#session.status(options.signal)
          await this.#checkEnd(this.#progress)
          if (isFurther(this.#progress, before)) return
          this.#checkOrder(this.#progress, start)
        }
        const from = Math.max(start, persistedOf(this.#progress))
        const { size } = this.#state
        const next = await this.#session.send(bytes.subarray(from - start), { from, size }, options)
        if (!isFurther(next, before)) {
          throw new StoreUnreachable(`${this.#to.place.service} kept nothing of what it was sent`)
        }
        this.#progress = next
      }, options.signal)
    } catch (error) {
      // It may have kept some of it: whoever goes on asks first.
      this.#progress = undefined
      throw error
    }
  }

  async #ask(signal?: AbortSignal): Promise<Progress> {
    const progress = await this.#to.retrying(() => this.#session.status(signal), signal)
    await this.#checkEnd(progress)
    this.#progress = progress
    return progress
  }

  /** Emulators take the question how far it is for the end of the upload, and make an object of what they have. */
  async #checkEnd(progress: Progress): Promise<void> {
    if (progress.kind === 'incomplete' || progress.resource.size === this.#state.size) return
    const removed = await remove(this.#to, progress.resource)
    throw new ObjectNotFound(`the upload was ended before all of it was there; ${removed}`, { what: 'upload' })
  }

  #checkOrder(progress: Progress, start: number): void {
    if (progress.kind === 'complete' || progress.persisted >= start) return
    const next = Math.floor(progress.persisted / this.#state.partBytes) + 1
    throw new StoreRejected(`the parts of this upload come one after the other: part ${next} is next`)
  }

  #checkParts(parts: readonly UploadedPart[]): void {
    let expected = this.#part(1)
    for (const part of parts) {
      if (!expected || part.number !== expected.number || part.size !== expected.size) {
        throw new StoreRejected(`part ${part.number} is not the one that comes next in this upload`)
      }
      expected = this.#part(part.number + 1)
    }
    if (expected) throw new StoreRejected(`part ${expected.number} of this upload is missing`)
  }

  /** Of all parts, where all were put here. */
  #wholeCrc(): number | undefined {
    let whole = 0
    for (let part = this.#part(1); part; part = this.#part(part.number + 1)) {
      const crc = this.#crcs.get(part.number)
      if (crc === undefined) return undefined
      whole = combineCrc32c(whole, crc, part.size)
    }
    return whole
  }

  /** Undefined: there is none of this number. An empty object has one part, which is empty. */
  #part(number: number): Part | undefined {
    const { size, partBytes } = this.#state
    const start = (number - 1) * partBytes
    if (!Number.isSafeInteger(number) || number < 1 || (start >= size && number > 1)) return undefined
    const end = Math.min(start + partBytes, size)
    return { number, start, end, size: end - start }
  }
}

interface Part {
  readonly number: number
  readonly start: number
  /** Exclusive. */
  readonly end: number
  readonly size: number
}

/** The service gives parts no name: where they are is what tells them apart. */
const uploaded = ({ number, start, end, size }: Part): UploadedPart => ({ number, etag: `${start}-${end}`, size })

/** What is left when all whole grains but the last are gone. */
const tailBytes = (bytes: number) => (bytes === 0 ? 0 : ((bytes - 1) % GRAIN_BYTES) + 1)

const persistedOf = (progress: Progress | undefined) => (progress?.kind === 'incomplete' ? progress.persisted : 0)

function isFurther(progress: Progress, before: Progress | undefined): boolean {
  return progress.kind === 'complete' || progress.persisted > persistedOf(before)
}
