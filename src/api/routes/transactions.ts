import { BATCH_BOUNDS, randomHexId } from '../../kernel/index.ts'
import {
  type BranchAddress,
  parseTransactionName,
  type TransactionName,
  transactionBranch,
} from '../../versioning/index.ts'
import { branchField, repoField } from '../addresses.ts'
import { optional, parsed, present, text, whole } from '../fields.ts'
import { empty, json, type Route, route } from '../route.ts'
import { branchJson, commitWithProvenance, transactionJson } from '../views.ts'

const MAX_MESSAGE = 4096
/** Of a name that is made up: short enough for a bucket's name, and nobody else's. */
const NAME_DIGITS = 12

const nameField = parsed('Name of the transaction, without `tx-`.', parseTransactionName)
const branchParams = { repo: repoField, branch: branchField }
const transactionParams = { ...branchParams, name: nameField }
const message = optional(text('What the commit is about.', MAX_MESSAGE))
const rule = (description: string, { min, max }: { readonly min: number; readonly max: number }) =>
  optional(whole(`${description} The server's own rule where it is left out.`, min, max))

const addressOf = (params: BranchAddress & { readonly name: TransactionName }): BranchAddress => ({
  repo: params.repo,
  branch: transactionBranch(params.name, params.branch),
})

/** Transactions, and when batches are sealed: how writes become commits. */
export const transactionRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/branches/:branch/transactions',
      summary: 'Lists the open transactions of a branch.',
      needs: 'read',
      params: branchParams,
      answer: { kind: 'json', status: 200, shape: 'Transaction', list: true },
    },
    async ({ params, services: { versioning } }) => {
      const open = await versioning.transactions.list(params)
      // That there are none may mean that there is no such branch.
      if (open.length === 0) await versioning.getBranch(params)
      return json(open.map(transactionJson))
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/transactions',
      summary:
        'Opens a transaction: a bucket of its own whose writes become one commit of the branch when it is finished. One that is open already stays as it is.',
      needs: 'write',
      params: branchParams,
      body: { name: optional(nameField), message },
      answer: { kind: 'json', status: 201, shape: 'Transaction' },
    },
    async ({ params, body: { name, message }, author, caller, services: { versioning } }) => {
      const chosen = name ?? parseTransactionName(randomHexId().slice(0, NAME_DIGITS))
      const at = addressOf({ ...params, name: chosen })
      // A bucket of its own: what is bound to the branch alone does not reach it.
      caller.authorize('write', at.repo, at)
      const { kind, transaction } = await versioning.transactions.open(at, { author, ...present({ message }) })
      return json(transactionJson(transaction), kind === 'created' ? 201 : 200)
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/transactions/:name/finish',
      summary:
        'Applies a transaction to its branch as one commit, all or nothing, and waits until that can be read. Refused if a file was changed on both sides; it then stays open.',
      needs: 'write',
      inTransaction: true,
      params: transactionParams,
      body: { message },
      answer: { kind: 'json', status: 200, shape: 'Commit' },
    },
    async ({ params, body: { message }, author, services: { versioning } }) => {
      const { commit } = await versioning.transactions.finish(addressOf(params), { author, ...present({ message }) })
      return json(await commitWithProvenance(versioning, await versioning.waitForCommit(commit)))
    },
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/repos/:repo/branches/:branch/transactions/:name',
      summary: 'Aborts a transaction: nothing of what was written in it stays.',
      needs: 'write',
      inTransaction: true,
      params: transactionParams,
      answer: { kind: 'empty' },
    },
    async ({ params, services: { versioning } }) => {
      await versioning.transactions.abort(addressOf(params))
      return empty
    },
  ),
  route(
    {
      method: 'PUT',
      path: '/v1/repos/:repo/branches/:branch/batch',
      summary: 'Sets when the writes of a branch are made a commit by themselves, in place of what was set before.',
      needs: 'owner',
      params: branchParams,
      body: {
        idleMs: rule('When nothing was written for so many milliseconds.', BATCH_BOUNDS.idleMs),
        maxAgeMs: rule('So many milliseconds after the first write.', BATCH_BOUNDS.maxAgeMs),
        maxChanges: rule('At so many changes.', BATCH_BOUNDS.maxChanges),
      },
      answer: { kind: 'json', status: 200, shape: 'Branch' },
    },
    async ({ params, body, services: { versioning } }) => {
      await versioning.setBatchRules(params, present(body))
      return json(branchJson(await versioning.getBranch(params), versioning.batchRules(params)))
    },
  ),
]
