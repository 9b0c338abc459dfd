import { setTimeout as pause } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import type { Transaction } from '../../kernel/index.ts'
import { BranchMoved, type Revival } from '../../versioning/index.ts'
import { JobNotFound, RetryRefused } from '../errors.ts'
import {
  endedStates,
  findJob,
  findPipeline,
  findVersion,
  type JobRow,
  reviveEgressing,
  reviveUnrunnable,
} from '../store/index.ts'
import type { EngineContext } from './context.ts'

/** A push fails a moment before its job does. */
const ENDING_TRIES = 20
const ENDING_PAUSE_MS = 100

/**
 * Takes a job that failed while its output was pushed back to that point, in one transaction: the job, its output commit, the commits
 * and jobs that were unrunnable only because of it, and the push. Throws RetryRefused, JobNotFound.
 */
export async function reviveJob(context: EngineContext, id: string): Promise<void> {
  const { db, egress, versioning } = context
  await untilEnded(context, id)
  await db.write(async (tx) => {
    const job = await retriable(context, tx, id)
    let revival: Revival
    try {
      revival = await versioning.derived.revive(tx, job.outputCommit)
    } catch (error) {
      if (!(error instanceof BranchMoved)) throw error
      throw refused(job, `its output branch is not the pipeline's any more (${error.message})`)
    }
    if (revival.kind === 'newer') {
      const { commit, state } = revival
      throw refused(
        job,
        state === 'finished'
          ? `a newer commit, ${job.repo}@${commit}, has succeeded and was pushed: there is nothing to retry`
          : `a newer commit, ${job.repo}@${commit}, is on its way and brings the target in step: wait for it`,
      )
    }
    if (!(await reviveEgressing(tx, id))) throw refused(job, `it is ${job.state}`)
    await reviveUnrunnable(
      tx,
      revival.commits.map(({ commit }) => commit),
    )
    await egress.requeue(tx, id)
  })
  context.log.info({ job: id }, 'the egress of a job is tried again')
  await context.logs.say(id, 'its egress is tried again')
}

/** Where the push has failed, its job is about to say so itself. */
async function untilEnded({ db, egress }: EngineContext, id: string): Promise<void> {
  for (let tries = 0; tries < ENDING_TRIES; tries++) {
    const [job, status] = [await findJob(db, id), await egress.status(id)]
    if (!job || endedStates.has(job.state) || status?.state !== 'failed') return
    await pause(ENDING_PAUSE_MS)
  }
}

/** The job, if it failed by its egress and its pipeline still pushes there. */
async function retriable({ egress }: EngineContext, tx: Transaction, id: string): Promise<JobRow> {
  const job = await findJob(tx, id)
  if (!job) throw new JobNotFound(id)
  const status = await egress.status(id)
  if (!status || job.outputRoot === undefined) throw refused(job, 'its output was never to be pushed')
  if (!endedStates.has(job.state)) throw refused(job, `it is ${job.state}, and its egress ${status.state}`)
  if (status.state === 'success') throw refused(job, 'it has not failed, all is at the target')
  if (status.state !== 'failed') throw refused(job, `it has not failed: it is ${status.state}`)
  const pipeline = await findPipeline(tx, job.pipeline)
  if (!pipeline) throw refused(job, `there is no pipeline ${job.pipeline} any more`)
  if (pipeline.state !== 'running')
    throw refused(job, `pipeline ${job.pipeline} is stopped: sluice pipeline start ${job.pipeline}`)
  const version = await findVersion(tx, job.pipeline, job.specVersion)
  if (!isDeepStrictEqual(version?.egress, pipeline.egress)) {
    const now = pipeline.egress ? `pushes to ${pipeline.egress.url} or in another way` : 'has no egress'
    throw refused(job, `pipeline ${job.pipeline} was updated and ${now} now`)
  }
  return job
}

function refused(job: JobRow, why: string): RetryRefused {
  return new RetryRefused(`the egress of job ${job.id} is not retried: ${why}`, { job: job.id })
}
