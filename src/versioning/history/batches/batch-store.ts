import type { Database, Queries } from '../../../kernel/index.ts'
import type { BatchRules, BranchAddress, BranchName, RepoName } from '../../model/index.ts'
import { writableBranch } from '../branches.ts'
import { checkedRules, readBatchRules } from './batch-rules.ts'
import type { Batches } from './batches.ts'

/** Sets the rules of one branch, in its row and for what runs; what is left out follows the server. Throws InvalidInput. */
export async function setBatchRules(
  db: Database,
  batches: Batches,
  at: BranchAddress,
  given: BatchRules,
): Promise<void> {
  const rules = checkedRules(given)
  const text = Object.keys(rules).length === 0 ? null : JSON.stringify(rules)
  await db.write(async (tx) => {
    const { id } = await writableBranch(tx, at, 'settings')
    await tx.run('UPDATE branches SET batch_rules = ? WHERE id = ?', [text, id])
    // After the commit, and in the order of the commits.
    tx.afterCommit(() => batches.setRules(at, rules))
  })
}

/** Takes up the rules that branches were given before the process started. */
export async function loadBatchRules(db: Queries, batches: Batches): Promise<void> {
  const rows = await db.all<{ repo: string; name: string; batch_rules: string }>(
    'SELECT repo, name, batch_rules FROM branches WHERE batch_rules IS NOT NULL',
  )
  for (const row of rows) {
    batches.setRules({ repo: row.repo as RepoName, branch: row.name as BranchName }, readBatchRules(row.batch_rules))
  }
}

/** The scratch folders that were written to lately: their jobs are still at work. */
export async function loadHolds(db: Queries, batches: Batches, sinceMs: number): Promise<void> {
  const rows = await db.all<{ repo: string; name: string; area: string; at_ms: number }>(
    `SELECT b.repo, b.name, s.area, max(s.at_ms) AS at_ms
     FROM scratch AS s INDEXED BY scratch_by_area CROSS JOIN branches AS b ON b.id = s.branch_id
     WHERE b.kind = 'branch' GROUP BY s.branch_id, s.area HAVING max(s.at_ms) > ?`,
    [sinceMs],
  )
  for (const row of rows) {
    batches.foundScratch({ repo: row.repo as RepoName, branch: row.name as BranchName }, row.area, row.at_ms)
  }
}
