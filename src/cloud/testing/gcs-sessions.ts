import { randomBytes } from 'node:crypto'
import { KIB } from '../../kernel/index.ts'
import { type GcsDescription, GcsFault, type GcsObject, type GcsObjects } from './gcs-objects.ts'

const GRAIN_BYTES = 256 * KIB

interface Session {
  readonly bucket: string
  readonly description: GcsDescription
  readonly match: string | null
  /** Of the whole, if it was said at the start. */
  readonly size: number | undefined
  readonly pieces: Buffer[]
  persisted: number
  done: GcsObject | undefined
}

/** What a request to a session comes to. */
export type SessionAnswer =
  | { readonly kind: 'incomplete'; readonly persisted: number }
  | { readonly kind: 'complete'; readonly object: GcsObject }

/** Resumable uploads, as "Resumable uploads" and "Perform resumable uploads" describe them. */
export class GcsSessions {
  readonly #objects: GcsObjects
  readonly #sessions = new Map<string, Session>()

  constructor(objects: GcsObjects) {
    this.#objects = objects
  }

  begin(bucket: string, description: GcsDescription, match: string | null, size: number | undefined): string {
    this.#objects.checkGeneration(bucket, description.name ?? '', match)
    const id = randomBytes(60).toString('base64url')
    this.#sessions.set(id, { bucket, description, match, size, pieces: [], persisted: 0, done: undefined })
    return id
  }

  /** What of a chunk arrived before its connection broke is kept, in whole grains. */
  keepTorn(id: string, range: string | undefined, arrived: Buffer): void {
    const session = this.#session(id)
    const { first } = parseRange(range)
    if (first === undefined || first !== session.persisted) return
    this.#append(session, arrived.subarray(0, Math.floor(arrived.length / GRAIN_BYTES) * GRAIN_BYTES))
  }

  take(id: string, range: string | undefined, body: Buffer, hash: string | undefined): SessionAnswer {
    const session = this.#session(id)
    if (session.done) return { kind: 'complete', object: session.done }
    const { first, last, total } = parseRange(range)
    if (total !== undefined && session.size !== undefined && total !== session.size) {
      throw new GcsFault(400, 'invalid', `Invalid request. The size was ${session.size} and is ${total}.`)
    }
    if (first !== undefined && last !== undefined) this.#chunk(session, body, first, last, total)
    else if (body.length > 0) throw new GcsFault(400, 'badRequest', 'A status request has no body.')
    if (total === undefined || session.persisted < total) return { kind: 'incomplete', persisted: session.persisted }
    return { kind: 'complete', object: this.#end(session, hash) }
  }

  cancel(id: string): void {
    this.#session(id)
    this.#sessions.delete(id)
  }

  #session(id: string): Session {
    const session = this.#sessions.get(id)
    if (!session) throw new GcsFault(404, 'notFound', 'Not Found')
    return session
  }

  #chunk(session: Session, body: Buffer, first: number, last: number, total: number | undefined): void {
    if (body.length !== last - first + 1) throw new GcsFault(400, 'badRequest', 'Content-Range and length differ.')
    if (first !== session.persisted) {
      throw new GcsFault(400, 'badRequest', `The upload offset is ${first}, ${session.persisted} are uploaded.`)
    }
    if (body.length % GRAIN_BYTES !== 0 && last + 1 !== total) {
      throw new GcsFault(400, 'badRequest', `${body.length} bytes are no multiple of ${GRAIN_BYTES}.`)
    }
    if (total !== undefined && last >= total) throw new GcsFault(400, 'badRequest', 'More than the whole.')
    this.#append(session, body)
  }

  #append(session: Session, bytes: Buffer): void {
    session.pieces.push(Buffer.from(bytes))
    session.persisted += bytes.length
  }

  #end(session: Session, hash: string | undefined): GcsObject {
    const said: { md5Hash?: string; crc32c?: string } = {}
    for (const [, kind, value] of (hash ?? '').matchAll(/(crc32c|md5)=([A-Za-z0-9+/=]+)/g)) {
      said[kind === 'md5' ? 'md5Hash' : 'crc32c'] = value!
    }
    const description = { ...session.description, ...said }
    session.done = this.#objects.put(session.bucket, description, Buffer.concat(session.pieces), session.match)
    return session.done
  }
}

function parseRange(range: string | undefined): { first?: number; last?: number; total?: number } {
  const match = /^bytes (?:(\d+)-(\d+)|\*)\/(\d+|\*)$/.exec(range ?? '')
  if (!match) throw new GcsFault(400, 'badRequest', `Failed to parse Content-Range header: ${range}`)
  const [, first, last, total] = match
  return {
    ...(first === undefined ? {} : { first: Number(first), last: Number(last) }),
    ...(total === '*' ? {} : { total: Number(total) }),
  }
}
