import type { Transaction } from '../../kernel/index.ts'
import type { Revival } from '../derived.ts'
import { BranchMoved, type CommitFailure, type CommitId, type RepoName } from '../model/index.ts'
import { failureOf } from './commits.ts'
import type { HistoryContext } from './context.ts'
import { downstreamInOrder, openOutput } from './propagation.ts'

interface FailedOutput {
  readonly id: string
  readonly repo: string
  readonly branch_id: number
  readonly ordinal: number
  readonly state: string
  readonly failure: string | null
  readonly pipeline: string | null
  /** Whose output the branch is now. */
  readonly owner: string | null
}

const OUTPUT_SQL = `SELECT c.id, c.repo, c.branch_id, c.ordinal, c.state, c.failure, c.pipeline, b.pipeline AS owner
  FROM commits AS c LEFT JOIN branches AS b ON b.id = c.branch_id`

/**
 * Opens a failed output commit again, and what follows from it. Downstream of it, in topological order: a commit that failed only
 * because of this one is open again; where the branch has gone on since, was stopped, or never had a commit of it, a further one is opened, on what
 * the other inputs are now; a commit that another failure stands in the way of is left as it is, with all that needs it.
 */
export async function reviveOutput(
  tx: Transaction,
  ids: Pick<HistoryContext, 'newCommitId' | 'clock'>,
  commit: CommitId,
): Promise<Revival> {
  const row = await tx.get<FailedOutput>(`${OUTPUT_SQL} WHERE c.id = ? AND c.kind = 'derived'`, [commit])
  if (row?.state !== 'failed' || row.owner === null || row.owner !== row.pipeline) {
    throw new BranchMoved(`output commit ${commit} is not one that failed, or its branch is no pipeline's any more`, {
      commit,
    })
  }
  const newer = await newerThan(tx, row)
  if (newer) return { kind: 'newer', commit: newer.id as CommitId, state: newer.state }
  await openAgain(tx, commit)
  const made = new Map<number, CommitId>([[row.branch_id, commit]])
  const again = [{ repo: row.repo as RepoName, commit }]
  const order = await downstreamInOrder(tx, [row.branch_id])
  const affected = new Set([row.branch_id, ...order])
  const origins = await tx.all<{ id: CommitId }>('SELECT origin_id AS id FROM propagations WHERE commit_id = ?', [
    commit,
  ])
  for (const branchId of order) {
    if (!(await inputsAreMade(tx, branchId, affected, made))) continue
    const old = await newestOf(tx, branchId, commit)
    const isStopped = old !== undefined && wasStopped(old)
    if (old && !isStopped && !(await failedOnlyByWhatIsMended(tx, old))) continue
    if (old && (await hasOtherFailedInput(tx, old.id, made))) continue
    if (old && !isStopped && (await isStillNext(tx, old, affected, made))) {
      await openAgain(tx, old.id as CommitId)
      made.set(branchId, old.id as CommitId)
      again.push({ repo: old.repo as RepoName, commit: old.id as CommitId })
      continue
    }
    const originIds = origins.map(({ id }) => id)
    made.set(branchId, await openOutput(tx, ids, branchId, originIds, made))
  }
  return { kind: 'revived', commits: again }
}

async function openAgain(tx: Transaction, commit: CommitId): Promise<void> {
  await tx.run("UPDATE commits SET state = 'open', failure = NULL, finished_ms = NULL WHERE id = ?", [commit])
}

/** A later commit of its branch that ended well, or is on its way. */
function newerThan(
  tx: Transaction,
  row: FailedOutput,
): Promise<{ id: string; state: 'open' | 'sealed' | 'finished' } | undefined> {
  return tx.get(
    "SELECT id, state FROM commits WHERE branch_id = ? AND ordinal > ? AND state <> 'failed' ORDER BY ordinal DESC LIMIT 1",
    [row.branch_id, row.ordinal],
  )
}

/** The branch's newest commit that was to be computed from this one. */
function newestOf(tx: Transaction, branchId: number, upstream: CommitId): Promise<FailedOutput | undefined> {
  return tx.get<FailedOutput>(
    `${OUTPUT_SQL} JOIN provenance AS p ON p.commit_id = c.id
     WHERE p.upstream_id = ? AND c.branch_id = ? ORDER BY c.ordinal DESC LIMIT 1`,
    [upstream, branchId],
  )
}

/** Every input of the branch that follows from the revived commit has a commit to be computed from. */
async function inputsAreMade(
  tx: Transaction,
  branchId: number,
  affected: ReadonlySet<number>,
  made: ReadonlyMap<number, CommitId>,
): Promise<boolean> {
  const inputs = await tx.all<{ id: number }>('SELECT input_branch_id AS id FROM branch_inputs WHERE branch_id = ?', [
    branchId,
  ])
  return inputs.every(({ id }) => !affected.has(id) || made.has(id))
}

/** Its own pipeline was stopped while it waited, and runs again: what is paused does not follow. */
function wasStopped({ state, failure }: FailedOutput): boolean {
  if (state !== 'failed' || failure === null) return false
  const { kind, because } = failureOf(failure)
  return kind === 'stopped' && because === undefined
}

/** It could not run because of a commit that is not a failed one any more: this one, or one that was opened again before. */
async function failedOnlyByWhatIsMended(tx: Transaction, output: FailedOutput): Promise<boolean> {
  if (output.state !== 'failed' || output.failure === null) return false
  const { because }: CommitFailure = failureOf(output.failure)
  if (because === undefined) return false
  const row = await tx.get<{ state: string }>('SELECT state FROM commits WHERE id = ?', [because.commit])
  return row !== undefined && row.state !== 'failed'
}

/** Beside those that are open again. */
async function hasOtherFailedInput(
  tx: Transaction,
  output: string,
  made: ReadonlyMap<number, CommitId>,
): Promise<boolean> {
  const failed = await tx.get(
    `SELECT 1 FROM provenance AS p LEFT JOIN commits AS c ON c.id = p.upstream_id
     WHERE p.commit_id = ? AND p.direct = 1 AND coalesce(c.state, 'failed') = 'failed'
       AND p.upstream_id NOT IN (SELECT value FROM json_each(?)) AND c.branch_id NOT IN (SELECT value FROM json_each(?))`,
    [output, JSON.stringify([...made.values()]), JSON.stringify([...made.keys()])],
  )
  return failed !== undefined
}

/** It is its branch's newest, and computed from just the commits that are open again. */
async function isStillNext(
  tx: Transaction,
  output: FailedOutput,
  affected: ReadonlySet<number>,
  made: ReadonlyMap<number, CommitId>,
): Promise<boolean> {
  if (output.owner === null || output.owner !== output.pipeline || (await newerThan(tx, output))) return false
  const inputs = await tx.all<{ id: string; branch_id: number | null }>(
    `SELECT p.upstream_id AS id, c.branch_id FROM provenance AS p LEFT JOIN commits AS c ON c.id = p.upstream_id
     WHERE p.commit_id = ? AND p.direct = 1`,
    [output.id],
  )
  return inputs.every(
    ({ id, branch_id }) => branch_id !== null && (!affected.has(branch_id) || made.get(branch_id) === id),
  )
}
