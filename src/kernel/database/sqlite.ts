import { existsSync } from 'node:fs'
import type { Kysely } from 'kysely'
import { errnoOf, errorMessage, StorageFull, StoreLocked } from '../errors.ts'
import { KIB, MIB } from '../limits.ts'
import type { Log } from '../log.ts'
import { Connection } from './connection.ts'
import { kyselyOver } from './dialect.ts'
import { PageGuard, type PageReport, sumsFileOf } from './page-guard.ts'
import type { Database, Queries, SqlValue, Transaction } from './queries.ts'
import { scrubDatabase } from './scrub.ts'

/** Readers beside the writer. Two cores serve requests; more connections only hold more page cache. */
const READERS = 3

/** Pages kept by the connections of one database together: enough for the indexes that a busy store's metadata are written through. */
const DEFAULT_CACHE_BYTES = 88 * MIB

/** A log that a long reader or a large transaction made longer is cut to this once it has been written back. */
const MAX_IDLE_LOG_BYTES = 64 * MIB

/** How a database file is opened. */
export interface SqliteOptions {
  /** Path of the database file; made where it is missing. */
  readonly file: string
  readonly log: Log
  /** Called when the disk failed under the database (EIO): the process must stop, never guess. */
  readonly onFatal?: (error: Error) => void
  /**
   * Keeps sums of its pages beside it, and refuses (Corrupt) what is not what was written. One process, and in it one call, opens a
   * database so; others of the same process may have it open as well. `tolerant`: not refused for its pages, so that they can be looked at.
   */
  readonly guarded?: boolean | 'tolerant'
  /** What its connections keep of its pages in memory, all together; 88 MiB if left out. What does not fit is read from the system's cache. */
  readonly cacheBytes?: number
  /**
   * How long a transaction waits for a writer of another thread, in ms; 10 s if left out. Longer where the file may be written anew
   * (`scrub`), which takes as long as it is large.
   */
  readonly patienceMs?: number
}

/**
 * Opens an embedded database: WAL, `synchronous=FULL`, one connection that writes and a few that only read. Throws StorageFull, Corrupt.
 */
export async function openSqlite(options: SqliteOptions): Promise<Database> {
  const { file, log } = options
  const guard = options.guarded ? await PageGuard.open(file, log, options.guarded === 'tolerant') : undefined
  try {
    return await openConnections(options, guard)
  } catch (error) {
    await guard?.close()
    throw error
  }
}

async function openConnections(options: SqliteOptions, guard: PageGuard | undefined): Promise<Database> {
  const { file, log, onFatal, cacheBytes = DEFAULT_CACHE_BYTES } = options
  // In KiB, and negative, as SQLite takes it: four parts for who writes, two for each reader, one for snapshots.
  const cached = (parts: number) => -Math.ceil((cacheBytes * parts) / (5 + 2 * READERS) / KIB)
  // Pages that have sums are written back by who keeps the sums, and by nobody else.
  const autocheckpoint = guard || existsSync(sumsFileOf(file)) ? 0 : 4000
  const writer = await Connection.open({ file, onFatal })
  await writer.exec(
    `PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA cache_size=${cached(4)}; PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=${autocheckpoint}; PRAGMA journal_size_limit=${MAX_IDLE_LOG_BYTES}`,
  )
  if (options.patienceMs !== undefined) await writer.exec(`PRAGMA busy_timeout=${options.patienceMs}`)
  const readers: Connection[] = []
  for (let i = 0; i < READERS; i++) {
    const reader = await Connection.open({ file, onFatal })
    await reader.exec(`PRAGMA query_only=ON; PRAGMA cache_size=${cached(2)}; PRAGMA temp_store=MEMORY`)
    readers.push(reader)
  }
  const snapshots = await Connection.open({ file, onFatal })
  await snapshots.exec(`PRAGMA query_only=ON; PRAGMA cache_size=${cached(1)}; PRAGMA temp_store=MEMORY`)
  if (!guard) return new SqliteDatabase({ file, writer, readers, snapshots, log, onFatal })
  if (guard.unknown) {
    await writer.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    await guard.adopt()
  }
  const checkpoints = await Connection.open({ file, onFatal })
  await checkpoints.exec('PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=FULL; PRAGMA cache_size=-256')
  const pin = await Connection.open({ file, onFatal })
  await pin.exec('PRAGMA query_only=ON; PRAGMA cache_size=-256')
  return new SqliteDatabase({ file, writer, readers, snapshots, log, onFatal, guarded: { guard, checkpoints, pin } })
}

interface Parts {
  readonly file: string
  readonly writer: Connection
  readonly readers: readonly Connection[]
  readonly snapshots: Connection
  readonly log: Log
  readonly onFatal: ((error: Error) => void) | undefined
  /** `pin`: what it reads keeps a checkpoint from going further, and the log from beginning anew. */
  readonly guarded?: { readonly guard: PageGuard; readonly checkpoints: Connection; readonly pin: Connection }
}

class SqliteDatabase implements Database {
  readonly kind = 'sqlite'
  readonly #file: string
  readonly #writer: Connection
  readonly #readers: readonly Connection[]
  readonly #snapshots: Connection
  readonly #writeLane = new Lane()
  readonly #snapshotLane = new Lane()
  /** Entered before the writer's, never after it. */
  readonly #checkpointLane = new Lane()
  readonly #readSide: Queries
  readonly #writeSide: Queries
  readonly #snapshotSide: Queries
  /** Odd while a transaction is being committed: some readers may see it already and others not yet. */
  #commits = 0
  readonly #log: Log
  readonly #onFatal: ((error: Error) => void) | undefined
  readonly #guarded: Parts['guarded']
  #checkpointDue = false
  #closing = false

  constructor({ file, writer, readers, snapshots, log, onFatal, guarded }: Parts) {
    this.#file = file
    this.#log = log
    this.#onFatal = onFatal
    this.#guarded = guarded
    this.#writer = writer
    this.#readers = readers
    this.#snapshots = snapshots
    this.#readSide = queriesOn(() => this.#leastBusy())
    this.#writeSide = queriesOn(() => writer)
    this.#snapshotSide = queriesOn(() => snapshots)
  }

  get unchangedSince(): number | undefined {
    return this.#commits % 2 === 0 ? this.#commits : undefined
  }

  all<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row[]> {
    return this.#leastBusy().all<Row>(sql, params)
  }

  get<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row | undefined> {
    return this.#leastBusy().get<Row>(sql, params)
  }

  run(): Promise<number> {
    return Promise.reject(new Error('this side of the database only reads: use write'))
  }

  kysely<Tables>(): Kysely<Tables> {
    return this.#readSide.kysely<Tables>()
  }

  write<Result>(work: (tx: Transaction) => Promise<Result>): Promise<Result> {
    return this.#writeLane.enter(async () => {
      const after: (() => void)[] = []
      let rows = 0
      const tx: Transaction = {
        ...this.#writeSide,
        run: async (sql, params) => {
          const changed = await this.#writer.run(sql, params)
          rows += changed
          return changed
        },
        afterCommit: (callback) => after.push(callback),
      }
      await this.#writer.run('BEGIN IMMEDIATE')
      let result: Result
      try {
        result = await work(tx)
        await this.#commit()
      } catch (error) {
        await this.#rollback()
        throw error
      }
      for (const callback of after) callback()
      this.#noteCommit(rows)
      return result
    })
  }

  snapshot<Result>(work: (queries: Queries) => Promise<Result>): Promise<Result> {
    return this.#snapshotLane.enter(async () => {
      await this.#snapshots.run('BEGIN')
      try {
        return await work(this.#snapshotSide)
      } finally {
        await this.#snapshots.run('COMMIT')
      }
    })
  }

  async close(): Promise<void> {
    await this.#writeLane.enter(async () => {})
    await this.#snapshotLane.enter(async () => {})
    this.#closing = true
    const { guard, checkpoints, pin } = this.#guarded ?? {}
    let keeper: Connection | undefined
    try {
      if (guard) await this.#writeBack()
    } catch (error) {
      // The last connection that closes would write the log back without the sums of its pages, unless it can't write.
      this.#log.warn(
        { reason: errorMessage(error) },
        'the log of the database is left to be written back at the next start',
      )
      keeper = await Connection.open({ file: this.#file, readOnly: true })
      await keeper.all('SELECT count(*) FROM sqlite_master')
    }
    for (const reader of this.#readers) await reader.close()
    await this.#snapshots.close()
    await checkpoints?.close()
    await pin?.close()
    await this.#writer.close()
    await keeper?.close()
    await guard?.close()
  }

  async checkPages(): Promise<PageReport | undefined> {
    return this.#guarded?.guard.check((work) => this.#frozen(work))
  }

  scrub(): Promise<boolean> {
    const guard = this.#guarded?.guard
    return scrubDatabase({
      file: this.#file,
      onFatal: this.#onFatal,
      // Not in a transaction of the writer, which would keep others from it. A guarded database has no writer but this one.
      alone: (work) => this.#checkpointLane.enter(() => this.#writeLane.enter(work)),
      checkpoint: async (writeBack) => {
        if (!guard) return writeBack()
        // Reads what is new in the log in small steps first.
        await guard.committed(Number.POSITIVE_INFINITY)
        await guard.checkpoint(writeBack)
      },
    })
  }

  /** After a commit; nobody waits for it. */
  #noteCommit(rows: number): void {
    this.#guarded?.guard
      .committed(rows)
      .then(async (due) => {
        if (!due || this.#checkpointDue || this.#closing) return
        this.#checkpointDue = true
        try {
          await this.#writeBack()
        } finally {
          this.#checkpointDue = false
        }
      })
      .catch((error: unknown) => {
        // Without room the log goes on growing, and it is tried again.
        const full = error instanceof StorageFull || errnoOf(error) === 'ENOSPC' || errnoOf(error) === 'EDQUOT'
        this.#log[full ? 'warn' : 'error']({ err: error }, 'the log of the database could not be written back')
        if (errnoOf(error) === 'EIO') this.#onFatal?.(error as Error)
      })
  }

  /**
   * Writes the log back into the database, the sums of its pages first. What it holds at one moment is written back while others write; what
   * came meanwhile, which is little, while nobody does: the log begins anew only when all of it is.
   */
  #writeBack(): Promise<void> {
    return this.#checkpointLane.enter(async () => {
      const { guard, checkpoints } = this.#guarded!
      const writeBack = async () => {
        await checkpoints.all('PRAGMA wal_checkpoint(PASSIVE)')
      }
      await this.#pinned(
        () => guard.take(),
        async (taken) => {
          await guard.keep(taken)
          await writeBack()
        },
      )
      await this.#frozen(() => guard.checkpoint(writeBack))
      await guard.compact()
    })
  }

  /** `work` finds the database in the state in which `look` looked at it, as far as checkpoints are concerned. */
  async #pinned<Seen>(look: () => Promise<Seen>, work: (seen: Seen) => Promise<void>): Promise<void> {
    const { pin } = this.#guarded!
    await pin.run('BEGIN')
    try {
      const seen = await this.#frozen(async () => {
        await pin.all('SELECT count(*) FROM sqlite_master')
        return look()
      })
      await work(seen)
    } finally {
      await pin.run('COMMIT')
    }
  }

  /** While nobody writes, in this thread or another. */
  #frozen<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#writeLane.enter(async () => {
      await this.#writer.run('BEGIN IMMEDIATE')
      try {
        return await work()
      } finally {
        await this.#rollback()
      }
    })
  }

  async #commit(): Promise<void> {
    this.#commits++
    try {
      await this.#writer.commit()
    } finally {
      this.#commits++
    }
  }

  async #rollback(): Promise<void> {
    try {
      await this.#writer.run('ROLLBACK')
    } catch (error) {
      // A full disk makes SQLite roll back by itself; then there is nothing left to roll back.
      if (!(error instanceof Error && /no transaction is active/.test(error.message))) throw error
    }
  }

  #leastBusy(): Connection {
    let best = this.#readers[0]!
    for (const reader of this.#readers) if (reader.pending < best.pending) best = reader
    return best
  }
}

function queriesOn(connection: () => Connection): Queries {
  const runner = {
    all: <Row>(sql: string, params?: readonly SqlValue[]) => connection().all<Row>(sql, params),
    get: <Row>(sql: string, params?: readonly SqlValue[]) => connection().get<Row>(sql, params),
    run: (sql: string, params?: readonly SqlValue[]) => connection().run(sql, params),
  }
  const builder = kyselyOver<unknown>(runner)
  return { ...runner, kysely: <Tables>() => builder as unknown as Kysely<Tables> }
}

/** Lets one piece of work in at a time, in the order of asking. */
class Lane {
  #tail: Promise<unknown> = Promise.resolve()

  enter<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#tail.then(work, work)
    this.#tail = result.catch(() => {
      // Whoever asked has the error; the next one in the lane must run all the same.
    })
    return result
  }
}

/**
 * Takes a data folder for this process: an exclusive lock in `lock.sqlite`, which the system drops with the process. Throws StoreLocked.
 */
export async function lockFolder(folder: string): Promise<{ release(): Promise<void> }> {
  const connection = await Connection.open({ file: `${folder}/lock.sqlite` })
  await connection.exec('PRAGMA busy_timeout=200')
  try {
    await connection.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    await connection.close()
    if ((error as { code?: string }).code === 'SQLITE_BUSY') throw new StoreLocked(folder)
    throw error
  }
  return { release: () => connection.close() }
}
