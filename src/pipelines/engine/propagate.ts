import type { Queries, Transaction } from '../../kernel/index.ts'
import type { CommitFailure, CommitId, OpenOutput } from '../../versioning/index.ts'
import { endJobOfCommit, findPipeline, insertJob, type NewJob } from '../store/index.ts'
import type { EngineContext } from './context.ts'

/** The job that an output commit is made by, under the spec that its pipeline has now. */
export function newJob(
  context: Pick<EngineContext, 'newId' | 'clock'>,
  output: OpenOutput,
  specVersion: number,
): NewJob {
  return {
    id: context.newId(),
    pipeline: output.pipeline as NewJob['pipeline'],
    specVersion,
    outputCommit: output.commit,
    repo: output.repo,
    inputs: output.inputs.map(({ repo, branch, commit }) => ({ repo, branch, commit })),
    createdMs: context.clock.now(),
  }
}

/** Makes the jobs of those of these output commits that have none. */
export async function ensureJobs(
  context: Pick<EngineContext, 'newId' | 'clock'>,
  tx: Transaction,
  outputs: readonly OpenOutput[],
): Promise<void> {
  const versions = new Map<string, number | undefined>()
  for (const output of outputs) {
    if (!versions.has(output.pipeline))
      versions.set(output.pipeline, (await findPipeline(tx as Queries, output.pipeline))?.version)
    const version = versions.get(output.pipeline)
    if (version !== undefined) await insertJob(tx, newJob(context, output, version))
  }
}

/**
 * Fails an output commit, and with it everything that would have been computed from it; their jobs say so at once.
 */
export async function failDownstream(
  context: EngineContext,
  tx: Transaction,
  commit: CommitId,
  failure: CommitFailure,
): Promise<void> {
  // Read beside the transaction: nothing else can commit while it has the writer's lane.
  const open = await context.versioning.derived.listOpen()
  const failed = await context.versioning.derived.fail(tx, commit, failure)
  const nowMs = context.clock.now()
  for (const ref of failed) {
    if (ref.commit === commit) continue
    const output = open.find((candidate) => candidate.commit === ref.commit)
    if (output) await ensureJobs(context, tx, [output])
    const source = open.find((candidate) => candidate.commit === commit)
    const reason = `${source ? `${source.repo}@${commit}` : commit} failed: ${failure.reason}`
    await endJobOfCommit(tx, ref.commit, { state: 'unrunnable', reason, nowMs })
  }
}
