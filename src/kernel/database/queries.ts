import type { Kysely } from 'kysely'
import type { PageReport } from './page-guard.ts'

/** What a statement binds and returns. Blobs are Buffers, integers are JS numbers (below 2^53), booleans are 0 and 1. */
export type SqlValue = string | number | bigint | Buffer | null

/**
 * Statements on one side of the database. `kysely<T>()` is the typed builder over a floor's own tables; `all`, `get` and
 * `run` take SQL text that is prepared once per connection and kept, for the hot paths.
 */
export interface Queries {
  all<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row[]>
  get<Row>(sql: string, params?: readonly SqlValue[]): Promise<Row | undefined>
  /** Returns how many rows were changed. */
  run(sql: string, params?: readonly SqlValue[]): Promise<number>
  kysely<Tables>(): Kysely<Tables>
}

/** A write transaction. It owns the only write connection from BEGIN to COMMIT: keep it short, await no network in it. */
export interface Transaction extends Queries {
  /** Runs after a successful COMMIT, before `write` returns; not at all after a rollback. */
  afterCommit(work: () => void): void
}

/**
 * The metadata database. The database's own methods read: they see the last committed state and never wait for the
 * writer; each call is a statement of its own.
 */
export interface Database extends Queries {
  readonly kind: 'sqlite'
  /**
   * The same number as before only if nothing can have been committed since: what was read then is what would be read now. Undefined
   * while a transaction is being committed, and where other processes write too.
   */
  readonly unchangedSince: number | undefined
  /**
   * Runs `work` in the writer lane: one transaction at a time, in the order of the calls, durable when the promise
   * resolves (the WAL is fsynced). A throw rolls back and is passed on. Full disk is StorageFull.
   */
  write<Result>(work: (tx: Transaction) => Promise<Result>): Promise<Result>
  /** Several reads of one consistent state. */
  snapshot<Result>(work: (queries: Queries) => Promise<Result>): Promise<Result>
  /** Compares the pages of its file with their sums, while it is used; undefined where it has none. */
  checkPages(): Promise<PageReport | undefined>
  /**
   * Writes the file anew, so that it and its log hold no byte of what was removed from it. Nobody writes meanwhile, and it takes as much room
   * again. False if its log could not be emptied, since somebody read it all the time.
   */
  scrub(): Promise<boolean>
  close(): Promise<void>
}

/** One numbered step of a floor's schema. Steps are never changed once released; each runs in a transaction of its own. */
export interface Migration {
  readonly version: number
  readonly up: readonly string[]
}

/** A floor's migrations, under the name that its version is kept by. */
export interface MigrationSet {
  readonly floor: string
  readonly migrations: readonly Migration[]
}
