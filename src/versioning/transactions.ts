import type { BranchAddress, BranchName, CommitRef, TransactionInfo } from './model/index.ts'

/**
 * Open commits of one writer each, isolated from their branch until they are finished on it. A transaction is addressed as a branch
 * `tx-<name>.<branch>` (see `transactionBranch`), and read and written as one; it is never listed as one.
 */
export interface Transactions {
  /**
   * On what the branch holds now: its batch is sealed first, unless somebody holds that open. `existing` if it was open already. Throws
   * RepoNotFound, BranchNotFound, ReadOnly, TransactionLimit.
   */
  open(
    at: BranchAddress,
    input?: { message?: string; author?: string },
  ): Promise<{ kind: 'created' | 'existing'; transaction: TransactionInfo }>
  /** Throws TransactionNotFound. */
  get(at: BranchAddress): Promise<TransactionInfo>
  /** Those that are open on a branch, in the order they were opened. */
  list(onto: BranchAddress): Promise<readonly TransactionInfo[]>
  /**
   * Applies it to its branch as one commit, all or nothing; visible there when it resolves. Without uploads that were not completed and
   * without scratch files. Asked again within a day, with the same message, it answers with the same commit. Throws
   * TransactionConflict (it stays open), TransactionNotFound, BranchMoved, ReadOnly.
   */
  finish(
    at: BranchAddress,
    input?: { message?: string; author?: string },
  ): Promise<CommitRef & { readonly branch: BranchName }>
  /** Removes it with everything written in it. Throws TransactionNotFound. */
  abort(at: BranchAddress): Promise<void>
}
