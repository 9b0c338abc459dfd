import type { Transaction } from '../kernel/index.ts'
import type { CommitId, CommitRef, RepoName, TreeHash } from '../versioning/index.ts'

/** The states of a job in the order it goes through them; the last four are for good. */
export const JOB_STATES = [
  'created',
  'starting',
  'running',
  'egressing',
  'finishing',
  'success',
  'failure',
  'killed',
  'unrunnable',
] as const
/** One of JOB_STATES. */
export type JobState = (typeof JOB_STATES)[number]

/** `skipped`: reused from an earlier job. `recovered`: it failed, and its `err_cmd` ended well. */
export type DatumState = 'starting' | 'running' | 'success' | 'failed' | 'recovered' | 'skipped'

/** A pipeline as it is now. */
export interface PipelineInfo {
  readonly name: RepoName
  readonly version: number
  readonly description: string
  readonly state: 'running' | 'stopped'
  readonly createdMs: number
  readonly updatedMs: number
  /** `images@master:/*`, `cross(a@master:/*, b@master:/)`. */
  readonly input: string
  readonly outputBranch: string
  /** The normalised spec, as stored; no secret is ever in one. */
  readonly spec: unknown
  /** Which runner its code runs in now, and whether that is a sandbox. */
  readonly runner: string
  readonly egressUrl?: string
  readonly lastJob?: { readonly id: string; readonly state: JobState }
}

/** A job: one run of a pipeline, for one output commit. */
export interface JobInfo {
  readonly id: string
  readonly pipeline: RepoName
  readonly specVersion: number
  readonly state: JobState
  readonly outputCommit: CommitId
  readonly inputs: readonly CommitRef[]
  readonly createdMs: number
  readonly startedMs?: number
  readonly finishedMs?: number
  /** Why it failed, was killed or can't run. */
  readonly reason?: string
  readonly datums: Readonly<Record<'total' | 'processed' | 'skipped' | 'failed' | 'recovered', number>>
  readonly restarts: number
  readonly egress?: EgressStatus
}

/** A datum of a job. */
export interface DatumInfo {
  readonly id: string
  readonly job: string
  readonly state: DatumState
  /** `repo@commit:path` of each input file of the datum; the first 100. */
  readonly inputs: readonly string[]
  readonly attempts: number
  readonly exitCode?: number
  readonly startedMs?: number
  readonly finishedMs?: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly reason?: string
  /** Why it ran or was reused: `input images:/a.png is new`, `code changed`, `reused from job …`. */
  readonly why: string
}

/** A line that user code wrote, or that Sluice says about it (`system`). */
export interface LogLine {
  readonly atMs: number
  readonly pipeline: string
  readonly job: string
  readonly datum?: string
  readonly stream: 'stdout' | 'stderr' | 'system'
  readonly text: string
}

/** Which lines, in the order they were written; what is left out does not narrow it. */
export interface LogQuery {
  readonly pipeline?: string
  readonly job?: string
  readonly datum?: string
  /** Goes on with new lines until the signal or, for one job, its end. */
  readonly follow?: boolean
  readonly contains?: string
  readonly signal?: AbortSignal
}

/** How a pipeline is made: by default there must be none of its name. */
export interface CreateOptions {
  readonly update?: boolean
  readonly reprocess?: boolean
  readonly author?: string
  /** The canonical id of whom the output repo belongs to, if it is made. */
  readonly owner?: string
  /** Made by somebody who may not reach outside of the sandbox: held to it in every job too, whatever is on the server by then. */
  readonly confined?: boolean
  /** Asked before anything is done; what it throws is passed on. */
  readonly allow?: (plan: PipelinePlan) => void
}

/** What a pipeline would reach, for whoever decides whether it may. */
export interface PipelinePlan {
  readonly output: RepoName
  readonly outputIsNew: boolean
  readonly inputs: readonly RepoName[]
  /** Why its code or its egress reaches further than its inputs and its output; undefined if it does not. */
  readonly privileged?: string
}

/** The pipelines floor: specs, jobs and the engine that runs them. */
export interface Pipelines {
  /**
   * Creates a pipeline from a JSON spec; `update` replaces one of that name (its running jobs end under the old spec),
   * `reprocess` also runs every datum again. `notes` say, one line each, how a field was mapped. Throws InvalidSpec (every
   * problem listed), RepoNotFound, Cycle, PipelineExists, PipelineNotFound.
   */
  create(
    spec: unknown,
    options?: CreateOptions,
  ): Promise<{ readonly pipeline: PipelineInfo; readonly notes: readonly string[] }>
  get(name: string): Promise<PipelineInfo>
  list(): Promise<readonly PipelineInfo[]>
  /** Running jobs are killed. The output repo stays unless `deleteRepo`. InUse if another pipeline reads it. */
  delete(name: string, options?: { deleteRepo?: boolean }): Promise<void>
  stop(name: string): Promise<PipelineInfo>
  start(name: string): Promise<PipelineInfo>

  /** Newest first. */
  listJobs(query?: { pipeline?: string; limit?: number; outputCommit?: string }): Promise<readonly JobInfo[]>
  getJob(idOrPrefix: string): Promise<JobInfo>
  killJob(idOrPrefix: string): Promise<JobInfo>
  /**
   * Revives a job that failed because its output could not be pushed: its output commit, and what was unrunnable only because of it,
   * are open again, and the push goes on from where it was. Throws RetryRefused where that would turn the target back, or where there
   * is nothing to retry; JobNotFound, AmbiguousJob.
   */
  retryEgress(idOrPrefix: string): Promise<JobInfo>
  listDatums(job: string, query?: { limit?: number; after?: string }): Promise<readonly DatumInfo[]>
  getDatum(job: string, datum: string): Promise<DatumInfo>
  logs(query: LogQuery): AsyncIterable<LogLine>

  /** Starts claiming and running jobs. */
  startEngine(): Promise<void>
  /** Kills user code and gives leases back; what was unfinished is taken up at the next start. */
  stopEngine(): Promise<void>
}

/** How far the push of a job's output is. */
export interface EgressStatus {
  readonly id: string
  readonly url: string
  readonly secret?: string
  readonly state: 'waiting' | 'running' | 'success' | 'failed'
  readonly filesTotal: number
  readonly filesDone: number
  readonly filesSkipped: number
  readonly filesDeleted: number
  readonly bytesTotal: number
  readonly bytesDone: number
  readonly attempts: number
  readonly reason?: string
  readonly startedMs?: number
  readonly endedMs?: number
  readonly bytesPerSecond?: number
  readonly secondsLeft?: number
  /** What a request failed with that is tried again now. */
  readonly trying?: { readonly reason: string; readonly times: number; readonly sinceMs: number }
}

/**
 * What pipelines ask of egress. `main` hands in the egress floor's implementation: the floors do not import each other, they
 * meet through the rows behind these calls.
 */
export interface EgressPort {
  /** Parses and normalises a spec's `egress` field; `settings` is JSON. Throws InvalidInput that names what is wrong. */
  check(egress: unknown): Promise<{
    readonly url: string
    readonly secret?: string
    readonly settings?: unknown
    readonly notes: readonly string[]
  }>
  /** Queues the push of a job's output tree; in the transaction that makes the job `egressing`. Asked again for a job: no effect. */
  request(
    tx: Transaction,
    input: {
      id: string
      job: string
      pipeline: string
      repo: RepoName
      commit: CommitId
      root: TreeHash
      url: string
      secret?: string
      /** What `check` gave for this version of the spec; undefined: it was made before there were any. */
      settings: unknown
      provenance: readonly CommitRef[]
    },
  ): Promise<void>
  status(job: string): Promise<EgressStatus | undefined>
  /** Gives a queued or running push up. */
  cancel(tx: Transaction, job: string): Promise<void>
  /** Lets a push that failed wait for its turn again. Throws if it has not failed. */
  requeue(tx: Transaction, job: string): Promise<void>
  /** The pipeline is gone: what it pushed stays at its targets, and other pipelines may push there. */
  release(tx: Transaction, pipeline: string): Promise<void>
  /** Wakes somebody up when a push has ended; carries nothing and may be missed. */
  onChange(listener: () => void): () => void
}
