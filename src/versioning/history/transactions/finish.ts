import { faultPoint, type Queries, type Transaction } from '../../../kernel/index.ts'
import { type BranchAddress, BranchMoved, type BranchName, type CommitId, type RepoName } from '../../model/index.ts'
import { EMPTY_TREE } from '../../tree/index.ts'
import { sealOpenBatch } from '../batches/seal.ts'
import { readOnlyReason } from '../branches.ts'
import type { HistoryContext } from '../context.ts'
import { LINE_SEQ } from '../graph/branch-line.ts'
import { refuseConflicts, refuseDeletedVersions, refuseLaterConflicts, type Sides } from './conflicts.ts'
import { branchOf, dropTransaction, openTransactionRow, type TransactionRow } from './rows.ts'

/** Each try looks only at what the one before could not know; more of them means somebody writes into the transaction all the time. */
const MAX_TRIES = 20

/** What was looked at before the transaction that decides. */
interface Checked {
  readonly row: TransactionRow
  readonly sides: Sides
  /** Changes of the branch up to this one were compared. */
  readonly branchSeq: number
}

export interface FinishedTransaction {
  readonly commit: CommitId
  readonly onto: BranchAddress
  readonly branchId: number
}

/**
 * Makes one commit of the branch of everything that was written in a transaction. All paths are compared with the finished state of
 * the branch first, while others write; the transaction that decides compares only what came since, so that a stream of PUTs can't
 * keep it from ending. Throws TransactionConflict (it stays open), TransactionNotFound, ReadOnly, BranchMoved.
 */
export async function finishTransaction(
  context: HistoryContext,
  at: BranchAddress,
  input: { message?: string; author?: string },
  waitForCommit: (commit: CommitId) => Promise<unknown>,
): Promise<FinishedTransaction> {
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const checked = await check(context, at, waitForCommit)
    const finished = checked && (await context.db.write((tx) => move(tx, context, at, checked, input)))
    if (finished) return finished
  }
  throw new BranchMoved(
    `the transaction ${at.branch}.${at.repo}, or its branch, changed whenever it was looked at: stop writing into it and finish it again`,
    { repo: at.repo, transaction: at.branch },
  )
}

interface BranchState {
  readonly id: number
  readonly repo: string
  readonly name: string
  readonly pipeline: string | null
  readonly protected: number
  readonly last_seq: number
  readonly root: string
  readonly seq: number
  readonly base_root: string
  readonly base_seq: number
  /** A restore that is not finished: its tree can't be told by changes. */
  readonly restoring: string | null
}

async function check(
  context: HistoryContext,
  at: BranchAddress,
  waitForCommit: (commit: CommitId) => Promise<unknown>,
): Promise<Checked | undefined> {
  const { row, branch } = await context.db.snapshot(async (queries) => {
    const row = await openTransactionRow(queries, at)
    return { row, branch: await branchState(queries, at, row) }
  })
  if (branch.restoring) {
    await waitForCommit(branch.restoring as CommitId)
    return undefined
  }
  const sides: Sides = {
    transactionId: row.id,
    branchId: branch.id,
    baseRoot: branch.base_root,
    baseSeq: branch.base_seq,
    headRoot: branch.root,
    headSeq: branch.seq,
  }
  await refuseConflicts(context.db, context, sides, branch.last_seq)
  return { row, sides, branchSeq: branch.last_seq }
}

async function branchState(queries: Queries, at: BranchAddress, row: TransactionRow): Promise<BranchState> {
  const branch = await queries.get<BranchState>(
    // A head (or base) of another branch is where this one began: all of its changes came after.
    `SELECT b.id, b.repo, b.name, b.pipeline, b.protected, b.last_seq,
            coalesce(h.root, ?1) AS root, max(CASE WHEN h.branch_id = b.id THEN h.last_seq ELSE 0 END, ${LINE_SEQ}) AS seq,
            coalesce(s.root, ?1) AS base_root, CASE WHEN s.branch_id = b.id THEN s.last_seq ELSE 0 END AS base_seq,
            (SELECT id FROM commits WHERE branch_id = b.id AND finished_ms IS NULL AND kind = 'tree'
             ORDER BY ordinal DESC LIMIT 1) AS restoring
     FROM branches AS b LEFT JOIN commits AS h ON h.id = b.head LEFT JOIN commits AS s ON s.id = ?2
     WHERE b.id = ?3`,
    [EMPTY_TREE, row.base_commit, row.onto],
  )
  if (!branch) throw branchGone(at)
  const refused = readOnlyReason({ repo: branch.repo as RepoName, branch: branch.name as BranchName }, branch)
  if (refused) throw refused
  return branch
}

/** The one step in which everything of it appears on the branch. Undefined if something came between that was not compared. */
async function move(
  tx: Transaction,
  context: HistoryContext,
  at: BranchAddress,
  checked: Checked,
  input: { message?: string; author?: string },
): Promise<FinishedTransaction | undefined> {
  const row = await openTransactionRow(tx, at)
  if (row.id !== checked.row.id || row.last_seq !== checked.row.last_seq) return undefined
  const branch = await branchState(tx, at, row)
  const replaced = await tx.get(
    `SELECT 1 FROM commits WHERE branch_id = ?1 AND kind = 'tree' AND from_seq > ?2
     UNION ALL SELECT 1 FROM branch_moves WHERE branch_id = ?1 AND seq > ?2`,
    [branch.id, checked.branchSeq],
  )
  if (replaced) return undefined
  await refuseLaterConflicts(tx, context, checked.sides, checked.branchSeq, branch.last_seq)
  await refuseDeletedVersions(tx, checked.sides)
  await sealOpenBatch(tx, branch.id, { includePinned: true })
  const commit = row.open_commit as CommitId
  await moveCommit(tx, row, branch, at)
  faultPoint('transaction.move')
  await moveChanges(tx, row, branch)
  if (input.message !== undefined) {
    await tx.run('UPDATE commits SET message = ? WHERE id = ?', [input.message, commit])
  }
  if (input.author !== undefined) {
    await tx.run('INSERT OR IGNORE INTO commit_authors (commit_id, name) VALUES (?, ?)', [commit, input.author])
  }
  await dropTransaction(tx, row.id)
  return {
    commit,
    onto: { repo: branch.repo as RepoName, branch: branch.name as BranchName },
    branchId: branch.id,
  }
}

/** Its commit becomes the newest of the branch. It is written anew, so that commits are listed in the order of their branch. */
async function moveCommit(tx: Transaction, row: TransactionRow, branch: BranchState, at: BranchAddress): Promise<void> {
  const begun = await tx.get<{ started_ms: number; message: string }>(
    'SELECT started_ms, message FROM commits WHERE id = ?',
    [row.open_commit],
  )
  await tx.run('DELETE FROM commits WHERE id = ?', [row.open_commit])
  await tx.run(
    `INSERT INTO commits (id, repo, branch_id, branch, ordinal, kind, state, parent, root, folded_seq, from_seq, last_seq,
                          started_ms, files, bytes, message, made_by)
     SELECT ?, b.repo, b.id, b.name, b.ordinals + 1, 'batch', 'sealed', b.tip, b.root, b.last_seq, b.last_seq, b.last_seq + ?,
            ?, coalesce(h.files, 0), coalesce(h.bytes, 0), ?, ?
     FROM branches AS b LEFT JOIN commits AS h ON h.id = b.head WHERE b.id = ?`,
    [row.open_commit, row.last_seq, begun!.started_ms, begun!.message, at.branch, branch.id],
  )
  await tx.run('UPDATE branches SET ordinals = ordinals + 1, tip = ?, last_seq = last_seq + ? WHERE id = ?', [
    row.open_commit,
    row.last_seq,
    branch.id,
  ])
}

/** Every change is a version, and keeps the id under which the transaction acknowledged it. */
async function moveChanges(tx: Transaction, row: TransactionRow, branch: BranchState): Promise<void> {
  await tx.run(
    `INSERT INTO changes (branch_id, seq, commit_id, path, at_ms, entry, of_commit, of_seq, listed, conditional)
     SELECT ?, ? + seq, commit_id, path, at_ms, entry, coalesce(of_commit, commit_id), coalesce(of_seq, seq), listed, conditional
     FROM changes WHERE branch_id = ? ORDER BY seq`,
    [branch.id, branch.last_seq, row.id],
  )
  // What was deleted by its version id in it is deleted on the branch from here on.
  await tx.run(
    `INSERT OR IGNORE INTO hidden_versions (branch_id, commit_id, seq, path, at_seq)
     SELECT ?, commit_id, seq, path, ? + at_seq FROM hidden_versions WHERE branch_id = ?`,
    [branch.id, branch.last_seq, row.id],
  )
}

function branchGone(at: BranchAddress): BranchMoved {
  const { branch } = branchOf(at)
  return new BranchMoved(
    `the branch that the transaction ${at.branch}.${at.repo} was opened on was deleted since (one of its name is another): it can only be aborted`,
    { repo: at.repo, branch, transaction: at.branch },
  )
}
