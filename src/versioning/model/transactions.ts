import { MAX_BUCKET_NAME } from '../../kernel/index.ts'
import { InvalidName } from './errors.ts'
import { parseBranchName } from './names.ts'
import type { BranchName, TransactionName } from './types.ts'

const PREFIX = 'tx-'
const namePattern = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/

/** Checks the name of a transaction, without its `tx-`. Throws InvalidName. */
export function parseTransactionName(name: string): TransactionName {
  if (namePattern.test(name) && name.length + PREFIX.length <= MAX_BUCKET_NAME) return name as TransactionName
  const rule = "a transaction's name has a-z, 0-9 and - inside, and no dots"
  throw new InvalidName(`${JSON.stringify(name)} is not allowed: ${rule}`, { name, rule })
}

/** What a transaction is addressed by where a branch's name stands: `tx-<name>.<branch>`. */
export function transactionBranch(name: TransactionName, onto: BranchName): BranchName {
  return `${PREFIX}${name}.${onto}` as BranchName
}

/** Whether a name in a branch's place is that of a transaction. */
export function isTransactionName(text: string): boolean {
  return text.startsWith(PREFIX)
}

/** Takes `tx-<name>.<branch>` or `tx-<name>` (on the default branch) apart. Throws InvalidName. */
export function splitTransaction(text: string): { name: TransactionName; onto: BranchName | undefined } {
  const dot = text.indexOf('.')
  const label = dot < 0 ? text : text.slice(0, dot)
  const name = parseTransactionName(label.slice(PREFIX.length))
  return { name, onto: dot < 0 ? undefined : parseBranchName(text.slice(dot + 1)) }
}
