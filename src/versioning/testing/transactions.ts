import assert from 'node:assert/strict'
import { parsePath, parseTransactionName, TransactionConflict, transactionBranch } from '../index.ts'
import { branchOf, getText, putText, type TestStore } from './store.ts'

export const images = branchOf('images@master')

/** A transaction on a branch, as an address. */
export const tx = (name: string, onto = images) => ({
  kind: 'branch' as const,
  repo: onto.repo,
  branch: transactionBranch(parseTransactionName(name), onto.branch),
})

export const job = tx('job')

/** What a transaction's refusal names. */
export const conflict = (paths: readonly string[]) => (error: unknown) => {
  assert.ok(error instanceof TransactionConflict)
  assert.deepEqual([...(error.data['paths'] as string[])].sort(), [...paths].sort())
  return true
}

/** What tests do with branches and transactions of a store, which may be opened later. */
export function transactionsOf(store: () => TestStore) {
  const put = (at: typeof images, path: string, text = path, more = {}) =>
    putText(store().versioning, at, path, text, more)
  const get = (at: typeof images, path: string) => getText(store().versioning, at, path)
  const remove = (at: typeof images, path: string) => store().versioning.delete(at, parsePath(path))
  const open = (at = job, input = {}) => store().versioning.transactions.open(at, input)
  const finish = async (at = job, message?: string) => {
    const done = await store().versioning.transactions.finish(at, message === undefined ? {} : { message })
    return store().versioning.waitForCommit(done.commit)
  }
  const settle = async () => {
    const sealed = await store().versioning.seal(images, { force: true })
    return sealed && store().versioning.waitForCommit(sealed.commit)
  }
  return { put, get, remove, open, finish, settle }
}
