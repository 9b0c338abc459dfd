import type { Transaction } from '../../../kernel/index.ts'
import type { CommitId } from '../../model/index.ts'

/** Opens the batch of a branch under this id. The branch must have none open. */
export async function openBatch(
  tx: Transaction,
  branchId: number,
  commit: CommitId,
  input: { nowMs: number; pinned?: boolean; message?: string },
): Promise<void> {
  await tx.run('UPDATE branches SET open_commit = ?, ordinals = ordinals + 1 WHERE id = ?', [commit, branchId])
  // Its counts stand for its parent's until it is finished.
  await tx.run(
    `INSERT INTO commits (id, repo, branch_id, branch, ordinal, kind, state, root, folded_seq, from_seq, started_ms,
                          files, bytes, message, pinned)
     SELECT ?, b.repo, b.id, b.name, b.ordinals, 'batch', 'open', b.root, b.last_seq, b.last_seq, ?,
            coalesce(h.files, 0), coalesce(h.bytes, 0), ?, ?
     FROM branches AS b LEFT JOIN commits AS h ON h.id = b.head WHERE b.id = ?`,
    [commit, input.nowMs, input.message ?? '', input.pinned ? 1 : 0, branchId],
  )
}

/** Seals the open batch of a branch, if there is one; from here its changes and its parent are fixed. Never that of a transaction. */
export async function sealOpenBatch(
  tx: Transaction,
  branchId: number,
  options: { includePinned: boolean },
): Promise<CommitId | undefined> {
  const open = await tx.get<{ id: string }>(
    `SELECT c.id FROM branches AS b JOIN commits AS c ON c.id = b.open_commit
     WHERE b.id = ? AND b.kind = 'branch' AND c.state = 'open' AND (c.pinned = 0 OR ?)`,
    [branchId, options.includePinned ? 1 : 0],
  )
  if (!open) return undefined
  await tx.run(
    `UPDATE commits SET state = 'sealed', pinned = 0,
       parent = (SELECT tip FROM branches WHERE id = commits.branch_id),
       last_seq = (SELECT last_seq FROM branches WHERE id = commits.branch_id)
     WHERE id = ?`,
    [open.id],
  )
  await tx.run('UPDATE branches SET open_commit = NULL, tip = ? WHERE id = ?', [open.id, branchId])
  return open.id as CommitId
}
