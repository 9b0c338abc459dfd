import type { Database, Transaction } from '../kernel/index.ts'
import type { CommitRef, RepoName, TreeHash } from '../versioning/index.ts'
import { LEASE_MS, MAX_PUSH_ATTEMPTS } from './limits.ts'
import { PLAIN_SETTINGS, type PushSettings } from './settings.ts'

/** The output of a job, or any commit by hand, that is to be pushed. */
export interface EgressRequest {
  /** Of the push: the job's own id, or 32 random hex digits. */
  readonly id: string
  readonly job?: string
  /** Whose keys they are at the target: the pipeline's, which is also its output repo's name; by hand the repo's. */
  readonly pipeline: string
  readonly repo: RepoName
  readonly commit: string
  readonly root: TreeHash
  readonly url: string
  readonly secret?: string
  readonly settings: PushSettings
  readonly provenance: readonly CommitRef[]
}

/** A push that this process may work on as long as its attempt is the newest. */
export interface ClaimedPush extends EgressRequest {
  /** Its place in the order of asking. */
  readonly seq: number
  readonly attempt: number
  /** What its turn was given for; undefined: not known, so that nothing else of this owner runs. */
  readonly place: string | undefined
}

/** What the counters of a push say now. */
export interface Counts {
  /** All files of the tree; each ends as done or skipped. */
  readonly filesTotal: number
  readonly filesDone: number
  /** The target had them already. */
  readonly filesSkipped: number
  readonly filesDeleted: number
  /** Of the files that are not skipped. */
  readonly bytesTotal: number
  readonly bytesDone: number
  /** Of the bytes done, those that an earlier try had sent: they say nothing about how fast this one goes. */
  readonly bytesBefore: number
}

export const NO_COUNTS: Counts = {
  filesTotal: 0,
  filesDone: 0,
  filesSkipped: 0,
  filesDeleted: 0,
  bytesTotal: 0,
  bytesDone: 0,
  bytesBefore: 0,
}

/** How an attempt at a push ended. */
export type PushEnd = { readonly state: 'success' } | { readonly state: 'failed'; readonly reason: string }

/** Another attempt has taken the push over, or it was cancelled: whatever this one still wants to write is refused. */
export class StalePush extends Error {}

const CANCELLED = 'cancelled'

/** A push as it is kept. */
export interface PushRow {
  readonly seq: number
  readonly id: string
  readonly job: string | null
  readonly pipeline: string
  readonly repo: string
  readonly commit_id: string
  readonly root: string
  readonly url: string
  readonly secret: string | null
  readonly settings: string | null
  readonly place: string | null
  readonly provenance: string
  readonly state: 'waiting' | 'running' | 'success' | 'failed'
  readonly attempt: number
  readonly files_total: number
  readonly files_done: number
  readonly files_skipped: number
  readonly files_deleted: number
  readonly bytes_total: number
  readonly bytes_done: number
  readonly bytes_before: number
  readonly reason: string | null
  readonly created_ms: number | null
  readonly started_ms: number | null
  readonly ended_ms: number | null
  readonly asked_by: string | null
  readonly asked_by_name: string | null
  readonly verified_ms: number | null
  readonly drift: number | null
}

/** The database's clock: the only one that all processes share. */
export const NOW_MS = `CAST(unixepoch('subsec') * 1000 AS INTEGER)`

/** Who asked for a push by hand. */
export interface AskedBy {
  readonly canonicalId: string
  readonly name: string
}

/** Nothing happens if there is a push of this id. `place`: what pushes of one owner must not be at together. */
export async function insertPush(
  tx: Transaction,
  request: EgressRequest,
  more: { place: string | undefined; askedBy?: AskedBy },
): Promise<void> {
  const { id, job, pipeline, repo, commit, root, url, secret, settings, provenance } = request
  await tx.run(
    `INSERT INTO egress_push (id, job, pipeline, repo, commit_id, root, url, secret, settings, place, provenance, state, created_ms,
       asked_by, asked_by_name)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ${NOW_MS}, ?, ?) ON CONFLICT (id) DO NOTHING`,
    [
      id,
      job ?? null,
      pipeline,
      repo,
      commit,
      root,
      url,
      secret ?? null,
      JSON.stringify(settings),
      more.place ?? null,
      JSON.stringify(provenance),
      more.askedBy?.canonicalId ?? null,
      more.askedBy?.name ?? null,
    ],
  )
}

/**
 * Takes the oldest push whose turn it is: those of one owner to one place go one after the other, in the order of asking; to
 * different places they run side by side. `busy`: owners and places that this process still tidies up after a push that has ended.
 */
export async function claimPush(
  db: Database,
  busy: readonly { readonly pipeline: string; readonly place: string | undefined }[],
  onGivenUp: () => void,
): Promise<ClaimedPush | undefined> {
  // Looking is free; the writer lane is not.
  const any = await db.get(
    `SELECT 1 FROM egress_push WHERE state IN ('waiting', 'running') AND lease_until_ms < ${NOW_MS} LIMIT 1`,
  )
  if (!any) return undefined
  return db.write(async (tx) => {
    if (await giveUp(tx)) tx.afterCommit(onGivenUp)
    const row = await tx.get<PushRow>(
      `SELECT * FROM egress_push AS push
       WHERE state IN ('waiting', 'running') AND lease_until_ms < ${NOW_MS}
         AND NOT EXISTS (SELECT 1 FROM egress_push AS older
           WHERE older.pipeline = push.pipeline AND older.seq <> push.seq AND older.state IN ('waiting', 'running')
             AND (older.seq < push.seq OR older.lease_until_ms >= ${NOW_MS})
             AND (older.place IS NULL OR push.place IS NULL OR older.place = push.place))
         AND NOT EXISTS (SELECT 1 FROM json_each(?) AS busy
           WHERE busy.value ->> 0 = push.pipeline
             AND (busy.value ->> 1 IS NULL OR push.place IS NULL OR busy.value ->> 1 = push.place))
       ORDER BY seq LIMIT 1`,
      [JSON.stringify(busy.map(({ pipeline, place }) => [pipeline, place ?? null]))],
    )
    if (!row) return undefined
    await endAttempt(tx, row.id, { result: 'lost' })
    await tx.run(
      `UPDATE egress_push SET state = 'running', attempt = attempt + 1, lease_until_ms = ${NOW_MS} + ${LEASE_MS},
         started_ms = coalesce(started_ms, ${NOW_MS}),
         files_total = 0, files_done = 0, files_skipped = 0, files_deleted = 0, bytes_total = 0, bytes_done = 0,
         bytes_before = 0
       WHERE id = ?`,
      [row.id],
    )
    await tx.run(`INSERT INTO egress_attempt (push, attempt, started_ms, result) VALUES (?, ?, ${NOW_MS}, 'running')`, [
      row.id,
      row.attempt + 1,
    ])
    return claimed(row)
  })
}

/** A push that keeps killing its process, or that no process brings to its end, fails at last. */
async function giveUp(tx: Transaction): Promise<boolean> {
  const given = await tx.all<{ id: string }>(
    `SELECT id FROM egress_push WHERE state IN ('waiting', 'running') AND lease_until_ms < ${NOW_MS}
       AND attempt - attempts_forgiven >= ?`,
    [MAX_PUSH_ATTEMPTS],
  )
  for (const { id } of given) {
    await endAttempt(tx, id, { result: 'lost' })
    await tx.run(`UPDATE egress_push SET state = 'failed', reason = ?, ended_ms = ${NOW_MS} WHERE id = ?`, [
      `given up: ${MAX_PUSH_ATTEMPTS} attempts were begun and none came to an end; see why the server stops, then sluice egress retry ${id}`,
      id,
    ])
  }
  return given.length > 0
}

function claimed(row: PushRow): ClaimedPush {
  return {
    id: row.id,
    ...(row.job === null ? {} : { job: row.job }),
    pipeline: row.pipeline,
    repo: row.repo as RepoName,
    commit: row.commit_id,
    root: row.root as TreeHash,
    url: row.url,
    ...(row.secret === null ? {} : { secret: row.secret }),
    settings: settingsOf(row),
    provenance: JSON.parse(row.provenance) as CommitRef[],
    seq: row.seq,
    attempt: row.attempt + 1,
    place: row.place ?? undefined,
  }
}

/** Rows of before there were any have none. */
export function settingsOf(row: Pick<PushRow, 'settings'>): PushSettings {
  return row.settings === null ? PLAIN_SETTINGS : (JSON.parse(row.settings) as PushSettings)
}

/**
 * Extends the lease and keeps the counters, in the transaction of whatever else the push writes: throws StalePush, and with it
 * nothing is written, if the push is not this attempt's any more.
 */
export async function renewPush(
  tx: Transaction,
  { id, attempt }: Pick<ClaimedPush, 'id' | 'attempt'>,
  counts: Counts,
): Promise<void> {
  const renewed = await tx.run(
    `UPDATE egress_push SET lease_until_ms = ${NOW_MS} + ${LEASE_MS}, files_total = ?, files_done = ?, files_skipped = ?,
       files_deleted = ?, bytes_total = ?, bytes_done = ?, bytes_before = ?
     WHERE id = ? AND attempt = ? AND state = 'running'`,
    [
      counts.filesTotal,
      counts.filesDone,
      counts.filesSkipped,
      counts.filesDeleted,
      counts.bytesTotal,
      counts.bytesDone,
      counts.bytesBefore,
      id,
      attempt,
    ],
  )
  if (renewed === 0) throw new StalePush()
}

/** Throws StalePush. */
export async function endPush(
  tx: Transaction,
  { id, attempt }: Pick<ClaimedPush, 'id' | 'attempt'>,
  end: PushEnd,
): Promise<void> {
  const reason = end.state === 'failed' ? end.reason : null
  const ended = await tx.run(
    `UPDATE egress_push SET state = ?, reason = ?, lease_until_ms = 0, ended_ms = ${NOW_MS}
     WHERE id = ? AND attempt = ? AND state = 'running'`,
    [end.state, reason, id, attempt],
  )
  if (ended === 0) throw new StalePush()
  await endAttempt(tx, id, { result: end.state, ...(reason === null ? {} : { reason }) })
}

/**
 * Gives a push back for somebody else, or for the next start; the attempt does not count. Nothing happens if it is not this attempt's
 * any more. `place`: what it turned out to be for, so that it waits for its turn there.
 */
export async function giveBackPush(
  tx: Transaction,
  { id, attempt }: Pick<ClaimedPush, 'id' | 'attempt'>,
  place?: string,
): Promise<void> {
  const given = await tx.run(
    `UPDATE egress_push SET state = 'waiting', lease_until_ms = 0, attempts_forgiven = attempts_forgiven + 1,
       place = coalesce(?, place)
     WHERE id = ? AND attempt = ? AND state = 'running'`,
    [place ?? null, id, attempt],
  )
  if (given > 0) await endAttempt(tx, id, { result: 'interrupted' })
}

/** False if it had ended. */
export async function cancelPush(tx: Transaction, id: string): Promise<boolean> {
  const cancelled = await tx.run(
    `UPDATE egress_push SET state = 'failed', reason = ?, lease_until_ms = 0, ended_ms = ${NOW_MS}
     WHERE id = ? AND state IN ('waiting', 'running')`,
    [CANCELLED, id],
  )
  if (cancelled > 0) await endAttempt(tx, id, { result: 'cancelled', reason: CANCELLED })
  return cancelled > 0
}

/** A failed push waits again, behind what was asked for meanwhile; the attempts of before do not count. False if it has not failed. */
export async function requeuePush(tx: Transaction, id: string, place: string | undefined): Promise<boolean> {
  const again = await tx.run(
    `UPDATE egress_push SET state = 'waiting', reason = NULL, ended_ms = NULL, lease_until_ms = 0, attempts_forgiven = attempt,
       seq = (SELECT max(seq) + 1 FROM egress_push), place = ?
     WHERE id = ? AND state = 'failed'`,
    [place ?? null, id],
  )
  return again > 0
}

/** An embedded database belongs to one process: at its start, every lease is a dead process's. */
export async function releaseDeadLeases(db: Database): Promise<void> {
  await db.write((tx) => tx.run(`UPDATE egress_push SET lease_until_ms = 0 WHERE state = 'running'`))
}

/** The attempt that runs, if any, with the counters that the push has now. */
async function endAttempt(tx: Transaction, push: string, end: { result: string; reason?: string }): Promise<void> {
  await tx.run(
    `UPDATE egress_attempt SET result = ?, ended_ms = ${NOW_MS}, reason = ?, files = push.files_done,
       bytes = push.bytes_done - push.bytes_before
     FROM egress_push AS push
     WHERE push.id = ? AND egress_attempt.push = push.id AND egress_attempt.attempt = push.attempt AND result = 'running'`,
    [end.result, end.reason ?? null, push],
  )
}
