import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Clock,
  type Config,
  type Database,
  InvalidInput,
  type Log,
  randomHexId,
  type Transaction,
} from '../kernel/index.ts'
import { type BranchAddress, InUse, RepoNotFound, type Versioning } from '../versioning/index.ts'
import { findCode } from './code/index.ts'
import { Engine, type EngineContext, ensureJobs, failDownstream, Pool, reviveJob } from './engine/index.ts'
import { InvalidSpec, PipelineExists, PipelineNotFound } from './errors.ts'
import { readLogs } from './log-query.ts'
import { LogFiles } from './logs/index.ts'
import type {
  CreateOptions,
  DatumInfo,
  EgressPort,
  JobInfo,
  LogLine,
  LogQuery,
  PipelineInfo,
  PipelinePlan,
  Pipelines,
} from './pipelines.ts'
import { whyPrivileged } from './privileged.ts'
import { JobQueries } from './queries.ts'
import { openProcessRunner, type Runner } from './runners/index.ts'
import { describeInput, leavesOf, parseSpec, type Spec, specToJson } from './spec/index.ts'
import {
  allPipelines,
  dropJobs,
  dropPipeline,
  type EgressTarget,
  endedStates,
  endJob,
  findPipeline,
  lastVersion,
  type PipelineRow,
  recentJobs,
  savePipeline,
  setPipelineState,
  unendedJobs,
} from './store/index.ts'

/** What pipelines are opened on. */
export interface PipelinesOptions {
  /** With the tables of `pipelineMigrations`. */
  readonly db: Database
  readonly versioning: Versioning
  readonly egress: EgressPort
  readonly config: Pick<Config, 'dataFolder' | 'workers' | 'sandboxPaths' | 'runner'>
  readonly clock: Clock
  readonly log: Log
  /** Makes ids of 32 hex digits. */
  readonly newId?: () => string
  /** Nobody else's: what is in it when the engine starts is removed. */
  readonly scratchFolder: string
  /** Undefined: the best that this machine has. */
  readonly runner?: Runner
  /** How long a job rests after an error that is not its own (default 1 s, longer each time), and while the disk is full (5 s). */
  readonly rest?: { readonly afterErrorMs: number; readonly whileFullMs: number }
}

/** Opens the pipelines floor. No job runs before `startEngine`. */
export async function openPipelines(options: PipelinesOptions): Promise<Pipelines> {
  const { db, versioning, egress, config, clock, log, scratchFolder } = options
  await mkdir(scratchFolder, { recursive: true })
  const newId = options.newId ?? randomHexId
  const context: EngineContext = {
    db,
    versioning,
    egress,
    runner: options.runner ?? (await openProcessRunner({ config, scratchFolder, log })),
    config,
    clock,
    log,
    logs: new LogFiles({ folder: join(config.dataFolder, 'logs'), clock, log }),
    newId,
    scratchFolder,
    pool: new Pool(config.workers),
    rest: options.rest ?? { afterErrorMs: 1_000, whileFullMs: 5_000 },
    owner: newId(),
  }
  return new PipelinesFloor(context)
}

class PipelinesFloor implements Pipelines {
  readonly #context: EngineContext
  readonly #engine: Engine
  readonly #jobs: JobQueries

  constructor(context: EngineContext) {
    this.#context = context
    this.#engine = new Engine(context)
    const { db, versioning, egress } = context
    this.#jobs = new JobQueries({ db, versioning, egress, engine: this.#engine })
  }

  async create(
    input: unknown,
    options: CreateOptions = {},
  ): Promise<{ pipeline: PipelineInfo; notes: readonly string[] }> {
    const { spec, notes } = parseSpec(input)
    const plan = await this.#plan(spec)
    options.allow?.(plan)
    const existing = await findPipeline(this.#context.db, spec.name)
    if (existing && !options.update) throw new PipelineExists(spec.name)
    if (!existing && options.update) throw new PipelineNotFound(spec.name)
    const code = await findCode(spec.transform, this.#context.config.dataFolder)
    const egress = await this.#checkEgress(spec)
    const row = await this.#context.db.write((tx) =>
      this.#save(tx, spec, { ...options, outputIsNew: plan.outputIsNew, ...(egress && { target: egress.target }) }),
    )
    this.#engine.wake()
    return {
      pipeline: await this.#info(row),
      notes: [
        ...notes,
        ...this.#runnerNotes(spec),
        ...code.notes,
        ...code.problems.map((text) => `jobs will fail until this is put right: ${text}`),
        ...(egress?.notes ?? []),
      ],
    }
  }

  async #plan(spec: Spec): Promise<PipelinePlan> {
    const { runner, versioning } = this.#context
    const outputIsNew = await versioning.getRepo(spec.name).then(
      () => false,
      (error: unknown) => {
        if (error instanceof RepoNotFound) return true
        throw error
      },
    )
    const privileged = await whyPrivileged(spec, runner.sandboxed)
    const inputs = [...new Set(leavesOf(spec.input).map(({ repo }) => repo))]
    return { output: spec.name, outputIsNew, inputs, ...(privileged === undefined ? {} : { privileged }) }
  }

  async #checkEgress(spec: Spec): Promise<{ target: EgressTarget; notes: readonly string[] } | undefined> {
    if (spec.egress === undefined) return undefined
    try {
      const { notes, ...target } = await this.#context.egress.check(spec.egress)
      return { target, notes }
    } catch (error) {
      if (error instanceof InvalidInput) throw new InvalidSpec([`\`egress\`: ${error.message}`])
      throw error
    }
  }

  #runnerNotes(spec: Spec): readonly string[] {
    const { runner } = this.#context
    const notes: string[] = []
    if (spec.transform.image !== undefined)
      notes.push(`image ${JSON.stringify(spec.transform.image)} is not used: code runs as a ${runner.name}`)
    if (runner.warning) notes.push(runner.warning)
    return notes
  }

  async #save(
    tx: Transaction,
    spec: Spec,
    options: CreateOptions & { readonly outputIsNew: boolean; readonly target?: EgressTarget },
  ): Promise<PipelineRow> {
    const { versioning, clock } = this.#context
    const before = await findPipeline(tx, spec.name)
    if (before && !options.update) throw new PipelineExists(spec.name)
    // What is open now is computed under the spec that it was opened under.
    if (before)
      await ensureJobs(
        this.#context,
        tx,
        (await versioning.derived.listOpen()).filter(({ pipeline }) => pipeline === spec.name),
      )
    const output = outputOf(spec)
    if (before && before.spec.outputBranch !== spec.outputBranch)
      await versioning.derived.undefine(tx, outputOf(before.spec))
    const owner = options.owner === undefined ? {} : { owner: options.owner }
    const repo = options.outputIsNew ? 'new' : 'existing'
    await versioning.derived.define(tx, { output, pipeline: spec.name, inputs: inputsOf(spec), repo, ...owner })
    // Defining makes it run; a new spec alone does not start what was stopped.
    if (before?.state === 'stopped') await versioning.derived.pause(tx, output, true)
    const last = await lastVersion(tx, spec.name)
    const version = last.version + 1
    const generation = options.reprocess ? version : last.generation
    const { target } = options
    await savePipeline(tx, {
      name: spec.name,
      version,
      spec: specToJson(spec),
      generation,
      nowMs: clock.now(),
      ...(target && { egress: target }),
      ...(options.author !== undefined && { author: options.author }),
      ...(options.confined !== undefined && { confined: options.confined }),
    })
    const saved = await findPipeline(tx, spec.name)
    if (!saved) throw new PipelineNotFound(spec.name)
    return saved
  }

  async get(name: string): Promise<PipelineInfo> {
    return this.#info(await this.#find(name))
  }

  async list(): Promise<readonly PipelineInfo[]> {
    return Promise.all((await allPipelines(this.#context.db)).map((row) => this.#info(row)))
  }

  async delete(name: string, options: { deleteRepo?: boolean } = {}): Promise<void> {
    const { db, versioning, clock, egress, logs } = this.#context
    const row = await this.#find(name)
    const output = outputOf(row.spec)
    const readers = (await allPipelines(db)).filter(
      (other) =>
        other.pipeline !== row.pipeline &&
        leavesOf(other.spec.input).some(
          ({ repo, branch }) => repo === output.repo && (options.deleteRepo || branch === output.branch),
        ),
    )
    if (readers.length > 0) {
      const by = readers.map(({ pipeline }) => pipeline)
      throw new InUse(`pipeline ${name} can't be deleted: its output is read by ${by.join(', ')}; delete them first`, {
        by,
      })
    }
    const ended = await db.write(async (tx) => {
      const jobs = (await unendedJobs(tx)).filter((job) => job.pipeline === row.pipeline)
      for (const job of jobs) {
        await endJob(tx, job.id, { state: 'killed', reason: `pipeline ${name} was deleted`, nowMs: clock.now() })
        await egress.cancel(tx, job.id)
      }
      await versioning.derived.undefine(tx, output)
      await egress.release(tx, name)
      await dropPipeline(tx, name)
      return jobs.map(({ id }) => id)
    })
    await this.#engine.giveUp(ended)
    if (!options.deleteRepo) return
    await deleteRepo(versioning, output)
    for (const job of await db.write((tx) => dropJobs(tx, name))) await logs.delete(job)
  }

  /** What runs goes on to its end; what waits is failed as `stopped`; new inputs start nothing. */
  stop(name: string): Promise<PipelineInfo> {
    return this.#setState(name, 'stopped')
  }

  /** Begins with the inputs as they are now, if they have moved. */
  start(name: string): Promise<PipelineInfo> {
    return this.#setState(name, 'running')
  }

  async #setState(name: string, state: 'running' | 'stopped'): Promise<PipelineInfo> {
    await this.#context.db.write(async (tx) => {
      const row = await findPipeline(tx, name)
      if (!row) throw new PipelineNotFound(name)
      if (row.state === state) return
      await setPipelineState(tx, name, state, this.#context.clock.now())
      await this.#context.versioning.derived.pause(tx, outputOf(row.spec), state === 'stopped')
    })
    this.#engine.wake()
    return this.get(name)
  }

  listJobs(query: { pipeline?: string; limit?: number; outputCommit?: string } = {}): Promise<readonly JobInfo[]> {
    return this.#jobs.list(query)
  }

  async getJob(idOrPrefix: string): Promise<JobInfo> {
    return this.#jobs.info((await this.#jobs.find(idOrPrefix)).id)
  }

  /** A job that has ended stays as it ended. */
  async killJob(idOrPrefix: string): Promise<JobInfo> {
    const job = await this.#jobs.find(idOrPrefix)
    const { db, clock, egress } = this.#context
    if (!endedStates.has(job.state)) {
      const reason = `job ${job.id} was killed`
      await db.write(async (tx) => {
        if (!(await endJob(tx, job.id, { state: 'killed', reason, nowMs: clock.now() }))) return
        await egress.cancel(tx, job.id)
        await failDownstream(this.#context, tx, job.outputCommit, { kind: 'stopped', reason })
      })
      await this.#engine.giveUp([job.id])
    }
    return this.#jobs.info(job.id)
  }

  async retryEgress(idOrPrefix: string): Promise<JobInfo> {
    const { id } = await this.#jobs.find(idOrPrefix)
    await reviveJob(this.#context, id)
    this.#engine.wake()
    return this.#jobs.info(id)
  }

  async listDatums(job: string, query: { limit?: number; after?: string } = {}): Promise<readonly DatumInfo[]> {
    return this.#jobs.listDatums(await this.#jobs.find(job), query)
  }

  async getDatum(job: string, datum: string): Promise<DatumInfo> {
    return this.#jobs.getDatum(await this.#jobs.find(job), datum)
  }

  async *logs(query: LogQuery): AsyncIterable<LogLine> {
    if (query.pipeline !== undefined && query.job === undefined) await this.#find(query.pipeline)
    const job = query.job === undefined ? undefined : await this.#jobs.find(query.job)
    yield* readLogs({ db: this.#context.db, logs: this.#context.logs }, query, job)
  }

  startEngine(): Promise<void> {
    return this.#engine.start()
  }

  stopEngine(): Promise<void> {
    return this.#engine.stop()
  }

  async #find(name: string): Promise<PipelineRow> {
    const row = await findPipeline(this.#context.db, name)
    if (!row) throw new PipelineNotFound(name)
    return row
  }

  async #info(row: PipelineRow): Promise<PipelineInfo> {
    const [last] = await recentJobs(this.#context.db, { pipeline: row.pipeline, limit: 1 })
    return {
      name: row.pipeline,
      version: row.version,
      description: row.spec.description,
      state: row.state,
      createdMs: row.createdMs,
      updatedMs: row.updatedMs,
      input: describeInput(row.spec.input),
      outputBranch: row.spec.outputBranch,
      spec: specToJson(row.spec),
      runner: this.#context.runner.name,
      ...(row.egress && { egressUrl: row.egress.url }),
      ...(last && { lastJob: { id: last.id, state: last.state } }),
    }
  }
}

function outputOf(spec: Spec): BranchAddress {
  return { repo: spec.name, branch: spec.outputBranch }
}

function inputsOf(spec: Spec): readonly BranchAddress[] {
  const seen = new Map<string, BranchAddress>()
  for (const { repo, branch } of leavesOf(spec.input)) seen.set(`${branch}.${repo}`, { repo, branch })
  return [...seen.values()]
}

async function deleteRepo(versioning: Versioning, output: BranchAddress): Promise<void> {
  try {
    await versioning.deleteRepo(output.repo)
  } catch (error) {
    // Nothing was ever put into it.
    if (!(error instanceof RepoNotFound)) throw error
  }
}
