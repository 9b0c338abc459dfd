import type { Database, Queries } from '../../kernel/index.ts'
import type { TreeHash } from '../model/index.ts'
import { pages } from './references.ts'

/** Rows read, or removed, at a time: writers wait for no more. */
const ROWS_AT_ONCE = 2_000

/** From here on they are written down; those of a collection that a crash ended are forgotten. */
export async function watchLetGo(db: Database): Promise<void> {
  await endLetGo(db)
  await db.write((tx) => tx.run('INSERT INTO collecting (id) VALUES (1)'))
}

/** The collection is over; also at the start of a store, whose last collection a crash may have ended. */
export async function endLetGo(db: Database): Promise<void> {
  await db.write((tx) => tx.run('DELETE FROM collecting'))
  const some = `DELETE FROM let_go WHERE root IN (SELECT root FROM let_go LIMIT ${ROWS_AT_ONCE})`
  while ((await db.write((tx) => tx.run(some))) > 0) {
    // Slice by slice.
  }
}

/** What was let go since `watchLetGo`. */
export async function* letGoRoots(queries: Queries): AsyncGenerator<TreeHash> {
  const rows = pages<{ root: string }>((last) =>
    queries.all(`SELECT root FROM let_go WHERE root > ? ORDER BY root LIMIT ${ROWS_AT_ONCE}`, [last?.root ?? '']),
  )
  for await (const { root } of rows) yield root as TreeHash
}
