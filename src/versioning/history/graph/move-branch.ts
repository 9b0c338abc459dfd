import { faultPoint, type Transaction } from '../../../kernel/index.ts'
import { type BranchAddress, BranchMoved, type CommitId, CommitNotFound, ReadOnly } from '../../model/index.ts'
import { sealOpenBatch } from '../batches/seal.ts'
import { missing, readOnlyReason } from '../branches.ts'
import { unavailable } from '../commits.ts'
import type { HistoryContext } from '../context.ts'
import { propagateFrom } from '../propagation.ts'

export interface MovedBranch {
  readonly branchId: number
  /** The newest commit of the line that was left; it need not be finished yet. */
  readonly left: CommitId | undefined
}

interface MovingBranch {
  readonly id: number
  readonly pipeline: string | null
  readonly protected: number
  readonly last_seq: number
  readonly open_commit: string | null
  readonly tip: string | null
  readonly head: string | null
  readonly head_root: string | null
}

/**
 * Points a branch at another commit, whatever the size: what is written from here on follows that one. The open batch is sealed, and is the
 * newest commit of what was left behind. A number of its own parts the changes of the two lines, so that versions, listings and merges of the
 * new one see nothing of the old. Undefined if the branch is there already.
 */
export function moveBranch(
  context: HistoryContext,
  at: BranchAddress,
  to: CommitId,
  input: { expect?: CommitId; author?: string },
): Promise<MovedBranch | undefined> {
  return context.db.write(async (tx) => {
    const branch = await findBranch(tx, at)
    const refused = readOnlyReason(at, branch)
    if (refused) throw refused
    const root = await rootOf(tx, at, to)
    const isBusy = branch.open_commit !== null || branch.tip !== branch.head
    if (input.expect !== undefined && (isBusy || branch.head !== input.expect)) throw movedMeanwhile(at, branch)
    if (!isBusy && branch.head === to) return undefined
    const sealed = await sealOpenBatch(tx, branch.id, { includePinned: true })
    const left = (sealed ?? branch.tip ?? undefined) as CommitId | undefined
    const seq = branch.last_seq + 1
    await tx.run(
      'INSERT INTO branch_moves (branch_id, seq, to_commit, from_commit, at_ms, author) VALUES (?, ?, ?, ?, ?, ?)',
      [branch.id, seq, to, left ?? null, context.clock.now(), input.author ?? null],
    )
    await tx.run(
      'UPDATE branches SET head = ?1, tip = ?1, open_commit = NULL, root = ?2, folded_seq = ?3, last_seq = ?3 WHERE id = ?4',
      [to, root, seq, branch.id],
    )
    faultPoint('branch.move')
    // What is computed from it is computed from another commit now.
    if (branch.head_root !== root) await propagateFrom(tx, context, [branch.id], [to])
    tx.afterCommit(context.signal.notify)
    return { branchId: branch.id, left }
  })
}

/** Lets only merges write to a branch, or others again. What its batch holds is made a commit first. Returns its row id if that was so. */
export function protectBranch(
  context: HistoryContext,
  at: BranchAddress,
  isProtected: boolean,
): Promise<{ readonly branchId: number; readonly sealed: boolean }> {
  return context.db.write(async (tx) => {
    const branch = await findBranch(tx, at)
    if (branch.pipeline !== null && isProtected) {
      throw new ReadOnly(
        `${at.repo}@${at.branch} is the output of pipeline ${branch.pipeline}: its jobs write it, and nobody else; it can't be protected`,
        { repo: at.repo, branch: at.branch, pipeline: branch.pipeline },
      )
    }
    const sealed = isProtected ? await sealOpenBatch(tx, branch.id, { includePinned: true }) : undefined
    await tx.run('UPDATE branches SET protected = ? WHERE id = ?', [isProtected ? 1 : 0, branch.id])
    tx.afterCommit(context.signal.notify)
    return { branchId: branch.id, sealed: sealed !== undefined }
  })
}

async function findBranch(tx: Transaction, at: BranchAddress): Promise<MovingBranch> {
  const branch = await tx.get<MovingBranch>(
    `SELECT b.id, b.pipeline, b.protected, b.last_seq, b.open_commit, b.tip, b.head, h.root AS head_root
     FROM branches AS b LEFT JOIN commits AS h ON h.id = b.head WHERE b.repo = ? AND b.name = ? AND b.kind = 'branch'`,
    [at.repo, at.branch],
  )
  if (!branch) throw await missing(tx, at)
  return branch
}

/** Throws CommitNotFound, CommitUnavailable. */
async function rootOf(tx: Transaction, at: BranchAddress, to: CommitId): Promise<string> {
  const target = await tx.get<{
    id: string
    repo: string
    root: string
    state: string
    kind: string
    failure: string | null
  }>('SELECT id, repo, root, state, kind, failure FROM commits WHERE id = ? AND repo = ?', [to, at.repo])
  if (!target) throw new CommitNotFound(`repo ${at.repo} has no commit ${to}`, { repo: at.repo, commit: to })
  if (target.state !== 'finished') throw unavailable(target, 'own')
  return target.root
}

function movedMeanwhile(at: BranchAddress, branch: MovingBranch): BranchMoved {
  const newest = branch.open_commit ?? branch.tip
  return new BranchMoved(
    `${at.repo}@${at.branch} is not where it was expected: its newest commit is ${newest ?? 'none'}; look at it again`,
    { repo: at.repo, branch: at.branch, ...(newest ? { commit: newest } : {}) },
  )
}
