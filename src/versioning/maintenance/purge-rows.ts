import { type Database, faultPoint, type Transaction } from '../../kernel/index.ts'
import { CONTROL_FOLDER } from '../model/index.ts'
import { afterPrefix } from '../tree/index.ts'

/** Rows removed by one transaction: writers wait for no more. */
const ROWS_AT_ONCE = 500
/** In the control folder, where nobody can write. */
const NOWHERE = `${CONTROL_FOLDER}purged`
const HIGHEST = Buffer.alloc(1, 0xff)

/** What is purged, as rows have it. */
export interface Purged {
  readonly repo: string
  readonly path: string
  readonly prefix: boolean
}

/** `path` is in [?from, ?to), by bytes. */
function range({ path, prefix }: Purged): readonly [Buffer, Buffer] {
  const from = Buffer.from(path)
  return [from, prefix ? (afterPrefix(from) ?? HIGHEST) : Buffer.concat([from, Buffer.from([0])])]
}

const IN_RANGE = (column: string) => `${column} >= CAST(?2 AS TEXT) AND ${column} < CAST(?3 AS TEXT)`

/** Removes the versions, uploads and scratch files of what is purged, slice by slice. Returns how many versions went. */
export async function purgeRows(db: Database, purged: Purged, signal: AbortSignal): Promise<number> {
  const branches = await db.all<{ id: number }>(
    'SELECT id FROM branches WHERE repo = ?1 UNION SELECT DISTINCT branch_id FROM commits WHERE repo = ?1',
    [purged.repo],
  )
  const [from, to] = range(purged)
  let versions = 0
  for (const { id } of branches) {
    for (let removed = ROWS_AT_ONCE; removed === ROWS_AT_ONCE; ) {
      signal.throwIfAborted()
      removed = await db.write((tx) => purgeChanges(tx, id, from, to))
      versions += removed
    }
    await db.write(async (tx) => {
      await tx.run(
        `DELETE FROM parts WHERE upload_id IN (SELECT id FROM uploads WHERE branch_id = ?1 AND ${IN_RANGE('path')})`,
        [id, from, to],
      )
      for (const table of ['uploads', 'scratch', 'hidden_versions', 'hidden_runs', 'rename_tokens']) {
        await tx.run(`DELETE FROM ${table} WHERE branch_id = ?1 AND ${IN_RANGE('path')}`, [id, from, to])
      }
      await tx.run(`DELETE FROM rename_tokens WHERE branch_id = ?1 AND ${IN_RANGE('source')}`, [id, from, to])
    })
  }
  return versions
}

async function purgeChanges(tx: Transaction, branchId: number, from: Buffer, to: Buffer): Promise<number> {
  const rows = await tx.all<{ seq: number; commit_id: string; of_commit: string | null; of_seq: number | null }>(
    `SELECT seq, commit_id, of_commit, of_seq FROM changes INDEXED BY changes_by_path
     WHERE branch_id = ?1 AND ${IN_RANGE('path')} LIMIT ${ROWS_AT_ONCE}`,
    [branchId, from, to],
  )
  const versions = JSON.stringify(rows.map((row) => [row.of_commit ?? row.commit_id, row.of_seq ?? row.seq]))
  for (const table of ['version_tags', 'version_access']) {
    await tx.run(`DELETE FROM ${table} WHERE (commit_id, seq) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?))`, [
      versions,
    ])
  }
  const seqs = JSON.stringify(rows.map(({ seq }) => seq))
  if (rows.length > 0) faultPoint('purge.rows')
  // What is not folded yet has no gaps, by which a lost change would be found: these say nothing of a path that nobody has.
  await tx.run(
    `UPDATE changes SET path = '${NOWHERE}', entry = NULL, of_commit = '', of_seq = 0, listed = 0
     WHERE branch_id = ?1 AND seq IN (SELECT value FROM json_each(?2))
       AND EXISTS (SELECT 1 FROM commits AS c WHERE c.id = changes.commit_id AND c.finished_ms IS NULL)`,
    [branchId, seqs],
  )
  await tx.run(
    `DELETE FROM changes WHERE branch_id = ? AND path <> '${NOWHERE}' AND seq IN (SELECT value FROM json_each(?))`,
    [branchId, seqs],
  )
  return rows.length
}
