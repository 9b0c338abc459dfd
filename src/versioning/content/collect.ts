import { setTimeout as delay } from 'node:timers/promises'
import { type Database, errorMessage, faultPoint, type Log, MIB } from '../../kernel/index.ts'
import { type ChunkIndex, type Place, placesOf } from './chunk-index.ts'
import type { ChunkReader } from './chunk-reader.ts'
import type { Claims } from './claims.ts'
import type { Marks } from './marks.ts'
import type { PackInfo } from './pack-file.ts'
import type { Packs } from './packs.ts'
import { FILE_HEADER_BYTES, isWhole, RECORD_HEADER_BYTES, readRecordHeader } from './record.ts'
import { sha256Of } from './sha256.ts'
import type { SharedAppender } from './shared-appender.ts'

/** Rows of one transaction: writers wait for no more. */
const ROWS_AT_ONCE = 500
/** Records under way while a pack is rewritten: together they share flushes. */
const MOVED_AT_ONCE = 64
const MOVED_BYTES_AT_ONCE = 2 * MIB
/** In between: requests share the pack that it goes to, and wait for what is ahead of them. */
const REST_MS = 5

export interface Removed {
  readonly chunks: number
  readonly bytes: number
}

/** A pack that can be removed or rewritten. */
export interface PackUse extends PackInfo {
  readonly fileBytes: number
}

/** `sealedBeforeMs`: as of `performance.now()`. `alsoStaged`: also where something is staged, which can't be published then. */
export interface PackChoice {
  readonly sealedBeforeMs: number
  readonly alsoStaged: boolean
}

export type Repacked =
  | { readonly kind: 'moved'; readonly bytes: number }
  /** Something in it is not what it was: it is left as it is, for fsck. */
  | { readonly kind: 'damaged' }

/** How what nothing refers to leaves the content store. Every step is whole by itself. */
export interface Collecting {
  /** From here on what is claimed is marked. One at a time. */
  begin(marks: Marks): Promise<void>
  takeCopied(): readonly Buffer[]
  /** False if there is more to mark first. From here on what is not marked may not be referred to. */
  close(): boolean
  end(): void
  /** Dooms those that are not marked by now. */
  doom(chunks: readonly { readonly sha256: Buffer; readonly length: number }[], nowMs: number): Promise<Removed>
  /** These were doomed, and are in use: whatever the reason, they stay. */
  bringBack(chunks: readonly Buffer[]): Promise<void>
  /** Forgets up to some hundred chunks that were doomed at or before this time; their bytes stay in their packs. None left: no chunks. */
  removeDoomed(untilMs: number): Promise<Removed>
  /** What is doomed, and not forgotten yet. */
  doomed(): Promise<Removed>
  /** Nothing more is appended to the pack that small objects share now: it is like the others then. */
  retireShared(): Promise<void>
  /** Packs that nobody writes to, by id, a page of them. `after`: the last one's id. */
  packs(after: number, which: PackChoice): Promise<readonly PackUse[]>
  /** What is published in a pack, with the headers of its records. */
  usedBytes(pack: PackInfo): Promise<number>
  /** Removes a pack if no chunk is published in it. Returns whether it is gone. */
  removePack(pack: PackInfo): Promise<boolean>
  /** Moves everything that is published in a pack into others; it is empty then. `signal` ends it between two steps. */
  repack(pack: PackInfo, signal: AbortSignal): Promise<Repacked>
}

interface Parts {
  readonly db: Database
  readonly index: ChunkIndex
  readonly claims: Claims
  readonly packs: Packs
  readonly chunks: ChunkReader
  readonly shared: SharedAppender
  readonly log: Log
  /** Whether a body that is being received has something in this pack. */
  readonly isStagedIn: (pack: number) => boolean
}

interface Row extends Place {
  readonly sha256: Buffer
}

export class ContentCollecting implements Collecting {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  begin(marks: Marks): Promise<void> {
    return this.#parts.db.write(async () => this.#parts.claims.begin(marks))
  }

  takeCopied(): readonly Buffer[] {
    return this.#parts.claims.takeCopied()
  }

  close(): boolean {
    return this.#parts.claims.close()
  }

  end(): void {
    this.#parts.claims.end()
  }

  async doom(chunks: readonly { sha256: Buffer; length: number }[], nowMs: number): Promise<Removed> {
    const { db, claims } = this.#parts
    let count = 0
    let bytes = 0
    for (let at = 0; at < chunks.length; at += ROWS_AT_ONCE) {
      const some = chunks.slice(at, at + ROWS_AT_ONCE)
      faultPoint('gc.doom')
      const doomed = await db.write(async (tx) => {
        // In the lane: what was claimed before is marked, and what is claimed later finds it doomed.
        const unclaimed = some.filter(({ sha256 }) => !claims.isMarked(sha256))
        if (unclaimed.length === 0) return []
        claims.doomed(true)
        return tx.all<{ length: number }>(
          `INSERT INTO doomed_chunk (sha256, length, doomed_ms)
           SELECT chunk.sha256, chunk.length, ? FROM json_each(?) AS wanted CROSS JOIN chunk ON chunk.sha256 = unhex(wanted.value)
           WHERE true ON CONFLICT (sha256) DO NOTHING RETURNING length`,
          [nowMs, JSON.stringify(unclaimed.map(({ sha256 }) => sha256.toString('hex')))],
        )
      })
      count += doomed.length
      for (const { length } of doomed) bytes += length
    }
    return { chunks: count, bytes }
  }

  async bringBack(chunks: readonly Buffer[]): Promise<void> {
    const { db, claims } = this.#parts
    for (let at = 0; at < chunks.length; at += ROWS_AT_ONCE) {
      await db.write((tx) => claims.bringBack(tx, chunks.slice(at, at + ROWS_AT_ONCE)))
    }
  }

  removeDoomed(untilMs: number): Promise<Removed> {
    const { db, claims, index } = this.#parts
    faultPoint('gc.remove')
    return db.write(async (tx) => {
      const rows = await tx.all<{ sha256: Buffer; length: number }>(
        `DELETE FROM doomed_chunk WHERE sha256 IN (
           SELECT sha256 FROM doomed_chunk WHERE doomed_ms <= ? ORDER BY doomed_ms LIMIT ${ROWS_AT_ONCE}) RETURNING sha256, length`,
        [untilMs],
      )
      await tx.run('DELETE FROM chunk WHERE sha256 IN (SELECT unhex(value) FROM json_each(?))', [
        JSON.stringify(rows.map(({ sha256 }) => sha256.toString('hex'))),
      ])
      const left = await tx.get('SELECT 1 FROM doomed_chunk LIMIT 1')
      tx.afterCommit(() => {
        for (const { sha256 } of rows) index.forget(sha256)
        if (!left) claims.doomed(false)
      })
      return { chunks: rows.length, bytes: rows.reduce((sum, { length }) => sum + length, 0) }
    })
  }

  async doomed(): Promise<Removed> {
    const row = await this.#parts.db.get<{ chunks: number; bytes: number }>(
      'SELECT count(*) AS chunks, coalesce(sum(length), 0) AS bytes FROM doomed_chunk',
    )
    return row!
  }

  retireShared(): Promise<void> {
    return this.#parts.shared.retireNow()
  }

  async packs(after: number, which: PackChoice): Promise<readonly PackUse[]> {
    const { packs, isStagedIn } = this.#parts
    const rows = await packs.sealedAfter(after, ROWS_AT_ONCE)
    const used: PackUse[] = []
    for (const { id, name } of rows) {
      if ((isStagedIn(id) && !which.alsoStaged) || !packs.wasSealedBefore(id, which.sealedBeforeMs)) continue
      used.push({ id, name, fileBytes: (await packs.fileBytes({ id, name })) ?? 0 })
    }
    const last = rows.at(-1)
    // A page of which none may be touched must not look like the end.
    if (used.length === 0 && last) return this.packs(last.id, which)
    return used
  }

  async usedBytes({ id }: PackInfo): Promise<number> {
    const row = await this.#parts.db.get<{ bytes: number }>(
      `SELECT coalesce(sum(length + ${RECORD_HEADER_BYTES}), 0) AS bytes FROM chunk WHERE pack = ?`,
      [id],
    )
    return row!.bytes
  }

  async removePack(pack: PackInfo): Promise<boolean> {
    const { packs, claims, chunks } = this.#parts
    if (!(await packs.markGoing(pack.id, () => claims.packGoing(pack.id)))) return false
    chunks.forget(pack.id)
    return packs.drop(pack)
  }

  async repack(pack: PackInfo, signal: AbortSignal): Promise<Repacked> {
    const { db, log } = this.#parts
    let bytes = 0
    for (;;) {
      signal.throwIfAborted()
      const rows = await db.all<Row>(
        `SELECT sha256, pack, "offset", length FROM chunk WHERE pack = ? ORDER BY "offset" LIMIT ${MOVED_AT_ONCE}`,
        [pack.id],
      )
      if (rows.length === 0) return { kind: 'moved', bytes }
      try {
        bytes += await this.#move(pack, upTo(rows, MOVED_BYTES_AT_ONCE))
        await delay(REST_MS)
      } catch (error) {
        if (!(error instanceof Unsound)) throw error
        log.error(
          { pack: pack.name, sha256: error.sha256.toString('hex'), reason: errorMessage(error) },
          'a pack is not rewritten, since something in it is damaged: sluice fsck says what it touches',
        )
        return { kind: 'damaged' }
      }
    }
  }

  async #move(pack: PackInfo, rows: readonly Row[]): Promise<number> {
    const { packs, shared, db, index } = this.#parts
    const file = await packs.openForReading(pack)
    try {
      const places = await Promise.all(
        rows.map(async (row) => {
          const { kind, data } = await readSound(file, row)
          return shared.append({ kind, sha256: row.sha256, data })
        }),
      )
      const moves = places.map((place, at) => [...placesOf(place), rows[at]!.offset])
      faultPoint('gc.repack')
      await db.write(async (tx) => {
        await tx.run(MOVE_SQL, [JSON.stringify(moves), pack.id])
        tx.afterCommit(() => {
          for (const { sha256 } of rows) index.forget(sha256)
        })
      })
    } finally {
      await file.close()
    }
    return rows.reduce((sum, { length }) => sum + length + RECORD_HEADER_BYTES, 0)
  }
}

/**
 * The `+` keep the planner from the index by pack: all chunks of the pack would be read, and for each of them all that move, while
 * everybody who writes waits.
 */
export const MOVE_SQL = `UPDATE chunk SET pack = m.value ->> 1, "offset" = m.value ->> 2 FROM json_each(?) AS m
  WHERE chunk.sha256 = unhex(m.value ->> 0) AND +chunk.pack = ? AND +chunk."offset" = m.value ->> 4`

/** A record that is not what its place says. */
class Unsound extends Error {
  readonly sha256: Buffer

  constructor(sha256: Buffer, reason: string) {
    super(reason)
    this.sha256 = sha256
  }
}

async function readSound(file: Awaited<ReturnType<Packs['openForReading']>>, row: Row) {
  const bytes = Buffer.allocUnsafe(RECORD_HEADER_BYTES + row.length)
  const start = row.offset - RECORD_HEADER_BYTES
  if (start < FILE_HEADER_BYTES) throw new Unsound(row.sha256, 'its place is before the first record')
  for (let at = 0; at < bytes.length; ) {
    const more = await file.read(bytes.subarray(at), start + at)
    if (more === 0) throw new Unsound(row.sha256, 'the pack ends before it')
    at += more
  }
  const data = bytes.subarray(RECORD_HEADER_BYTES)
  const header = readRecordHeader(bytes)
  if (!header || header.length !== row.length || !isWhole(bytes.subarray(0, RECORD_HEADER_BYTES), data))
    throw new Unsound(row.sha256, 'its record is not whole')
  if (!(await sha256Of(data)).equals(row.sha256)) throw new Unsound(row.sha256, 'its bytes have changed')
  return { kind: header.kind, data }
}

/** The first of them, at least one, that come to no more bytes. */
function upTo(rows: readonly Row[], most: number): readonly Row[] {
  let bytes = 0
  const end = rows.findIndex((row, at) => {
    bytes += row.length
    return at > 0 && bytes > most
  })
  return end < 0 ? rows : rows.slice(0, end)
}
