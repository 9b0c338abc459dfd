import { MAX_TRANSACTIONS } from '../../../kernel/index.ts'
import { type BranchAddress, TransactionLimit } from '../../model/index.ts'
import { EMPTY_TREE } from '../../tree/index.ts'
import { openBatch } from '../batches/seal.ts'
import { missing, readOnlyReason } from '../branches.ts'
import type { HistoryContext } from '../context.ts'
import { branchOf } from './rows.ts'

/** Others of that moment are shown in the transaction, and can be deleted there. */
const MAX_HIDDEN_TAKEN = 5_000

/**
 * A hidden branch at the head of the one that it will be finished on, with a batch that no rule seals. Returns whether it was made:
 * one that is open already is left as it is.
 */
export async function insertTransaction(
  context: HistoryContext,
  at: BranchAddress,
  input: { author?: string; message?: string },
): Promise<boolean> {
  const nowMs = context.clock.now()
  const onto = branchOf(at)
  return context.db.write(async (tx) => {
    if (await tx.get('SELECT 1 FROM branches WHERE repo = ? AND name = ?', [at.repo, at.branch])) return false
    const branch = await tx.get<{ id: number; pipeline: string | null; protected: number; open: number }>(
      `SELECT id, pipeline, protected, (SELECT count(*) FROM branches AS t WHERE t.onto = b.id) AS open
       FROM branches AS b WHERE repo = ? AND name = ? AND kind = 'branch'`,
      [onto.repo, onto.branch],
    )
    if (!branch) throw await missing(tx, onto)
    const refused = readOnlyReason(onto, branch)
    if (refused) throw refused
    if (branch.open >= MAX_TRANSACTIONS) {
      throw new TransactionLimit(
        `${onto.repo}@${onto.branch} has ${branch.open} open transactions, and may not have more: finish or abort some`,
        { repo: onto.repo, branch: onto.branch, limit: MAX_TRANSACTIONS },
      )
    }
    await tx.run(
      `INSERT INTO branches (repo, name, root, folded_seq, last_seq, tip, head, ordinals, created_ms, bucket, kind, onto,
                             base_commit, versioned_from, hidden_to)
       SELECT b.repo, ?, coalesce(h.root, ?), 0, 0, b.head, b.head, 0, ?, ?, 'transaction', b.id, b.head,
              CASE WHEN b.versioned_from IS NULL THEN NULL ELSE 0 END, b.last_seq
       FROM branches AS b LEFT JOIN commits AS h ON h.id = b.head WHERE b.id = ?`,
      [at.branch, EMPTY_TREE, nowMs, `${at.branch}.${at.repo}`, branch.id],
    )
    const made = await tx.get<{ id: number }>('SELECT id FROM branches WHERE repo = ? AND name = ?', [
      at.repo,
      at.branch,
    ])
    // Deleted by their ids since the branch's last change: what is deleted from now on has the same number.
    await tx.run(
      `INSERT INTO hidden_versions (branch_id, commit_id, seq, path, at_seq)
       SELECT ?, h.commit_id, h.seq, h.path, 0 FROM branches AS b CROSS JOIN hidden_versions AS h INDEXED BY hidden_versions_by_number
       ON h.branch_id = b.id AND h.at_seq = b.last_seq + 1 WHERE b.id = ? LIMIT ${MAX_HIDDEN_TAKEN}`,
      [made!.id, branch.id],
    )
    const commit = context.newCommitId()
    await openBatch(tx, made!.id, commit, { nowMs, pinned: true, message: input.message ?? '' })
    if (input.author) {
      await tx.run('INSERT OR IGNORE INTO commit_authors (commit_id, name) VALUES (?, ?)', [commit, input.author])
    }
    return true
  })
}
