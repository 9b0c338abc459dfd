import type { Transaction } from '../../../kernel/index.ts'
import {
  type BranchAddress,
  type BranchName,
  BranchNotFound,
  type CommitId,
  type RepoName,
  splitTransaction,
  type TransactionInfo,
  type TransactionName,
  TransactionNotFound,
  transactionBranch,
} from '../../model/index.ts'
import type { HistoryContext } from '../context.ts'

/** How long a finish that is asked again gets its first answer. */
const REMEMBER_FINISHED_MS = 24 * 3_600_000

/** The row of an open transaction. */
export interface TransactionRow {
  readonly id: number
  readonly name: string
  readonly onto: number
  readonly base_commit: string | null
  readonly open_commit: string
  readonly last_seq: number
}

/** Throws TransactionNotFound. */
export async function openTransactionRow(
  queries: Pick<Transaction, 'get'>,
  at: BranchAddress,
): Promise<TransactionRow> {
  const row = await queries.get<TransactionRow>(
    `SELECT id, name, onto, base_commit, open_commit, last_seq FROM branches
     WHERE repo = ? AND name = ? AND kind = 'transaction'`,
    [at.repo, at.branch],
  )
  if (row) return row
  throw transactionNotFound(at)
}

export function transactionNotFound(at: BranchAddress): TransactionNotFound {
  return new TransactionNotFound(
    `there is no transaction ${at.branch}.${at.repo}: it was finished or aborted, or was never opened`,
    { repo: at.repo, transaction: at.branch },
  )
}

/** The branch that a transaction's address is on. The address must name it: no default is looked up here. */
export function branchOf(at: BranchAddress): BranchAddress {
  const { onto } = splitTransaction(at.branch)
  if (onto === undefined) throw new BranchNotFound(at.repo, at.branch)
  return { repo: at.repo, branch: onto }
}

interface InfoRow {
  readonly repo: string
  readonly name: string
  readonly bucket: string
  readonly open_commit: string
  readonly base_commit: string | null
  readonly created_ms: number
  readonly last_seq: number
  readonly message: string
}

/** The open transactions of a branch in the order they were opened, or one of them. */
export async function readTransactions(
  queries: Pick<Transaction, 'all'>,
  onto: BranchAddress,
  only?: TransactionName,
): Promise<readonly TransactionInfo[]> {
  // By name and not by `onto`: one whose branch is gone must be seen, to be aborted.
  const suffix = `.${onto.branch}`
  const rows = await queries.all<InfoRow>(
    `SELECT t.repo, t.name, t.bucket, t.open_commit, t.base_commit, t.created_ms, t.last_seq, c.message
     FROM branches AS t JOIN commits AS c ON c.id = t.open_commit
     WHERE t.repo = ? AND t.kind = 'transaction' AND (?2 IS NULL OR t.name = ?2) ORDER BY t.id`,
    [onto.repo, only === undefined ? null : transactionBranch(only, onto.branch)],
  )
  return rows
    .filter(({ name }) => name.indexOf('.') >= 0 && name.slice(name.indexOf('.')) === suffix)
    .map((row) => ({
      name: splitTransaction(row.name).name,
      repo: row.repo as RepoName,
      onto: onto.branch as BranchName,
      bucket: row.bucket,
      commit: row.open_commit as CommitId,
      ...(row.base_commit ? { base: row.base_commit as CommitId } : {}),
      startedMs: row.created_ms,
      changes: row.last_seq,
      message: row.message,
    }))
}

/** Removes an open transaction with everything that was written in it. */
export async function abortTransaction(tx: Transaction, at: BranchAddress): Promise<void> {
  const row = await openTransactionRow(tx, at)
  for (const table of ['version_tags', 'version_access', 'commit_authors']) {
    await tx.run(`DELETE FROM ${table} WHERE commit_id = ?`, [row.open_commit])
  }
  await tx.run('DELETE FROM commits WHERE id = ?', [row.open_commit])
  await dropTransaction(tx, row.id)
}

/** The row of a transaction that has ended, and all that hangs on it; its changes are removed later, bit by bit. */
export async function dropTransaction(tx: Transaction, id: number): Promise<void> {
  await tx.run('DELETE FROM parts WHERE upload_id IN (SELECT id FROM uploads WHERE branch_id = ?)', [id])
  for (const table of ['uploads', 'scratch', 'hidden_versions', 'hidden_runs', 'rename_tokens']) {
    await tx.run(`DELETE FROM ${table} WHERE branch_id = ?`, [id])
  }
  await tx.run('DELETE FROM branches WHERE id = ?', [id])
  await tx.run('INSERT OR IGNORE INTO dropped_changes (branch_id) VALUES (?)', [id])
}

/** Removes the open transactions of a repo that is being deleted. */
export async function abortAllTransactions(tx: Transaction, repo: RepoName): Promise<void> {
  const rows = await tx.all<{ name: string }>("SELECT name FROM branches WHERE repo = ? AND kind = 'transaction'", [
    repo,
  ])
  for (const { name } of rows) await abortTransaction(tx, { repo, branch: name as BranchName })
}

/** The commit that a transaction of this name was finished as, for a client that asks again since it did not hear the answer. */
export async function finishedAs(
  context: Pick<HistoryContext, 'db' | 'clock'>,
  at: BranchAddress,
  message: string | undefined,
): Promise<CommitId | undefined> {
  const row = await context.db.get<{ id: string; message: string; finished_ms: number | null }>(
    'SELECT id, message, finished_ms FROM commits WHERE repo = ? AND made_by = ? ORDER BY number DESC LIMIT 1',
    [at.repo, at.branch],
  )
  if (!row || (message !== undefined && row.message !== message)) return undefined
  const isRecent = row.finished_ms === null || context.clock.now() - row.finished_ms < REMEMBER_FINISHED_MS
  return isRecent ? (row.id as CommitId) : undefined
}
