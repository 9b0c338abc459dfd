import type { Database, Transaction } from '../../kernel/index.ts'
import type { ChunkPlace } from '../content-store.ts'
import { Lru } from '../lru.ts'

/** Where a published chunk's bytes are. */
export interface Place {
  readonly pack: number
  readonly offset: number
  readonly length: number
}

interface Row extends Place {
  readonly sha256: Buffer
}

interface Lookup {
  readonly sha256: Buffer
  readonly promise: Promise<Place | undefined>
  readonly resolve: (place: Place | undefined) => void
  readonly reject: (error: unknown) => void
}

/** One SELECT asks for at most this many; more wait for the next. */
const LOOKUPS_AT_ONCE = 1000
/** Rows of one INSERT: bounds the length of its parameter to some 1 MiB. */
const PUBLISH_AT_ONCE = 10_000
/** Damaged chunks remembered; found again when they are read. */
const MAX_DAMAGED = 10_000

const selectPlaces = `
  SELECT chunk.sha256, chunk.pack, chunk."offset", chunk.length
  FROM json_each(?) AS wanted CROSS JOIN chunk ON chunk.sha256 = unhex(wanted.value)`

const insertPlaces = (onConflict: string) => `
  INSERT INTO chunk (sha256, pack, "offset", length)
  SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3 FROM json_each(?) WHERE true
  ON CONFLICT (sha256) DO ${onConflict}`
const publishNew = insertPlaces('NOTHING')
const publishInstead = insertPlaces(
  'UPDATE SET pack = excluded.pack, "offset" = excluded."offset", length = excluded.length',
)

/** A Map takes strings by value; this is the shortest one that a hash makes. */
export const keyOf = (sha256: Buffer) => sha256.toString('latin1')

/** As rows cross to SQL. */
export const placesOf = ({ sha256, pack, offset, length }: ChunkPlace) => [sha256.toString('hex'), pack, offset, length]
const samePlace = (a: Place, b: Place) => a.pack === b.pack && a.offset === b.offset

/** Where published chunks are. */
export class ChunkIndex {
  readonly #db: Database
  readonly #known: Lru<string, Place>
  readonly #waiting = new Map<string, Lookup>()
  #asking = false
  readonly #damaged = new Map<string, Place>()
  /** Packs that are shorter than what was published in them, with their lengths. */
  readonly #short = new Map<number, number>()

  constructor(db: Database, cachedPlaces: number) {
    this.#db = db
    this.#known = new Lru(cachedPlaces)
  }

  /** Where a published chunk is. Look-ups that come while one runs go together as the next. */
  find(sha256: Buffer): Promise<Place | undefined> {
    const key = keyOf(sha256)
    const known = this.#known.get(key)
    if (known) return Promise.resolve(known)
    const same = this.#waiting.get(key)
    if (same) return same.promise
    const lookup: Lookup = { sha256, ...Promise.withResolvers<Place | undefined>() }
    this.#waiting.set(key, lookup)
    if (!this.#asking) {
      this.#asking = true
      // What the other sockets bring in this turn is asked in the same statement.
      setImmediate(() => this.#ask())
    }
    return lookup.promise
  }

  /** The same, but only if the bytes there are not known to be damaged: a copy of them must not be saved then. */
  async findSound(sha256: Buffer): Promise<Place | undefined> {
    const place = await this.find(sha256)
    return place && !this.#isDamaged(keyOf(sha256), place) ? place : undefined
  }

  async #ask(): Promise<void> {
    while (this.#waiting.size > 0) {
      const lookups = [...this.#waiting].slice(0, LOOKUPS_AT_ONCE)
      for (const [key] of lookups) this.#waiting.delete(key)
      try {
        const found = await this.#select(lookups.map(([, { sha256 }]) => sha256))
        for (const [key, { resolve }] of lookups) resolve(found.get(key))
      } catch (error) {
        for (const [, { reject }] of lookups) reject(error)
      }
    }
    this.#asking = false
  }

  async #select(wanted: readonly Buffer[]): Promise<ReadonlyMap<string, Place>> {
    const found = new Map<string, Place>()
    const rows = await this.#db.all<Row>(selectPlaces, [JSON.stringify(wanted.map((sha256) => sha256.toString('hex')))])
    for (const { sha256, pack, offset, length } of rows) {
      const key = keyOf(sha256)
      const place = { pack, offset, length }
      found.set(key, place)
      this.#known.set(key, place)
    }
    return found
  }

  /** Makes durable chunks findable. One that is published already keeps its place, unless that is known to be damaged. */
  async publish(tx: Transaction, chunks: readonly ChunkPlace[]): Promise<void> {
    for (let at = 0; at < chunks.length; at += PUBLISH_AT_ONCE) {
      const some = chunks.slice(at, at + PUBLISH_AT_ONCE)
      const inserted = await tx.run(publishNew, [JSON.stringify(some.map(placesOf))])
      // If some were there already their place is another one, and the next look-up finds it.
      if (inserted === some.length) tx.afterCommit(() => this.#remember(some))
      else await this.#replaceDamaged(tx, some)
    }
  }

  async #replaceDamaged(tx: Transaction, chunks: readonly ChunkPlace[]): Promise<void> {
    if (this.#damaged.size === 0 && this.#short.size === 0) return
    const rows = await tx.all<Row>(selectPlaces, [JSON.stringify(chunks.map(({ sha256 }) => sha256.toString('hex')))])
    const bad = new Set(rows.map((row) => keyOf(row.sha256)).filter((key, i) => this.#isDamaged(key, rows[i] as Row)))
    const better = chunks.filter(({ sha256 }) => bad.has(keyOf(sha256)))
    if (better.length === 0) return
    await tx.run(publishInstead, [JSON.stringify(better.map(placesOf))])
    tx.afterCommit(() => this.#remember(better))
  }

  #remember(chunks: readonly ChunkPlace[]): void {
    for (const { sha256, pack, offset, length } of chunks) this.#known.set(keyOf(sha256), { pack, offset, length })
  }

  /** Where it is if it is not there any more: packs are rewritten while they are read. */
  async findMoved(sha256: Buffer, from: Place): Promise<Place | undefined> {
    this.forget(sha256)
    const [row] = await this.#db.all<Row>(selectPlaces, [JSON.stringify([sha256.toString('hex')])])
    return row && !samePlace(row, from) ? row : undefined
  }

  /** Its place may be another one, or none: the next look-up asks. */
  forget(sha256: Buffer): void {
    this.#known.delete(keyOf(sha256))
  }

  /** The bytes there are not the chunk. A copy that is uploaded later takes its place. */
  markDamaged(sha256: Buffer, place: Place): void {
    const key = keyOf(sha256)
    this.#known.delete(key)
    if (this.#damaged.size < MAX_DAMAGED) this.#damaged.set(key, place)
  }

  /** A pack lost its end: what was published beyond `bytes` is damaged. */
  markShort(pack: number, bytes: number): void {
    this.#short.set(pack, bytes)
  }

  #isDamaged(key: string, place: Place): boolean {
    const damaged = this.#damaged.get(key)
    if (damaged && samePlace(damaged, place)) return true
    const packBytes = this.#short.get(place.pack)
    return packBytes !== undefined && place.offset + place.length > packBytes
  }
}
