import type { Kysely } from 'kysely'
import { StoreLocked } from '../errors.ts'
import type { Log } from '../log.ts'
import { Connection } from './connection.ts'
import { kyselyOver } from './dialect.ts'
import type { Database, Queries, SqlValue, Transaction } from './queries.ts'

/** Readers beside the writer. Two cores serve requests; more connections only hold more page cache. */
const READERS = 3

/** How a database file is opened. */
export interface SqliteOptions {
  /** Path of the database file; made where it is missing. */
  readonly file: string
  readonly log: Log
  /** Called when the disk failed under the database (EIO): the process must stop, never guess. */
  readonly onFatal?: (error: Error) => void
}

/**
 * Opens an embedded database: WAL, `synchronous=FULL`, one connection that writes and a few that only read. Throws StorageFull, Corrupt.
 */
export async function openSqlite(options: SqliteOptions): Promise<Database> {
  const { file, onFatal } = options
  const writer = await Connection.open({ file, onFatal })
  await writer.exec(
    'PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA cache_size=-32768; PRAGMA temp_store=MEMORY; PRAGMA wal_autocheckpoint=4000',
  )
  const readers: Connection[] = []
  for (let i = 0; i < READERS; i++) {
    const reader = await Connection.open({ file, onFatal })
    await reader.exec('PRAGMA query_only=ON; PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY')
    readers.push(reader)
  }
  const snapshots = await Connection.open({ file, onFatal })
  await snapshots.exec('PRAGMA query_only=ON; PRAGMA cache_size=-8192; PRAGMA temp_store=MEMORY')
  return new SqliteDatabase(writer, readers, snapshots)
}

class SqliteDatabase implements Database {
  readonly kind = 'sqlite'
  readonly #writer: Connection
  readonly #readers: readonly Connection[]
  readonly #snapshots: Connection
  readonly #writeLane = new Lane()
  readonly #snapshotLane = new Lane()
  readonly #readSide: Queries
  readonly #writeSide: Queries
  readonly #snapshotSide: Queries
  /** Odd while a transaction is being committed: some readers may see it already and others not yet. */
  #commits = 0

  constructor(writer: Connection, readers: readonly Connection[], snapshots: Connection) {
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
      const tx: Transaction = { ...this.#writeSide, afterCommit: (callback) => after.push(callback) }
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
    for (const reader of this.#readers) await reader.close()
    await this.#snapshots.close()
    await this.#writer.close()
  }

  async #commit(): Promise<void> {
    this.#commits++
    try {
      await this.#writer.run('COMMIT')
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
