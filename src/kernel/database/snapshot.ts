import { setImmediate as nextTurn } from 'node:timers/promises'
import { Connection } from './connection.ts'

/** 4 MiB at the usual page size: some milliseconds of a thread of the pool. */
const PAGES_AT_ONCE = 1024

/**
 * Copies a database file as it is at one moment, while others read and write it; nobody waits for it. The copy keeps every page where
 * it was, so that what did not change since the copy before is the same in both. `to` must not be there. Throws StorageFull, Corrupt.
 */
export async function snapshotSqlite(file: string, to: string, signal?: AbortSignal): Promise<void> {
  const source = await Connection.open({ file, readOnly: true })
  try {
    // While its transaction is open, the connection sees one state; without it the copy would begin anew with every write.
    await source.exec('BEGIN')
    await source.all('SELECT count(*) FROM sqlite_master')
    await source.copyTo(to, async (step) => {
      while (!(await step(PAGES_AT_ONCE))) {
        signal?.throwIfAborted()
        await nextTurn()
      }
    })
    await source.exec('COMMIT')
  } finally {
    await source.close()
  }
}

/** Rows of a database that nobody may change by looking: no file of it is made, moved or written. */
export async function peekSqlite<Result>(
  file: string,
  work: (
    all: <Row>(sql: string, params?: readonly (string | number | Buffer | null)[]) => Promise<Row[]>,
  ) => Promise<Result>,
): Promise<Result> {
  const connection = await Connection.open({ file, readOnly: true })
  try {
    return await work((sql, params) => connection.all(sql, params))
  } finally {
    await connection.close()
  }
}
