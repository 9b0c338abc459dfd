import { join } from 'node:path'
import { Corrupt, errorMessage, InvalidInput, type Transaction } from '../../kernel/index.ts'
import {
  type CommitFailure,
  EMPTY_TREE,
  type OpenOutput,
  type TreeHash,
  type TreeHold,
} from '../../versioning/index.ts'
import { type Code, confineCode, findCode, hashSettings, type Settings } from '../code/index.ts'
import { StaleAttempt } from '../errors.ts'
import type { EgressStatus, JobState } from '../pipelines.ts'
import {
  type Attempt,
  claimJob,
  type DatumEnd,
  endAttempt,
  findJob,
  insertDatums,
  insertJob,
  type JobEnd,
  type JobInput,
  type JobRow,
  type NewJob,
  type PipelineVersion,
  recordDatums,
  updateJob,
} from '../store/index.ts'
import type { EngineContext } from './context.ts'
import { DatumFailure, JobStopped, type Stop } from './failure.ts'
import { eachAtOnce, SharedFiles } from './materialise.ts'
import { explain, lookUpResults, type PlannedDatum, planJob } from './plan-job.ts'
import { failDownstream } from './propagate.ts'
import { type DatumJob, removeFolder, runDatum } from './run-datum.ts'

/** How long an egress status may be out of date if its notification was missed. */
const EGRESS_POLL_MS = 500

/** What is known of a datum that runs at this moment. */
export interface LiveDatum {
  readonly attempt: number
  readonly startedMs: number
}

/** One attempt at one job, from its claim to its end. */
export class JobRun {
  readonly id: string
  readonly #context: EngineContext
  readonly #output: OpenOutput
  readonly #version: PipelineVersion
  readonly #new: NewJob
  readonly #inputs: readonly JobInput[]
  readonly #stop = new AbortController()
  /** Datums that have ended and are not written down yet. */
  readonly #ended: DatumEnd[] = []
  /** Outputs of the datums that this attempt ran. */
  readonly #ran = new Map<string, TreeHash>()
  /** Outputs are in memory alone until the job ends: they must not be collected meanwhile. */
  readonly #hold: TreeHold
  readonly live = new Map<string, LiveDatum>()
  phase: JobState = 'starting'
  #attempt: Attempt | undefined
  #outstanding = 0
  #recording: Promise<void> | undefined
  #recordingFailed: unknown

  constructor(context: EngineContext, input: { job: NewJob; output: OpenOutput; version: PipelineVersion }) {
    this.#context = context
    this.#hold = context.versioning.derived.hold()
    this.#new = input.job
    this.#output = input.output
    this.#version = input.version
    this.id = input.job.id
    this.#inputs = input.output.inputs.map(({ repo, branch, commit, root }) => ({ repo, branch, commit, root }))
  }

  /** True once this attempt has ended its job. */
  hasEnded = false

  get attempt(): Attempt | undefined {
    return this.#attempt
  }

  /** Ends the run soon; `run` resolves when nothing of it is alive. */
  stop(stop: Stop): void {
    this.#stop.abort(new JobStopped(stop))
  }

  /** Throws what is not the job's own failure: it is to be taken up again. */
  async run(): Promise<void> {
    const limitMs = this.#version.spec.jobTimeoutMs
    const limit =
      limitMs === undefined
        ? undefined
        : setTimeout(() => this.stop({ kind: 'timeout', reason: this.#timeoutText() }), limitMs)
    try {
      await this.#work()
    } catch (error) {
      const cause = this.#stop.signal.aborted ? this.#stop.signal.reason : error
      await this.#endBadly(cause)
    } finally {
      clearTimeout(limit)
      await this.#recording
      this.#hold.end()
      await removeFolder(this.#folder)
    }
  }

  get #folder(): string {
    return join(this.#context.scratchFolder, this.id)
  }

  #timeoutText(): string {
    const { jobTimeoutMs, written } = this.#version.spec
    return `the job took longer than job_timeout ${written.jobTimeout ?? `${jobTimeoutMs}ms`}`
  }

  async #work(): Promise<void> {
    const failed = this.#output.inputs.find((input) => input.state === 'failed')
    if (failed) {
      const because = { repo: failed.repo, commit: failed.commit }
      await this.#claim('starting')
      return this.#fail(
        { state: 'unrunnable', reason: `its input ${failed.repo}@${failed.commit} failed` },
        { kind: 'unrunnable', because },
      )
    }
    const before = await findJob(this.#context.db, this.id)
    if (before?.state === 'egressing' && before.outputRoot) {
      await this.#claim('egressing')
      return this.#awaitEgress(before.outputRoot)
    }
    const planned = await this.#plan(before)
    if (!planned) return
    await this.#runDatums(planned)
    await this.#collect(planned.all)
  }

  /** Takes the job up; with `more`, in one transaction. */
  async #claim(
    state: JobState,
    more: (tx: Transaction, attempt: Attempt) => Promise<void> = async () => {},
  ): Promise<void> {
    this.#attempt = await this.#context.db.write(async (tx) => {
      await insertJob(tx, this.#new)
      const claimed = await claimJob(tx, this.id, {
        owner: this.#context.owner,
        state,
        inputs: this.#inputs,
        nowMs: this.#context.clock.now(),
      })
      if (claimed === undefined) throw new JobStopped({ kind: 'given-up' })
      const attempt = { job: this.id, attempt: claimed }
      await more(tx, attempt)
      return attempt
    })
    this.phase = state
  }

  async #plan(
    before: JobRow | undefined,
  ): Promise<{ all: readonly PlannedDatum[]; toRun: readonly PlannedDatum[]; code: Code } | undefined> {
    const { db, versioning, config } = this.#context
    const { spec, generation, pipeline, confined } = this.#version
    const [datums, found] = await Promise.all([
      planJob(versioning.trees, spec, this.#inputs),
      findCode(spec.transform, config.dataFolder),
    ])
    const code = confined ? confineCode(found, this.#context.runner) : found
    const settings: Settings = await hashSettings(spec, code, generation)
    const all = await lookUpResults(db, { pipeline, job: this.id, spec, settings, datums })
    const toRun = all.filter(({ known }) => !known)
    const broken = toRun.length > 0 ? code.problems : []
    const runs = broken.length > 0 ? [] : toRun.map(({ datum }) => datum)
    const whys = await explain(
      { db, trees: versioning.trees },
      { pipeline, ...(before && { seq: before.seq }) },
      { spec, settings, datums: runs },
    )
    const skipped = all.filter(({ known }) => known && known.job !== this.id).length
    this.#stop.signal.throwIfAborted()
    await this.#claim('running', async (tx, attempt) => {
      await updateJob(tx, attempt, { state: 'running', total: all.length, skipped, settings })
      await insertDatums(
        tx,
        this.id,
        runs.map(({ id }, index) => ({ id, why: whys[index] ?? '' })),
      )
    })
    if (broken.length > 0) {
      await this.#fail({ state: 'failure', reason: broken.join('; ') }, { kind: 'failed' })
      return undefined
    }
    return { all, toRun, code }
  }

  async #runDatums({ toRun, code }: { toRun: readonly PlannedDatum[]; code: Code }): Promise<void> {
    const { spec } = this.#version
    const job: DatumJob = {
      id: this.id,
      pipeline: this.#version.pipeline,
      outputCommit: this.#output.commit,
      spec,
      code,
      folder: this.#folder,
      shared: this.#context.runner.sandboxed
        ? new SharedFiles(
            join(this.#folder, 'files'),
            toRun.map(({ datum }) => datum),
          )
        : undefined,
      signal: this.#stop.signal,
      hold: this.#hold,
      onAttempt: (datum, attempt, startedMs) => this.live.set(datum, { attempt, startedMs }),
    }
    this.#outstanding = toRun.length
    await eachAtOnce(toRun, spec.parallelism ?? this.#context.config.workers, async (planned) => {
      const end = await runDatum(this.#context, job, planned)
      this.live.delete(planned.datum.id)
      this.#outstanding--
      this.#ended.push(end)
      if (end.result) this.#ran.set(end.id, end.result.root)
      // The last ones are written with the job's own end: one transaction, not two.
      if (end.state !== 'failed' && this.#outstanding > 0) this.#record()
      if (end.state === 'failed')
        throw new DatumFailure(
          `datum ${end.id} (${describeDatum(planned)}) failed${triesText(end)}: ${end.reason ?? ''}`,
        )
    })
  }

  /** Writes what has ended, together with whatever ends while the write before is under way. */
  #record(): void {
    if (this.#recording || this.#ended.length === 0) return
    this.#recording = this.#context.db
      .write((tx) => this.#recordEnded(tx, this.#ended.splice(0)))
      .catch((error: unknown) => {
        this.#recordingFailed = error
        this.stop({ kind: 'given-up' })
      })
      .finally(() => {
        this.#recording = undefined
        if (this.#outstanding > 0 && this.#recordingFailed === undefined) this.#record()
      })
  }

  async #recordEnded(tx: Transaction, ends: readonly DatumEnd[]): Promise<void> {
    const attempt = this.#attempt!
    await updateJob(tx, attempt, { state: this.phase })
    await recordDatums(tx, this.id, this.#version.pipeline, ends)
  }

  async #collect(all: readonly PlannedDatum[]): Promise<void> {
    await this.#recording
    this.#stop.signal.throwIfAborted()
    const roots: TreeHash[] = []
    for (const { datum, known } of all) {
      const root = known?.root ?? this.#ran.get(datum.id)
      if (root !== undefined && root !== EMPTY_TREE) roots.push(root)
    }
    const merged = await this.#context.versioning.derived.union(
      this.#output.commit,
      roots,
      this.#output.base?.root ?? EMPTY_TREE,
      this.#hold,
    )
    if (merged.kind === 'conflict') {
      const paths = merged.paths.map(
        ({ path, datums }) => `/${path} is written by datum ${datums[0]} and by datum ${datums[1]}`,
      )
      return this.#fail(
        { state: 'failure', reason: `two datums wrote one path: ${paths.slice(0, 10).join('; ')}` },
        { kind: 'failed' },
      )
    }
    const target = this.#version.egress
    if (!target) return this.#succeed(merged.root)
    await this.#context.db.write(async (tx) => {
      await this.#recordEnded(tx, this.#ended.splice(0))
      await updateJob(tx, this.#attempt!, { state: 'egressing', outputRoot: merged.root })
      await this.#context.egress.request(tx, {
        id: this.id,
        job: this.id,
        pipeline: this.#version.pipeline,
        repo: this.#output.repo,
        commit: this.#output.commit,
        root: merged.root,
        url: target.url,
        ...(target.secret !== undefined && { secret: target.secret }),
        settings: target.settings,
        provenance: this.#inputs.map(({ repo, commit }) => ({ repo, commit })),
      })
    })
    this.phase = 'egressing'
    await this.#awaitEgress(merged.root)
  }

  async #awaitEgress(root: TreeHash): Promise<void> {
    const status = await this.#egressEnd()
    if (status?.state === 'success') return this.#succeed(root)
    const reason = status
      ? `egress to ${status.url} failed: ${status.reason ?? 'no reason is known'}; when that is put right: sluice egress retry ${this.id}`
      : 'its egress is not known any more'
    await this.#fail({ state: 'failure', reason }, { kind: 'failed' })
  }

  async #egressEnd(): Promise<EgressStatus | undefined> {
    const { egress } = this.#context
    for (;;) {
      this.#stop.signal.throwIfAborted()
      const changed = Promise.withResolvers<void>()
      const stopListening = egress.onChange(changed.resolve)
      const timer = setTimeout(changed.resolve, EGRESS_POLL_MS)
      const onAbort = () => changed.resolve()
      this.#stop.signal.addEventListener('abort', onAbort)
      try {
        const status = await egress.status(this.id)
        if (!status || status.state === 'success' || status.state === 'failed') return status
        await changed.promise
      } finally {
        clearTimeout(timer)
        stopListening()
        this.#stop.signal.removeEventListener('abort', onAbort)
      }
    }
  }

  async #succeed(root: TreeHash): Promise<void> {
    this.#stop.signal.throwIfAborted()
    this.phase = 'finishing'
    await this.#context.db.write(async (tx) => {
      const attempt = this.#attempt!
      await this.#recordEnded(tx, this.#ended.splice(0))
      await updateJob(tx, attempt, { state: 'finishing', outputRoot: root })
      await this.#context.versioning.derived.finish(tx, this.#output.commit, root)
      await endAttempt(tx, attempt, { state: 'success', nowMs: this.#context.clock.now() })
    })
    this.hasEnded = true
    this.#context.log.info({ job: this.id, pipeline: this.#version.pipeline }, 'job succeeded')
  }

  async #fail(end: Omit<JobEnd, 'nowMs'>, failure: Omit<CommitFailure, 'reason'>): Promise<void> {
    const nowMs = this.#context.clock.now()
    const reason = end.reason ?? end.state
    await this.#context.db.write(async (tx) => {
      const attempt = this.#attempt!
      await recordDatums(tx, this.id, this.#version.pipeline, this.#ended.splice(0))
      await endAttempt(tx, attempt, { ...end, nowMs })
      if (this.phase === 'egressing') await this.#context.egress.cancel(tx, this.id)
      await failDownstream(this.#context, tx, this.#output.commit, { ...failure, reason })
    })
    this.hasEnded = true
    this.#context.log.info({ job: this.id, pipeline: this.#version.pipeline, state: end.state, reason }, 'job failed')
    await this.#context.logs.say(this.id, `${end.state}: ${reason}`)
  }

  async #endBadly(error: unknown): Promise<void> {
    await this.#recording
    if (this.#recordingFailed !== undefined && !(this.#recordingFailed instanceof StaleAttempt))
      throw this.#recordingFailed
    if (error instanceof StaleAttempt || (error instanceof JobStopped && error.stop.kind === 'given-up')) return
    // What the user, the inputs or the code are to blame for fails the job; everything else is tried again.
    const own =
      error instanceof JobStopped ||
      error instanceof DatumFailure ||
      error instanceof InvalidInput ||
      error instanceof Corrupt
    if (!own) throw error
    try {
      if (!this.#attempt) await this.#claim('starting')
      await this.#fail({ state: 'failure', reason: errorMessage(error) }, { kind: 'failed' })
    } catch (failure) {
      if (!(failure instanceof StaleAttempt || failure instanceof JobStopped)) throw failure
    }
  }
}

function describeDatum({ datum }: PlannedDatum): string {
  return datum.inputs
    .map(({ name, match }) => `${name}:${match.path}`)
    .join(', ')
    .slice(0, 500)
}

function triesText(end: DatumEnd): string {
  return end.attempts > 1 ? ` after ${end.attempts} tries` : ''
}
