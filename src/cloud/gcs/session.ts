import { StoreUnreachable } from '../object-store.ts'
import { type GcsAnswer, type GcsConnection, type GcsRequest, query } from './connection.ts'
import { parseDocument, parseResource, type Resource } from './resource.ts'
import { headerOf } from './transport.ts'

/** How far an upload is. */
export type Progress =
  | { readonly kind: 'incomplete'; readonly persisted: number }
  | { readonly kind: 'complete'; readonly resource: Resource }

/**
 * A resumable upload of the JSON API ("Resumable uploads", "Perform resumable uploads"): one stream of bytes, which the service
 * keeps as far as it says, and an object when the last one has come. Whoever knows its id can write: it is in no message, and
 * only ever sent to the target's own endpoint.
 */
export class ResumableSession {
  readonly #to: GcsConnection
  readonly #name: string
  readonly #path: string

  constructor(to: GcsConnection, name: string, sessionId: string) {
    this.#to = to
    this.#name = name
    this.#path = `/upload${to.path()}${query({ uploadType: 'resumable', name, upload_id: sessionId })}`
  }

  /** Once. Throws ObjectNotFound (`what: 'upload'`) if it was cancelled, expired or never begun. */
  async status(signal?: AbortSignal): Promise<Progress> {
    return this.#progressOf(await this.#to.once(this.#put([], '*/*', { signal })))
  }

  /** Sends the bytes from `from`, once. `crc32c` (base64, of the whole) goes with the last ones, which the service then checks. */
  async send(
    bytes: Buffer,
    place: { readonly from: number; readonly size: number },
    options: { readonly signal?: AbortSignal | undefined; readonly crc32c?: string | undefined },
  ): Promise<Progress> {
    const range = bytes.length === 0 ? '*' : `${place.from}-${place.from + bytes.length - 1}`
    return this.#progressOf(await this.#to.once(this.#put([bytes], `${range}/${place.size}`, options)))
  }

  async cancel(): Promise<void> {
    await this.#to.again({ method: 'DELETE', path: this.#path, subject: 'upload' })
  }

  #put(
    body: readonly Buffer[],
    range: string,
    { signal, crc32c }: { signal?: AbortSignal | undefined; crc32c?: string | undefined },
  ): GcsRequest {
    return {
      method: 'PUT',
      path: this.#path,
      headers: {
        'content-range': `bytes ${range}`,
        ...(crc32c === undefined ? {} : { 'x-goog-hash': `crc32c=${crc32c}` }),
      },
      body,
      size: body.reduce((bytes, piece) => bytes + piece.length, 0),
      signal,
      subject: 'upload',
    }
  }

  #progressOf({ status, headers, body }: GcsAnswer): Progress {
    if (status !== 308) return { kind: 'complete', resource: parseResource(parseDocument(body), this.#name) }
    const range = headerOf(headers, 'range')
    if (range === undefined) return { kind: 'incomplete', persisted: 0 }
    const end = /^bytes[= ]0-(\d+)$/.exec(range)?.[1]
    if (end === undefined) throw new StoreUnreachable(`the store says that it has ${range.slice(0, 100)} of an upload`)
    return { kind: 'incomplete', persisted: Number(end) + 1 }
  }
}
