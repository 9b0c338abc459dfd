import type { Queries, Transaction } from '../../kernel/index.ts'
import type { BranchName, CommitId, RepoName, TreeHash } from '../../versioning/index.ts'
import type { Settings } from '../code/index.ts'
import { StaleAttempt } from '../errors.ts'
import type { JobState } from '../pipelines.ts'

/** What a job reads; `root` is known once the commit is finished. */
export interface JobInput {
  readonly repo: RepoName
  readonly branch: BranchName
  readonly commit: CommitId
  readonly root?: TreeHash
}

/** A job as it is kept. */
export interface JobRow {
  readonly seq: number
  readonly id: string
  readonly pipeline: RepoName
  readonly specVersion: number
  readonly state: JobState
  readonly outputCommit: CommitId
  readonly repo: RepoName
  readonly inputs: readonly JobInput[]
  readonly createdMs: number
  readonly startedMs?: number
  readonly finishedMs?: number
  readonly reason?: string
  readonly total: number
  readonly skipped: number
  readonly processed: number
  readonly failed: number
  readonly recovered: number
  /** How often it was taken up. */
  readonly attempt: number
  readonly settings?: Settings
  /** The tree that is being pushed out, or that it ended with. */
  readonly outputRoot?: TreeHash
}

interface JobColumns {
  readonly seq: number
  readonly id: string
  readonly pipeline: RepoName
  readonly spec_version: number
  readonly state: JobState
  readonly output_commit: CommitId
  readonly repo: RepoName
  readonly inputs: string
  readonly created_ms: number
  readonly started_ms: number | null
  readonly finished_ms: number | null
  readonly reason: string | null
  readonly total: number
  readonly skipped: number
  readonly processed: number
  readonly failed: number
  readonly recovered: number
  readonly attempt: number
  readonly settings: string | null
  readonly output_root: TreeHash | null
}

/** Which attempt of which job speaks; every write of an attempt is refused once another one has begun. */
export interface Attempt {
  readonly job: string
  readonly attempt: number
}

/** How long a process has a job to itself without renewing that. */
export const LEASE_MS = 30_000
/** Leases run on the database's clock, which all processes share. */
const nowSql = "CAST(unixepoch('subsec') * 1000 AS INTEGER)"
/** The jobs of the index `job_unended`. */
export const unendedSql = "state IN ('created', 'starting', 'running', 'egressing', 'finishing')"

/** States that a job does not leave. */
export const endedStates: ReadonlySet<JobState> = new Set(['success', 'failure', 'killed', 'unrunnable'])

/** What is known of a job before it runs. */
export interface NewJob {
  readonly id: string
  readonly pipeline: RepoName
  readonly specVersion: number
  readonly outputCommit: CommitId
  readonly repo: RepoName
  readonly inputs: readonly JobInput[]
  readonly createdMs: number
}

/** Makes the job of an output commit; nothing happens if it has one. */
export async function insertJob(tx: Transaction, job: NewJob): Promise<void> {
  await tx.run(
    `INSERT INTO job (id, pipeline, spec_version, state, output_commit, repo, inputs, created_ms)
     VALUES (?, ?, ?, 'created', ?, ?, ?, ?) ON CONFLICT (output_commit) DO NOTHING`,
    [job.id, job.pipeline, job.specVersion, job.outputCommit, job.repo, JSON.stringify(job.inputs), job.createdMs],
  )
}

/**
 * Takes a job up: its attempt number, or undefined if it has ended or another process holds its lease.
 */
export async function claimJob(
  tx: Transaction,
  id: string,
  input: { owner: string; state: JobState; inputs: readonly JobInput[]; nowMs: number },
): Promise<number | undefined> {
  const changed = await tx.run(
    `UPDATE job SET attempt = attempt + 1, lease_owner = ?, lease_until_ms = ${nowSql} + ?, state = ?, inputs = ?,
       started_ms = COALESCE(started_ms, ?)
     WHERE id = ? AND ${unendedSql} AND (lease_owner IS NULL OR lease_until_ms < ${nowSql})`,
    [input.owner, LEASE_MS, input.state, JSON.stringify(input.inputs), input.nowMs, id],
  )
  if (changed === 0) return undefined
  return (await tx.get<{ attempt: number }>('SELECT attempt FROM job WHERE id = ?', [id]))?.attempt
}

/** Holds the leases of this process's jobs for another LEASE_MS. Returns the jobs that are lost. */
export async function renewLeases(tx: Transaction, attempts: readonly Attempt[]): Promise<readonly string[]> {
  const lost: string[] = []
  for (const { job, attempt } of attempts) {
    const changed = await tx.run(
      `UPDATE job SET lease_until_ms = ${nowSql} + ? WHERE id = ? AND attempt = ? AND lease_owner IS NOT NULL AND ${unendedSql}`,
      [LEASE_MS, job, attempt],
    )
    if (changed === 0) lost.push(job)
  }
  return lost
}

/** Gives jobs back, to be taken up again by whoever comes first. */
export async function releaseJob(tx: Transaction, { job, attempt }: Attempt): Promise<void> {
  await tx.run('UPDATE job SET lease_owner = NULL, lease_until_ms = NULL WHERE id = ? AND attempt = ?', [job, attempt])
}

/** Of a process that is known to be dead: a SQLite store belongs to one process. */
export async function releaseAll(tx: Transaction): Promise<void> {
  await tx.run(
    `UPDATE job SET lease_owner = NULL, lease_until_ms = NULL WHERE lease_owner IS NOT NULL AND ${unendedSql}`,
  )
}

/** Throws StaleAttempt if the attempt does not count any more. */
export async function updateJob(
  tx: Transaction,
  { job, attempt }: Attempt,
  change: { state: JobState; total?: number; skipped?: number; settings?: Settings; outputRoot?: TreeHash },
): Promise<void> {
  const changed = await tx.run(
    `UPDATE job SET state = ?, total = COALESCE(?, total), skipped = COALESCE(?, skipped), settings = COALESCE(?, settings),
       output_root = COALESCE(?, output_root)
     WHERE id = ? AND attempt = ? AND lease_owner IS NOT NULL AND ${unendedSql}`,
    [
      change.state,
      change.total ?? null,
      change.skipped ?? null,
      change.settings ? JSON.stringify(change.settings) : null,
      change.outputRoot ?? null,
      job,
      attempt,
    ],
  )
  if (changed === 0) throw new StaleAttempt(job)
}

/** How a job ends. */
export interface JobEnd {
  readonly state: 'success' | 'failure' | 'killed' | 'unrunnable'
  readonly nowMs: number
  readonly reason?: string
}

/** Ends a job by the attempt that ran it. Throws StaleAttempt. */
export async function endAttempt(tx: Transaction, attempt: Attempt, end: JobEnd): Promise<void> {
  const changed = await endWhere(
    tx,
    'id = ? AND attempt = ? AND lease_owner IS NOT NULL',
    [attempt.job, attempt.attempt],
    end,
  )
  if (changed === 0) throw new StaleAttempt(attempt.job)
}

/** Ends a job from outside, whoever holds it; an attempt that is under way does not count any more. False if it had ended. */
export async function endJob(tx: Transaction, id: string, end: JobEnd): Promise<boolean> {
  return (await endWhere(tx, 'id = ?', [id], end)) > 0
}

/** Ends the job of an output commit, whoever runs it; false if it had ended already. */
export async function endJobOfCommit(tx: Transaction, commit: CommitId, end: JobEnd): Promise<boolean> {
  return (await endWhere(tx, 'output_commit = ?', [commit], end)) > 0
}

function endWhere(tx: Transaction, where: string, params: readonly (string | number)[], end: JobEnd): Promise<number> {
  return tx.run(
    `UPDATE job SET state = ?, finished_ms = ?, reason = ?, lease_owner = NULL, lease_until_ms = NULL WHERE ${where} AND ${unendedSql}`,
    [end.state, end.nowMs, end.reason ?? null, ...params],
  )
}

/** A job that failed while its output was pushed is at that point again. False if it is not such a one. */
export async function reviveEgressing(tx: Transaction, id: string): Promise<boolean> {
  const changed = await tx.run(
    `UPDATE job SET state = 'egressing', finished_ms = NULL, reason = NULL, lease_owner = NULL, lease_until_ms = NULL
     WHERE id = ? AND state IN ('failure', 'killed') AND output_root IS NOT NULL`,
    [id],
  )
  return changed > 0
}

/** Jobs that could not run wait again for the inputs of these output commits. */
export async function reviveUnrunnable(tx: Transaction, commits: readonly CommitId[]): Promise<void> {
  await tx.run(
    `UPDATE job SET state = 'created', finished_ms = NULL, reason = NULL, lease_owner = NULL, lease_until_ms = NULL
     WHERE state = 'unrunnable' AND output_commit IN (SELECT value FROM json_each(?))`,
    [JSON.stringify(commits)],
  )
}

/** Oldest first. */
export async function unendedJobs(queries: Queries): Promise<readonly JobRow[]> {
  return (await queries.all<JobColumns>(`SELECT * FROM job WHERE ${unendedSql} ORDER BY seq`)).map(toJob)
}

/** By its full id. */
export async function findJob(queries: Queries, id: string): Promise<JobRow | undefined> {
  const row = await queries.get<JobColumns>('SELECT * FROM job WHERE id = ?', [id])
  return row && toJob(row)
}

/** At most `limit` jobs whose id begins so. `prefix` is hex. */
export async function jobsByPrefix(queries: Queries, prefix: string, limit: number): Promise<readonly JobRow[]> {
  const rows = await queries.all<JobColumns>('SELECT * FROM job WHERE id >= ? AND id < ? ORDER BY id LIMIT ?', [
    prefix,
    `${prefix}g`,
    limit,
  ])
  return rows.map(toJob)
}

/** The job that makes, or made, this output commit. */
export async function jobOfCommit(queries: Queries, commit: string): Promise<JobRow | undefined> {
  const row = await queries.get<JobColumns>('SELECT * FROM job WHERE output_commit = ?', [commit])
  return row && toJob(row)
}

/** Newest first; all of a pipeline, or of all pipelines. */
export async function recentJobs(
  queries: Queries,
  query: { pipeline?: string; state?: JobState; before?: number; limit: number },
): Promise<readonly JobRow[]> {
  const where = ['seq < ?']
  const params: (string | number)[] = [query.before ?? Number.MAX_SAFE_INTEGER]
  if (query.pipeline !== undefined) {
    where.push('pipeline = ?')
    params.push(query.pipeline)
  }
  if (query.state !== undefined) {
    where.push('state = ?')
    params.push(query.state)
  }
  const sql = `SELECT * FROM job WHERE ${where.join(' AND ')} ORDER BY seq DESC LIMIT ?`
  return (await queries.all<JobColumns>(sql, [...params, query.limit])).map(toJob)
}

function toJob(row: JobColumns): JobRow {
  return {
    seq: row.seq,
    id: row.id,
    pipeline: row.pipeline,
    specVersion: row.spec_version,
    state: row.state,
    outputCommit: row.output_commit,
    repo: row.repo,
    inputs: JSON.parse(row.inputs) as readonly JobInput[],
    createdMs: row.created_ms,
    ...(row.started_ms !== null && { startedMs: row.started_ms }),
    ...(row.finished_ms !== null && { finishedMs: row.finished_ms }),
    ...(row.reason !== null && { reason: row.reason }),
    total: row.total,
    skipped: row.skipped,
    processed: row.processed,
    failed: row.failed,
    recovered: row.recovered,
    attempt: row.attempt,
    ...(row.settings !== null && { settings: JSON.parse(row.settings) as Settings }),
    ...(row.output_root !== null && { outputRoot: row.output_root }),
  }
}

/** Forgets a pipeline's jobs, datums and old specs. Returns the jobs' ids. */
export async function dropJobs(tx: Transaction, pipeline: string): Promise<readonly string[]> {
  const jobs = await tx.all<{ id: string }>('SELECT id FROM job WHERE pipeline = ?', [pipeline])
  await tx.run('DELETE FROM datum WHERE job IN (SELECT id FROM job WHERE pipeline = ?)', [pipeline])
  await tx.run('DELETE FROM job WHERE pipeline = ?', [pipeline])
  await tx.run('DELETE FROM pipeline_version WHERE pipeline = ?', [pipeline])
  return jobs.map(({ id }) => id)
}
