import { type Database, faultPoint } from '../../kernel/index.ts'
import type { CommitId } from '../model/index.ts'
import { stillExpired } from './expired.ts'
import type { ReferenceSource } from './references.ts'

/** Rows removed by one transaction: writers wait for no more. */
const ROWS_AT_ONCE = 2_000

/**
 * Removes commits that are not to be kept, those of them that nothing holds by now. What other commits say of them stays: their parents
 * and their provenance name them. Returns how many went. Their versions go afterwards, by `removeCollectedChanges`.
 */
export function deleteCommits(
  db: Database,
  ids: readonly CommitId[],
  sources: readonly ReferenceSource[],
): Promise<number> {
  return db.write(async (tx) => {
    const going = JSON.stringify(await stillExpired(tx, ids, sources))
    faultPoint('gc.commits')
    await tx.run(
      `INSERT INTO collected_changes (commit_id, branch_id, from_seq, last_seq)
       SELECT c.id, c.branch_id, c.from_seq, coalesce(c.last_seq, c.from_seq)
       FROM json_each(?) AS going CROSS JOIN commits AS c ON c.id = going.value`,
      [going],
    )
    for (const table of ['commit_authors', 'provenance', 'propagations']) {
      await tx.run(`DELETE FROM ${table} WHERE commit_id IN (SELECT value FROM json_each(?))`, [going])
    }
    return tx.run('DELETE FROM commits WHERE id IN (SELECT value FROM json_each(?))', [going])
  })
}

/**
 * Removes the versions of commits that are gone, slice by slice; what a crash interrupted is found again. As long as the branch is there,
 * the newest version of each path stays, since the branch shows it.
 */
export async function removeCollectedChanges(db: Database, signal: AbortSignal): Promise<void> {
  for (;;) {
    const gone = await db.get<{ commit_id: string; branch_id: number; from_seq: number; last_seq: number }>(
      'SELECT commit_id, branch_id, from_seq, last_seq FROM collected_changes LIMIT 1',
    )
    if (!gone) return
    const { commit_id, branch_id, from_seq, last_seq } = gone
    for (let from = from_seq; from < last_seq; from += ROWS_AT_ONCE) {
      signal.throwIfAborted()
      const to = Math.min(last_seq, from + ROWS_AT_ONCE)
      faultPoint('gc.changes')
      await db.write((tx) => tx.run(REMOVE_CHANGES, [branch_id, from, to, commit_id]))
    }
    await db.write(async (tx) => {
      for (const table of ['version_tags', 'version_access']) {
        await tx.run(
          `DELETE FROM ${table} WHERE commit_id = ?1 AND seq NOT IN (
             SELECT coalesce(of_seq, seq) FROM changes WHERE branch_id = ?2 AND seq > ?3 AND seq <= ?4)`,
          [commit_id, branch_id, from_seq, last_seq],
        )
      }
      await tx.run('DELETE FROM hidden_versions WHERE branch_id = ? AND commit_id = ?', [branch_id, commit_id])
      await tx.run('DELETE FROM collected_changes WHERE commit_id = ?', [commit_id])
    })
  }
}

/** Changes of branch ?1 in (?2, ?3] of commit ?4 that the branch does not show as the newest of their path. */
const REMOVE_CHANGES = `DELETE FROM changes WHERE (branch_id, seq) IN (
  SELECT c.branch_id, c.seq FROM changes AS c WHERE c.branch_id = ?1 AND c.seq > ?2 AND c.seq <= ?3 AND c.commit_id = ?4
  AND (
    NOT EXISTS (SELECT 1 FROM branches WHERE id = ?1)
    OR EXISTS (SELECT 1 FROM changes AS l WHERE l.branch_id = c.branch_id AND l.path = c.path AND l.seq > c.seq)
    -- On a line that the branch has left.
    OR EXISTS (SELECT 1 FROM branch_moves AS m LEFT JOIN commits AS t ON t.id = m.to_commit AND t.branch_id = ?1
               WHERE m.branch_id = ?1 AND m.seq >= c.seq AND coalesce(t.last_seq, 0) < c.seq)))`
