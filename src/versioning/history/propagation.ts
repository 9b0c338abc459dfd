import type { Transaction } from '../../kernel/index.ts'
import type { CommitId } from '../model/index.ts'
import type { HistoryContext } from './context.ts'

type Ids = Pick<HistoryContext, 'newCommitId' | 'clock'>

/**
 * Opens the output commits of everything downstream of a root commit that has just finished, in topological order, so that a
 * diamond gets one output commit and not two. Runs in the finishing transaction. A commit that changed nothing starts nothing.
 */
export async function propagate(tx: Transaction, ids: Ids, origin: CommitId): Promise<void> {
  const row = await tx.get<{ branch_id: number; root: string; parent_root: string | null }>(
    `SELECT c.branch_id, c.root, p.root AS parent_root FROM commits AS c LEFT JOIN commits AS p ON p.id = c.parent
     WHERE c.id = ?`,
    [origin],
  )
  if (!row || row.root === row.parent_root) return
  await propagateFrom(tx, ids, [row.branch_id], [origin])
}

/** The same from several branches, or from an output branch whose pipeline was changed. `made` holds commits that are already open. */
export async function propagateFrom(
  tx: Transaction,
  ids: Ids,
  branchIds: readonly number[],
  origins: readonly CommitId[],
  made: Map<number, CommitId> = new Map(),
): Promise<void> {
  const order = await downstreamInOrder(tx, branchIds)
  for (const branchId of order) made.set(branchId, await openOutput(tx, ids, branchId, origins, made))
}

/** Opens one output commit: its inputs are taken from this propagation where they are part of it, else at their last good head. */
export async function openOutput(
  tx: Transaction,
  ids: Ids,
  branchId: number,
  origins: readonly CommitId[],
  made: ReadonlyMap<number, CommitId>,
): Promise<CommitId> {
  const commit = ids.newCommitId()
  await tx.run('UPDATE branches SET ordinals = ordinals + 1 WHERE id = ?', [branchId])
  await tx.run(
    `INSERT INTO commits (id, repo, branch_id, branch, ordinal, kind, state, parent, root, folded_seq, from_seq, last_seq,
                          started_ms, files, bytes, message, pipeline)
     SELECT ?, b.repo, b.id, b.name, b.ordinals, 'derived', 'open', b.head, b.root, b.last_seq, b.last_seq, b.last_seq,
            ?, coalesce(h.files, 0), coalesce(h.bytes, 0), '', b.pipeline
     FROM branches AS b LEFT JOIN commits AS h ON h.id = b.head WHERE b.id = ?`,
    [commit, ids.clock.now(), branchId],
  )
  const inputs = await tx.all<{ id: number; head: string | null }>(
    `SELECT b.id, b.head FROM branch_inputs AS i JOIN branches AS b ON b.id = i.input_branch_id
     WHERE i.branch_id = ? ORDER BY i.position`,
    [branchId],
  )
  const upstream = inputs.map((input) => made.get(input.id) ?? input.head).filter((id) => id !== null)
  await noteProvenance(tx, commit, upstream)
  for (const origin of origins) {
    await tx.run('INSERT OR IGNORE INTO propagations (commit_id, origin_id) VALUES (?, ?)', [commit, origin])
  }
  return commit
}

/** Direct rows first: a commit that is both direct and indirect counts as direct. */
async function noteProvenance(tx: Transaction, commit: CommitId, upstream: readonly string[]): Promise<void> {
  const list = JSON.stringify(upstream)
  await tx.run(
    `INSERT OR IGNORE INTO provenance (commit_id, upstream_id, upstream_repo, upstream_branch, direct)
     SELECT ?, c.id, c.repo, c.branch, 1 FROM json_each(?) AS wanted CROSS JOIN commits AS c ON c.id = wanted.value`,
    [commit, list],
  )
  await tx.run(
    `INSERT OR IGNORE INTO provenance (commit_id, upstream_id, upstream_repo, upstream_branch, direct)
     SELECT ?, p.upstream_id, p.upstream_repo, p.upstream_branch, 0
     FROM json_each(?) AS wanted CROSS JOIN provenance AS p ON p.commit_id = wanted.value`,
    [commit, list],
  )
}

/** The output branches that depend on these, each after all of its inputs that are among them. Paused ones pass nothing on. */
export async function downstreamInOrder(tx: Transaction, branchIds: readonly number[]): Promise<readonly number[]> {
  const edges = await tx.all<{ branch_id: number; input_branch_id: number }>(
    `WITH RECURSIVE reached (id) AS (
       SELECT value FROM json_each(?)
       UNION
       SELECT i.branch_id FROM reached AS r
       JOIN branch_inputs AS i ON i.input_branch_id = r.id
       JOIN branches AS b ON b.id = i.branch_id AND b.paused = 0
     )
     SELECT i.branch_id, i.input_branch_id FROM branch_inputs AS i
     JOIN reached AS r ON r.id = i.branch_id
     JOIN reached AS s ON s.id = i.input_branch_id
     JOIN branches AS b ON b.id = i.branch_id AND b.paused = 0`,
    [JSON.stringify(branchIds)],
  )
  const waiting = new Map<number, Set<number>>()
  for (const { branch_id, input_branch_id } of edges) {
    if (branchIds.includes(branch_id)) continue
    const inputs = waiting.get(branch_id) ?? new Set<number>()
    if (!branchIds.includes(input_branch_id)) inputs.add(input_branch_id)
    waiting.set(branch_id, inputs)
  }
  const order: number[] = []
  while (waiting.size > 0) {
    const ready = [...waiting].filter(([, inputs]) => inputs.size === 0).map(([id]) => id)
    if (ready.length === 0) throw new Error('the subscriptions have a cycle')
    for (const id of ready.sort((a, b) => a - b)) {
      order.push(id)
      waiting.delete(id)
      for (const inputs of waiting.values()) inputs.delete(id)
    }
  }
  return order
}
