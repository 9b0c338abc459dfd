import sqlite3 from 'sqlite3'
import { Corrupt, errnoOf, StorageFull } from '../errors.ts'
import { type FaultPoint, faultPoint } from '../fault-points.ts'
import type { SqlValue } from './queries.ts'

/** Statements kept prepared on one connection. Texts with IN lists of many lengths would otherwise grow without end. */
const MAX_PREPARED = 256

/** SQLite's online backup as the driver has it; its types leave it out. */
interface BackupSource {
  backup(file: string, done: (error: Error | null) => void): OnlineBackup
}
interface OnlineBackup {
  readonly completed: boolean
  step(pages: number, done: (error: Error | null) => void): void
  finish(done: (error: Error | null) => void): void
}

export interface ConnectionOptions {
  readonly file: string
  readonly readOnly?: boolean
  /** Called for a failure after which nothing about the file may be assumed (EIO). */
  readonly onFatal?: ((error: Error) => void) | undefined
}

/** One SQLite connection with promises and a bounded cache of prepared statements. Calls run one after the other. */
export class Connection {
  readonly #db: sqlite3.Database
  readonly #onFatal: ((error: Error) => void) | undefined
  readonly #prepared = new Map<string, sqlite3.Statement>()
  /** Calls under way or queued; the pool of readers takes the least busy one. */
  pending = 0

  private constructor(db: sqlite3.Database, onFatal: ((error: Error) => void) | undefined) {
    this.#db = db
    this.#onFatal = onFatal
  }

  static async open(options: ConnectionOptions): Promise<Connection> {
    const mode = options.readOnly ? sqlite3.OPEN_READONLY : sqlite3.OPEN_READWRITE | sqlite3.OPEN_CREATE
    const db = await new Promise<sqlite3.Database>((resolve, reject) => {
      const opened: sqlite3.Database = new sqlite3.Database(options.file, mode, (error) =>
        error ? reject(translate(error)) : resolve(opened),
      )
    })
    const connection = new Connection(db, options.onFatal)
    db.configure('busyTimeout', 10_000)
    return connection
  }

  exec(sql: string): Promise<void> {
    return this.#call((done) => this.#db.exec(sql, (error) => done(error)))
  }

  async all<Row>(sql: string, params: readonly SqlValue[] = []): Promise<Row[]> {
    const statement = this.#prepared.get(sql) ?? (await this.#prepare(sql))
    return this.#call<Row[]>((done) => statement.all(params, (error, rows) => done(error, rows as Row[])))
  }

  get<Row>(sql: string, params: readonly SqlValue[] = []): Promise<Row | undefined> {
    // `all` and not `get`: node-sqlite3's `get` leaves the statement stepped, which would hold a read snapshot open.
    return this.all<Row>(sql, params).then((rows) => rows[0])
  }

  async run(sql: string, params: readonly SqlValue[] = []): Promise<number> {
    const statement = this.#prepared.get(sql) ?? (await this.#prepare(sql))
    return this.#call<number>((done) => {
      statement.run(params, function (this: sqlite3.RunResult, error: Error | null) {
        done(error, this?.changes)
      })
    })
  }

  async commit(): Promise<void> {
    await this.#call((done) => done(failing('sql.commit')))
    await this.run('COMMIT')
    faultPoint('sql.committed')
  }

  /** Copies the database into a file that is not there; `drive` calls `step` with a number of pages until it says that all are copied. */
  async copyTo(file: string, drive: (step: (pages: number) => Promise<boolean>) => Promise<void>): Promise<void> {
    const backup = await this.#call<OnlineBackup>((done) => {
      const begun = (this.#db as unknown as BackupSource).backup(file, (error: Error | null) => done(error, begun))
    })
    try {
      await drive((pages) =>
        this.#call<boolean>((done) => backup.step(pages, (error) => done(error, backup.completed))),
      )
    } finally {
      await this.#call((done) => backup.finish((error) => done(error)))
    }
  }

  async close(): Promise<void> {
    for (const statement of this.#prepared.values()) statement.finalize()
    this.#prepared.clear()
    await this.#call((done) => this.#db.close((error) => done(error)))
  }

  // Awaited before the first use: calls queued on a statement that does not compile are never answered.
  async #prepare(sql: string): Promise<sqlite3.Statement> {
    const statement = await this.#call<sqlite3.Statement>((done) => {
      const prepared = this.#db.prepare(sql, (error: Error | null) => done(error, prepared))
    })
    const known = this.#prepared.get(sql)
    if (known) {
      statement.finalize()
      return known
    }
    if (this.#prepared.size >= MAX_PREPARED) this.#evictOldest()
    this.#prepared.set(sql, statement)
    return statement
  }

  #evictOldest(): void {
    const [sql, statement] = this.#prepared.entries().next().value!
    this.#prepared.delete(sql)
    // Finalizing waits for calls that are queued on it.
    statement.finalize()
  }

  #call<Result>(start: (done: (error: Error | null, result?: Result) => void) => void): Promise<Result> {
    this.pending++
    return new Promise<Result>((resolve, reject) => {
      start((error, result) => {
        this.pending--
        if (!error) return resolve(result as Result)
        const translated = translate(error)
        if (isIoError(error)) this.#onFatal?.(translated)
        reject(translated)
      })
    })
  }
}

/** As SQLite says it. */
function failing(point: FaultPoint): Error | null {
  try {
    faultPoint(point)
    return null
  } catch (error) {
    const code = errnoOf(error) === 'ENOSPC' ? 'SQLITE_FULL' : 'SQLITE_IOERR'
    return Object.assign(new Error(code, { cause: error }), { code })
  }
}

function isIoError(error: Error): boolean {
  return (error as { code?: string }).code === 'SQLITE_IOERR'
}

function translate(error: Error): Error {
  switch ((error as { code?: string }).code) {
    case 'SQLITE_FULL':
      return new StorageFull(error)
    case 'SQLITE_CORRUPT':
    case 'SQLITE_NOTADB':
      return new Corrupt('the metadata database', {}, error)
    default:
      return error
  }
}
