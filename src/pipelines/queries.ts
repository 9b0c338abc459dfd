import { InvalidInput, MIN_COMMIT_PREFIX, type Queries } from '../kernel/index.ts'
import type { Versioning } from '../versioning/index.ts'
import { type Engine, type LiveDatum, planJob } from './engine/index.ts'
import { AmbiguousJob, DatumNotFound, JobNotFound } from './errors.ts'
import type { DatumInfo, EgressPort, JobInfo } from './pipelines.ts'
import { type Datum, fingerprint } from './plan/index.ts'
import {
  type DatumResult,
  type DatumRow,
  datumRows,
  findJob,
  findResults,
  findVersion,
  type JobRow,
  jobOfCommit,
  jobsByPrefix,
  recentJobs,
} from './store/index.ts'

const MAX_JOBS = 1_000
const DEFAULT_JOBS = 100
const MAX_DATUM_PAGE = 1_000
/** Input files that are named of one datum. */
const MAX_NAMED_INPUTS = 100

/** Answers about jobs and datums, out of the rows and what the engine has in hand at this moment. */
export class JobQueries {
  readonly #db: Queries
  readonly #versioning: Versioning
  readonly #egress: EgressPort
  readonly #engine: Engine
  /** The plan that was asked for last: pages of one job's datums come one after the other. */
  #lastPlan: { readonly key: string; readonly datums: Promise<readonly Datum[]> } | undefined

  constructor(options: { db: Queries; versioning: Versioning; egress: EgressPort; engine: Engine }) {
    this.#db = options.db
    this.#versioning = options.versioning
    this.#egress = options.egress
    this.#engine = options.engine
  }

  async list(query: { pipeline?: string; limit?: number; outputCommit?: string }): Promise<readonly JobInfo[]> {
    const limit = Math.min(query.limit ?? DEFAULT_JOBS, MAX_JOBS)
    if (query.outputCommit !== undefined) {
      const job = await jobOfCommit(this.#db, query.outputCommit)
      return job && (query.pipeline === undefined || query.pipeline === job.pipeline) ? this.infos([job]) : []
    }
    return this.infos(
      await recentJobs(this.#db, { ...(query.pipeline !== undefined && { pipeline: query.pipeline }), limit }),
    )
  }

  /** Throws JobNotFound, AmbiguousJob. */
  async find(idOrPrefix: string): Promise<JobRow> {
    const id = idOrPrefix.toLowerCase()
    if (!/^[0-9a-f]{1,32}$/.test(id)) throw new JobNotFound(idOrPrefix.slice(0, 100))
    if (id.length < MIN_COMMIT_PREFIX) {
      throw new InvalidInput(`${id} is too short for a job's id: give at least ${MIN_COMMIT_PREFIX} digits`)
    }
    const [first, ...others] = await jobsByPrefix(this.#db, id, 10)
    if (!first) throw new JobNotFound(id)
    if (others.length > 0)
      throw new AmbiguousJob(
        id,
        [first, ...others].map((job) => job.id),
      )
    return first
  }

  async infos(jobs: readonly JobRow[]): Promise<readonly JobInfo[]> {
    return Promise.all(
      jobs.map(async (job) => {
        const egress = job.outputRoot === undefined ? undefined : await this.#egress.status(job.id)
        const live = this.#engine.running(job.id)
        return {
          id: job.id,
          pipeline: job.pipeline,
          specVersion: job.specVersion,
          state: job.state === 'created' && live ? live.phase : job.state,
          outputCommit: job.outputCommit,
          inputs: job.inputs.map(({ repo, commit }) => ({ repo, commit })),
          createdMs: job.createdMs,
          ...(job.startedMs !== undefined && { startedMs: job.startedMs }),
          ...(job.finishedMs !== undefined && { finishedMs: job.finishedMs }),
          ...(job.reason !== undefined && { reason: job.reason }),
          datums: {
            total: job.total,
            processed: job.processed,
            skipped: job.skipped,
            failed: job.failed,
            recovered: job.recovered,
          },
          restarts: Math.max(0, job.attempt - 1),
          ...(egress && { egress }),
        } satisfies JobInfo
      }),
    )
  }

  async info(id: string): Promise<JobInfo> {
    const job = await findJob(this.#db, id)
    const [info] = job ? await this.infos([job]) : []
    if (!info) throw new JobNotFound(id)
    return info
  }

  async listDatums(job: JobRow, query: { limit?: number; after?: string }): Promise<readonly DatumInfo[]> {
    const datums = await this.#plan(job)
    const start = query.after === undefined ? 0 : datums.findIndex(({ id }) => id === query.after) + 1
    if (query.after !== undefined && start === 0) throw new DatumNotFound(job.id, query.after)
    return this.#describe(job, datums.slice(start, start + Math.min(query.limit ?? MAX_DATUM_PAGE, MAX_DATUM_PAGE)))
  }

  /** By id or by a prefix that only one has. */
  async getDatum(job: JobRow, id: string): Promise<DatumInfo> {
    const found = (await this.#plan(job)).filter((datum) => datum.id.startsWith(id))
    const [info] = found.length === 1 ? await this.#describe(job, found) : []
    if (!info) throw new DatumNotFound(job.id, id)
    return info
  }

  /** What a job's datums are follows from its spec and inputs. */
  async #plan(job: JobRow): Promise<readonly Datum[]> {
    if (job.inputs.some(({ root }) => root === undefined)) return []
    const key = `${job.id} ${job.attempt}`
    if (this.#lastPlan?.key !== key) {
      const version = await findVersion(this.#db, job.pipeline, job.specVersion)
      if (!version) return []
      this.#lastPlan = { key, datums: planJob(this.#versioning.trees, version.spec, job.inputs) }
    }
    try {
      return await this.#lastPlan.datums
    } catch (error) {
      this.#lastPlan = undefined
      throw error
    }
  }

  async #describe(job: JobRow, datums: readonly Datum[]): Promise<readonly DatumInfo[]> {
    const { settings } = job
    const prints = settings ? datums.map((datum) => fingerprint(settings, datum)) : []
    const [rows, results] = await Promise.all([
      datumRows(
        this.#db,
        job.id,
        datums.map(({ id }) => id),
      ),
      findResults(this.#db, job.pipeline, prints),
    ])
    const live = this.#engine.running(job.id)?.live
    return datums.map((datum, index) => {
      const known = results.get(prints[index]?.toString('hex') ?? '')
      return describe(job, datum, { row: rows.get(datum.id), known, live: live?.get(datum.id) })
    })
  }
}

function describe(
  job: JobRow,
  datum: Datum,
  facts: { row: DatumRow | undefined; known: DatumResult | undefined; live: LiveDatum | undefined },
): DatumInfo {
  const { row, known, live } = facts
  const files = datum.inputs.flatMap(({ repo, commit, match }) =>
    match.files.slice(0, MAX_NAMED_INPUTS).map(({ path }) => `${repo}@${commit}:/${path}`),
  )
  const bytesIn = datum.inputs.reduce(
    (sum, { match }) => sum + match.files.reduce((inner, { size }) => inner + size, 0),
    0,
  )
  const common = { id: datum.id, job: job.id, inputs: files.slice(0, MAX_NAMED_INPUTS), bytesIn }
  if (!row) {
    const why = known ? `reused from job ${known.job}` : 'reused'
    return { ...common, state: 'skipped', attempts: 0, bytesOut: known?.sizeBytes ?? 0, why }
  }
  const startedMs = live?.startedMs ?? row.startedMs
  return {
    ...common,
    state: live && row.state === 'starting' ? 'running' : row.state,
    attempts: live?.attempt ?? row.attempts,
    ...(row.exitCode !== undefined && { exitCode: row.exitCode }),
    ...(startedMs !== undefined && { startedMs }),
    ...(row.finishedMs !== undefined && { finishedMs: row.finishedMs }),
    bytesOut: row.bytesOut,
    ...(row.reason !== undefined && { reason: row.reason }),
    why: row.why,
  }
}
