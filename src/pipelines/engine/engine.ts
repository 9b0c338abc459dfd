import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Corrupt, errorMessage, StorageFull } from '../../kernel/index.ts'
import { type Commit, CommitNotFound, type OpenOutput, RepoNotFound } from '../../versioning/index.ts'
import {
  allPipelines,
  endedStates,
  endJob,
  endJobOfCommit,
  findVersion,
  type JobEnd,
  type JobRow,
  LEASE_MS,
  type PipelineRow,
  releaseAll,
  releaseJob,
  renewLeases,
  unendedJobs,
} from '../store/index.ts'
import type { EngineContext } from './context.ts'
import { ensureJobs, failDownstream, newJob } from './propagate.ts'
import { removeFolder } from './run-datum.ts'
import { JobRun } from './run-job.ts'

/** Notifications may be missed: this often everything is looked at anyway. */
const TICK_MS = 500
/** How often a job is taken up again after an error that is not its own, before it fails. */
const MAX_ERRORS = 5

interface Running {
  readonly run: JobRun
  readonly pipeline: string
  readonly done: Promise<void>
}

/** Looks for output commits that can be computed, and has them computed: one job of each pipeline at a time, in their order. */
export class Engine {
  readonly #context: EngineContext
  readonly #running = new Map<string, Running>()
  readonly #errors = new Map<string, number>()
  /** Jobs that rest, and until when. */
  readonly #notBefore = new Map<string, number>()
  #started = false
  #pass: Promise<void> | undefined
  #again = false
  #cleanUps: (() => void)[] = []

  constructor(context: EngineContext) {
    this.#context = context
  }

  async start(): Promise<void> {
    if (this.#started) return
    const { db, versioning, egress, scratchFolder } = this.#context
    await mkdir(scratchFolder, { recursive: true })
    for (const name of await readdir(scratchFolder)) await removeFolder(join(scratchFolder, name))
    await db.write(releaseAll)
    this.#started = true
    const wake = () => this.wake()
    const tick = setInterval(wake, TICK_MS)
    const renewal = setInterval(() => void this.#renew(), LEASE_MS / 3)
    this.#cleanUps = [
      versioning.onChange(wake),
      egress.onChange(wake),
      () => clearInterval(tick),
      () => clearInterval(renewal),
    ]
    this.wake()
  }

  /** Kills user code; its jobs are taken up again at the next start. */
  async stop(): Promise<void> {
    this.#started = false
    for (const cleanUp of this.#cleanUps.splice(0)) cleanUp()
    await this.#pass
    const running = [...this.#running.values()]
    for (const { run } of running) run.stop({ kind: 'given-up' })
    await Promise.all(running.map(({ done }) => done))
  }

  /** Looks at everything soon; calls that come meanwhile make it look once more. */
  wake(): void {
    if (!this.#started) return
    if (this.#pass) {
      this.#again = true
      return
    }
    this.#again = false
    this.#pass = this.#look()
      .catch((error: unknown) => this.#context.log.error({ err: error }, 'looking for jobs failed'))
      .finally(() => {
        this.#pass = undefined
        if (this.#again) this.wake()
      })
  }

  /** Jobs that this process runs now, by id. */
  running(job: string): JobRun | undefined {
    return this.#running.get(job)?.run
  }

  /** Ends the runs of these jobs; their rows must say before that they have ended. */
  async giveUp(jobs: readonly string[]): Promise<void> {
    const running = jobs.flatMap((job) => this.#running.get(job) ?? [])
    for (const { run } of running) run.stop({ kind: 'given-up' })
    await Promise.all(running.map(({ done }) => done))
    for (const job of jobs) this.#forget(job)
  }

  async #look(): Promise<void> {
    const { db, versioning } = this.#context
    const [open, jobs, rows] = await Promise.all([versioning.derived.listOpen(), unendedJobs(db), allPipelines(db)])
    const pipelines = new Map<string, PipelineRow>(rows.map((row) => [row.pipeline, row]))
    const jobOf = new Map(jobs.map((job) => [job.outputCommit, job]))
    const started = new Set<string>()
    for (const output of oldestOfEach(open)) {
      const pipeline = pipelines.get(output.pipeline)
      if (pipeline?.state === 'running' && this.#isReady(output, jobOf.get(output.commit))) {
        started.add(output.commit)
        await this.#run(output, jobOf.get(output.commit), pipeline)
      }
    }
    await this.#failStopped(open, jobOf, pipelines)
    const fresh = open.filter(
      (output) => !jobOf.has(output.commit) && !started.has(output.commit) && pipelines.has(output.pipeline),
    )
    if (fresh.length > 0) await db.write((tx) => ensureJobs(this.#context, tx, fresh))
    await this.#reconcile(jobs, open)
  }

  #isReady(output: OpenOutput, job: JobRow | undefined): boolean {
    for (const running of this.#running.values()) if (running.pipeline === output.pipeline) return false
    if (job && (this.#notBefore.get(job.id) ?? 0) > this.#context.clock.now()) return false
    return (
      output.inputs.some(({ state }) => state === 'failed') || output.inputs.every(({ state }) => state === 'finished')
    )
  }

  async #run(output: OpenOutput, job: JobRow | undefined, pipeline: PipelineRow): Promise<void> {
    const specVersion = job?.specVersion ?? pipeline.version
    const version =
      specVersion === pipeline.version ? pipeline : await findVersion(this.#context.db, pipeline.pipeline, specVersion)
    if (!version) throw new Error(`version ${specVersion} of pipeline ${pipeline.pipeline} is not there`)
    const fresh = job
      ? { ...newJob(this.#context, output, specVersion), id: job.id }
      : newJob(this.#context, output, specVersion)
    const run = new JobRun(this.#context, { job: fresh, output, version })
    const done = run
      .run()
      .then(
        () => this.#ranToItsEnd(run),
        (error: unknown) => this.#retryLater(run, output, error),
      )
      .catch((error: unknown) =>
        this.#context.log.error({ err: error, job: fresh.id }, 'a job could not be given back'),
      )
      .then(() => this.#release(run))
      .finally(() => {
        this.#running.delete(fresh.id)
        this.wake()
      })
    this.#running.set(fresh.id, { run, pipeline: output.pipeline, done })
  }

  #ranToItsEnd(run: JobRun): void {
    if (run.hasEnded) this.#forget(run.id)
    // Given up: somebody else has it, or it was ended from outside, which the rows show soon.
    else this.#notBefore.set(run.id, this.#context.clock.now() + TICK_MS)
  }

  #forget(job: string): void {
    this.#errors.delete(job)
    this.#notBefore.delete(job)
  }

  /** A lease that is kept by nobody would hold the job up until it runs out. */
  async #release(run: JobRun): Promise<void> {
    const attempt = run.attempt
    if (!attempt || run.hasEnded) return
    try {
      await this.#context.db.write((tx) => releaseJob(tx, attempt))
    } catch (error) {
      this.#context.log.warn({ err: error, job: run.id }, 'a lease could not be given back; it runs out by itself')
    }
  }

  async #retryLater(run: JobRun, output: OpenOutput, error: unknown): Promise<void> {
    const { clock, log, rest } = this.#context
    const count = (this.#errors.get(run.id) ?? 0) + 1
    // The disk does not empty itself: jobs wait for it without end.
    const full = error instanceof StorageFull
    log.error({ err: error, job: run.id, pipeline: output.pipeline, count }, 'a job could not go on')
    if (!full && count >= MAX_ERRORS) {
      this.#forget(run.id)
      const reason = `the job could not go on: ${errorMessage(error)}`
      await this.#end(run.id, output, { state: 'failure', reason }, 'failed')
      return
    }
    if (!full) this.#errors.set(run.id, count)
    this.#notBefore.set(run.id, clock.now() + (full ? rest.whileFullMs : rest.afterErrorMs * count))
  }

  async #end(job: string, output: OpenOutput, end: Omit<JobEnd, 'nowMs'>, kind: 'failed' | 'stopped'): Promise<void> {
    await this.#context.db.write(async (tx) => {
      await ensureJobs(this.#context, tx, [output])
      await endJobOfCommit(tx, output.commit, { ...end, nowMs: this.#context.clock.now() })
      await this.#context.egress.cancel(tx, job)
      await failDownstream(this.#context, tx, output.commit, { kind, reason: end.reason ?? kind })
    })
  }

  /** What waits for a pipeline that is stopped (or that nobody knows) would wait for ever. */
  async #failStopped(
    open: readonly OpenOutput[],
    jobOf: ReadonlyMap<string, JobRow>,
    pipelines: ReadonlyMap<string, PipelineRow>,
  ): Promise<void> {
    for (const output of open) {
      if (pipelines.get(output.pipeline)?.state === 'running') continue
      const job = jobOf.get(output.commit)
      if (job && this.#running.has(job.id)) continue
      const reason = pipelines.has(output.pipeline)
        ? `pipeline ${output.pipeline} is stopped; start it to have this computed`
        : `there is no pipeline ${output.pipeline} any more`
      await this.#context.db.write(async (tx) => {
        const nowMs = this.#context.clock.now()
        await ensureJobs(this.#context, tx, [output])
        await endJobOfCommit(tx, output.commit, { state: 'killed', reason, nowMs })
        if (job) await this.#context.egress.cancel(tx, job.id)
        await failDownstream(this.#context, tx, output.commit, { kind: 'stopped', reason })
      })
    }
  }

  /** Jobs whose output commit was ended by somebody else end as it did. */
  async #reconcile(jobs: readonly JobRow[], open: readonly OpenOutput[]): Promise<void> {
    const stillOpen = new Set(open.map(({ commit }) => commit))
    for (const job of jobs) {
      if (stillOpen.has(job.outputCommit) || this.#running.has(job.id) || endedStates.has(job.state)) continue
      const commit = await this.#commitOf(job)
      if (commit && (commit.state === 'open' || commit.state === 'sealed')) continue
      this.#forget(job.id)
      await this.#context.db.write(async (tx) => {
        await endJob(tx, job.id, { ...endOf(commit), nowMs: this.#context.clock.now() })
        await this.#context.egress.cancel(tx, job.id)
      })
    }
  }

  async #commitOf(job: JobRow): Promise<Commit | undefined> {
    try {
      return await this.#context.versioning.getCommit(job.repo, job.outputCommit)
    } catch (error) {
      if (error instanceof RepoNotFound || error instanceof CommitNotFound) return undefined
      throw error
    }
  }

  async #renew(): Promise<void> {
    const attempts = [...this.#running.values()].flatMap(({ run }) => run.attempt ?? [])
    if (attempts.length === 0) return
    try {
      const lost = await this.#context.db.write((tx) => renewLeases(tx, attempts))
      for (const job of lost) this.#running.get(job)?.run.stop({ kind: 'given-up' })
    } catch (error) {
      const level = error instanceof Corrupt ? 'fatal' : 'warn'
      this.#context.log[level]({ err: error }, 'leases could not be renewed')
    }
  }
}

/** Newer ones of a pipeline wait for it. */
function oldestOfEach(open: readonly OpenOutput[]): readonly OpenOutput[] {
  const oldest = new Map<string, OpenOutput>()
  for (const output of open) {
    const other = oldest.get(output.pipeline)
    if (!other || output.ordinal < other.ordinal) oldest.set(output.pipeline, output)
  }
  return [...oldest.values()]
}

function endOf(commit: Commit | undefined): Omit<JobEnd, 'nowMs'> {
  if (!commit) return { state: 'killed', reason: 'its output commit is not there any more' }
  if (commit.state === 'finished') return { state: 'success' }
  const kind = commit.failure?.kind
  const state = kind === 'unrunnable' ? 'unrunnable' : kind === 'stopped' ? 'killed' : 'failure'
  return { state, ...(commit.failure && { reason: commit.failure.reason }) }
}
