import {
  type BranchAddress,
  type BranchName,
  type CommitRef,
  splitTransaction,
  type TransactionInfo,
  TransactionNotFound,
} from '../../model/index.ts'
import type { Transactions } from '../../transactions.ts'
import type { HistoryContext } from '../context.ts'
import { finishTransaction } from './finish.ts'
import { insertTransaction } from './open.ts'
import {
  abortTransaction,
  branchOf,
  finishedAs,
  openTransactionRow,
  readTransactions,
  transactionNotFound,
} from './rows.ts'

/** What of the rest of the engine transactions need. */
interface Surroundings {
  /** Seals what the branch has gathered, unless somebody holds it, and waits until that is finished. */
  settle(at: BranchAddress): Promise<void>
  waitForCommit(commit: TransactionInfo['commit']): Promise<unknown>
  /** A batch of the branch was sealed, by the one who finished a transaction. */
  sealed(at: BranchAddress, branchId: number): void
  /** Changes of a transaction wait to be removed. */
  dropped(): void
}

/** Transactions: hidden branches with one batch each, which becomes a commit of the branch they are on. */
export class BranchTransactions implements Transactions {
  readonly #context: HistoryContext
  readonly #around: Surroundings

  constructor(context: HistoryContext, around: Surroundings) {
    this.#context = context
    this.#around = around
  }

  async open(
    at: BranchAddress,
    input: { message?: string; author?: string } = {},
  ): Promise<{ kind: 'created' | 'existing'; transaction: TransactionInfo }> {
    const onto = branchOf(at)
    const isOpen = await openTransactionRow(this.#context.db, at).then(
      () => true,
      (error: unknown) => {
        if (error instanceof TransactionNotFound) return false
        throw error
      },
    )
    if (!isOpen) await this.#around.settle(onto)
    const made = await insertTransaction(this.#context, at, input)
    const transaction = await this.get(at)
    return { kind: made ? 'created' : 'existing', transaction }
  }

  async get(at: BranchAddress): Promise<TransactionInfo> {
    const { name } = splitTransaction(at.branch)
    const [found] = await readTransactions(this.#context.db, branchOf(at), name)
    if (!found) throw transactionNotFound(at)
    return found
  }

  list(onto: BranchAddress): Promise<readonly TransactionInfo[]> {
    return readTransactions(this.#context.db, onto)
  }

  async finish(
    at: BranchAddress,
    input: { message?: string; author?: string } = {},
  ): Promise<CommitRef & { readonly branch: BranchName }> {
    const finished = await finishTransaction(this.#context, at, input, (commit) =>
      this.#around.waitForCommit(commit),
    ).catch(async (error: unknown) => {
      if (!(error instanceof TransactionNotFound)) throw error
      const commit = await finishedAs(this.#context, at, input.message)
      if (commit === undefined) throw error
      return { commit, onto: branchOf(at), branchId: undefined }
    })
    if (finished.branchId !== undefined) {
      this.#around.sealed(finished.onto, finished.branchId)
      this.#around.dropped()
      this.#context.signal.notify()
    }
    return { repo: at.repo, branch: finished.onto.branch, commit: finished.commit }
  }

  async abort(at: BranchAddress): Promise<void> {
    await this.#context.db.write((tx) => abortTransaction(tx, at))
    this.#around.dropped()
    this.#context.signal.notify()
  }
}
