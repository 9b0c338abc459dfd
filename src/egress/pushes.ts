import type { Database, Transaction } from '../kernel/index.ts'
import type { CommitRef, RepoName, TreeHash } from '../versioning/index.ts'
import { LEASE_MS, MAX_PUSH_ATTEMPTS } from './limits.ts'

/** How far the push of a job's output is. */
export interface EgressStatus {
  readonly url: string
  readonly state: 'waiting' | 'running' | 'success' | 'failed'
  /** All files of the tree; each ends as done or skipped. */
  readonly filesTotal: number
  readonly filesDone: number
  /** The target had them already. */
  readonly filesSkipped: number
  readonly filesDeleted: number
  /** Of the files that are not skipped. */
  readonly bytesTotal: number
  readonly bytesDone: number
  readonly attempts: number
  readonly reason?: string
}

/** The output of a job that is to be pushed. */
export interface EgressRequest {
  readonly job: string
  readonly pipeline: string
  readonly repo: RepoName
  readonly commit: string
  readonly root: TreeHash
  readonly url: string
  readonly secret?: string
  readonly provenance: readonly CommitRef[]
}

/** A push that this process may work on as long as its attempt is the newest. */
export interface ClaimedPush extends EgressRequest {
  readonly attempt: number
}

/** What the counters of a push say now. */
export interface Counts {
  readonly filesTotal: number
  readonly filesDone: number
  readonly filesSkipped: number
  readonly filesDeleted: number
  readonly bytesTotal: number
  readonly bytesDone: number
}

/** Another attempt has taken the push over, or it was cancelled: whatever this one still wants to write is refused. */
export class StalePush extends Error {}

interface PushRow {
  readonly job: string
  readonly pipeline: string
  readonly repo: string
  readonly commit_id: string
  readonly root: string
  readonly url: string
  readonly secret: string | null
  readonly provenance: string
  readonly state: EgressStatus['state']
  readonly attempt: number
  readonly files_total: number
  readonly files_done: number
  readonly files_skipped: number
  readonly files_deleted: number
  readonly bytes_total: number
  readonly bytes_done: number
  readonly reason: string | null
}

/** The database's clock: the only one that all processes share. */
const NOW_MS = `CAST(unixepoch('subsec') * 1000 AS INTEGER)`

export async function insertPush(tx: Transaction, request: EgressRequest): Promise<void> {
  const { job, pipeline, repo, commit, root, url, secret, provenance } = request
  await tx.run(
    `INSERT INTO egress_push (job, pipeline, repo, commit_id, root, url, secret, provenance, state)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'waiting') ON CONFLICT (job) DO NOTHING`,
    [job, pipeline, repo, commit, root, url, secret ?? null, JSON.stringify(provenance)],
  )
}

export async function pushStatus(db: Database, job: string): Promise<EgressStatus | undefined> {
  const row = await db.get<PushRow>('SELECT * FROM egress_push WHERE job = ?', [job])
  return (
    row && {
      url: row.url,
      state: row.state,
      filesTotal: row.files_total,
      filesDone: row.files_done,
      filesSkipped: row.files_skipped,
      filesDeleted: row.files_deleted,
      bytesTotal: row.bytes_total,
      bytesDone: row.bytes_done,
      attempts: row.attempt,
      ...(row.reason === null ? {} : { reason: row.reason }),
    }
  )
}

/**
 * Takes the oldest push of a pipeline that has none running: the pushes of one pipeline go one after the other. `busy`: pipelines
 * for which this process still tidies up after a push that has ended.
 */
export async function claimPush(db: Database, busy: readonly string[]): Promise<ClaimedPush | undefined> {
  // Looking is free; the writer lane is not.
  const any = await db.get(`SELECT 1 FROM egress_push WHERE state IN ('waiting', 'running') LIMIT 1`)
  if (!any) return undefined
  return db.write(async (tx) => {
    await tx.run(
      `UPDATE egress_push SET state = 'failed', reason = ?
       WHERE state IN ('waiting', 'running') AND lease_until_ms < ${NOW_MS} AND attempt >= ?`,
      [`given up: ${MAX_PUSH_ATTEMPTS} attempts were begun and none came to an end`, MAX_PUSH_ATTEMPTS],
    )
    const row = await tx.get<PushRow>(
      `SELECT * FROM egress_push AS push
       WHERE state IN ('waiting', 'running') AND lease_until_ms < ${NOW_MS}
         AND NOT EXISTS (SELECT 1 FROM egress_push AS older
           WHERE older.pipeline = push.pipeline AND older.seq < push.seq AND older.state IN ('waiting', 'running'))
         AND pipeline NOT IN (SELECT value FROM json_each(?))
       ORDER BY seq LIMIT 1`,
      [JSON.stringify(busy)],
    )
    if (!row) return undefined
    await tx.run(
      `UPDATE egress_push SET state = 'running', attempt = attempt + 1, lease_until_ms = ${NOW_MS} + ${LEASE_MS},
         files_total = 0, files_done = 0, files_skipped = 0, files_deleted = 0, bytes_total = 0, bytes_done = 0
       WHERE job = ?`,
      [row.job],
    )
    return claimed(row)
  })
}

function claimed(row: PushRow): ClaimedPush {
  return {
    job: row.job,
    pipeline: row.pipeline,
    repo: row.repo as RepoName,
    commit: row.commit_id,
    root: row.root as TreeHash,
    url: row.url,
    ...(row.secret === null ? {} : { secret: row.secret }),
    provenance: JSON.parse(row.provenance) as CommitRef[],
    attempt: row.attempt + 1,
  }
}

/**
 * Extends the lease and keeps the counters, in the transaction of whatever else the push writes: throws StalePush, and with it
 * nothing is written, if the push is not this attempt's any more.
 */
export async function renewPush(tx: Transaction, { job, attempt }: ClaimedPush, counts: Counts): Promise<void> {
  const renewed = await tx.run(
    `UPDATE egress_push SET lease_until_ms = ${NOW_MS} + ${LEASE_MS}, files_total = ?, files_done = ?, files_skipped = ?,
       files_deleted = ?, bytes_total = ?, bytes_done = ?
     WHERE job = ? AND attempt = ? AND state = 'running'`,
    [
      counts.filesTotal,
      counts.filesDone,
      counts.filesSkipped,
      counts.filesDeleted,
      counts.bytesTotal,
      counts.bytesDone,
      job,
      attempt,
    ],
  )
  if (renewed === 0) throw new StalePush()
}

/** Throws StalePush. */
export async function endPush(
  tx: Transaction,
  { job, attempt }: ClaimedPush,
  end: { state: 'success' } | { state: 'failed'; reason: string },
): Promise<void> {
  const ended = await tx.run(
    `UPDATE egress_push SET state = ?, reason = ?, lease_until_ms = 0 WHERE job = ? AND attempt = ? AND state = 'running'`,
    [end.state, end.state === 'failed' ? end.reason : null, job, attempt],
  )
  if (ended === 0) throw new StalePush()
}

/** Gives a push back for somebody else, or for the next start. Nothing happens if it is not this attempt's any more. */
export async function giveBackPush(tx: Transaction, { job, attempt }: ClaimedPush): Promise<void> {
  await tx.run(
    `UPDATE egress_push SET state = 'waiting', lease_until_ms = 0, attempt = attempt - 1
     WHERE job = ? AND attempt = ? AND state = 'running'`,
    [job, attempt],
  )
}

export async function cancelPush(tx: Transaction, job: string): Promise<void> {
  await tx.run(
    `UPDATE egress_push SET state = 'failed', reason = 'cancelled', lease_until_ms = 0
     WHERE job = ? AND state IN ('waiting', 'running')`,
    [job],
  )
}

/** An embedded database belongs to one process: at its start, every lease is a dead process's. */
export async function releaseDeadLeases(db: Database): Promise<void> {
  await db.write((tx) => tx.run(`UPDATE egress_push SET lease_until_ms = 0 WHERE state = 'running'`))
}
