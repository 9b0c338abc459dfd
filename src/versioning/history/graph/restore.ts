import { faultPoint } from '../../../kernel/index.ts'
import { type BranchAddress, type CommitId, CommitNotFound } from '../../model/index.ts'
import { sealOpenBatch } from '../batches/seal.ts'
import { missing, readOnlyReason } from '../branches.ts'
import { unavailable } from '../commits.ts'
import type { HistoryContext } from '../context.ts'

/**
 * One new commit whose tree is that of `to`, whatever the size. The open batch is sealed in the same transaction, and the view shows
 * the restored tree from here on: the batch is folded on its own line, from its parent's tree.
 */
export async function restoreBranch(
  context: HistoryContext,
  at: BranchAddress,
  to: CommitId,
  input: { author?: string; message?: string },
): Promise<{ commit: CommitId; branchId: number }> {
  const nowMs = context.clock.now()
  return context.db.write(async (tx) => {
    const branch = await tx.get<{ id: number; last_seq: number; pipeline: string | null; protected: number }>(
      'SELECT id, last_seq, pipeline, protected FROM branches WHERE repo = ? AND name = ?',
      [at.repo, at.branch],
    )
    if (!branch) throw await missing(tx, at)
    const refused = readOnlyReason(at, branch)
    if (refused) throw refused
    const target = await tx.get<{
      id: string
      repo: string
      root: string
      state: string
      failure: string | null
      kind: string
      files: number
      bytes: number
    }>('SELECT id, repo, root, state, failure, kind, files, bytes FROM commits WHERE id = ? AND repo = ?', [
      to,
      at.repo,
    ])
    if (!target) throw new CommitNotFound(`repo ${at.repo} has no commit ${to}`, { commit: to })
    if (target.state !== 'finished') throw unavailable(target, 'own')
    await sealOpenBatch(tx, branch.id, { includePinned: true })
    const commit = context.newCommitId()
    // A number of its own marks its place between the changes before and after it.
    const seq = branch.last_seq + 1
    await tx.run(
      `INSERT INTO commits (id, repo, branch_id, branch, ordinal, kind, state, parent, root, folded_seq, from_seq, last_seq,
                            started_ms, files, bytes, message, tree_of)
       SELECT ?, repo, id, name, ordinals + 1, 'tree', 'sealed', tip, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM branches WHERE id = ?`,
      [
        commit,
        target.root,
        seq,
        seq,
        seq,
        nowMs,
        target.files,
        target.bytes,
        input.message ?? `restore ${to}`,
        to,
        branch.id,
      ],
    )
    await tx.run(
      `UPDATE branches SET ordinals = ordinals + 1, tip = ?, open_commit = NULL, root = ?, folded_seq = ?, last_seq = ?
       WHERE id = ?`,
      [commit, target.root, seq, seq, branch.id],
    )
    faultPoint('branch.restore')
    if (input.author) {
      await tx.run('INSERT INTO commit_authors (commit_id, name) VALUES (?, ?)', [commit, input.author])
    }
    return { commit, branchId: branch.id }
  })
}
