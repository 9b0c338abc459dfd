import { type Database, InvalidInput, MIN_COMMIT_PREFIX, type Queries } from '../kernel/index.ts'
import type { RepoName } from '../versioning/index.ts'
import { AmbiguousEgress, EgressNotFound } from './errors.ts'
import { type Speed, secondsLeft, speedOf } from './progress.ts'
import { type Counts, NOW_MS, type PushRow, settingsOf } from './pushes.ts'
import type { PushSettings } from './settings.ts'
import type { Trying } from './trying.ts'

/** The states of a push. One that was cancelled has failed, with the reason `cancelled`. */
export const EGRESS_STATES = ['waiting', 'running', 'success', 'failed'] as const
/** One of EGRESS_STATES. */
export type EgressState = (typeof EGRESS_STATES)[number]

/** How far a push is, or how it ended. */
export interface EgressStatus extends Counts {
  readonly id: string
  /** The job whose output it is; none: it was asked for by hand. */
  readonly job?: string
  readonly repo: RepoName
  readonly commit: string
  readonly url: string
  readonly secret?: string
  readonly settings: PushSettings
  readonly state: EgressState
  readonly attempts: number
  readonly reason?: string
  /** Not known of pushes of releases before there were times. */
  readonly createdMs?: number
  readonly startedMs?: number
  readonly endedMs?: number
  /** Who asked for it by hand. */
  readonly askedBy?: string
  /** Over the last seconds while it runs; over its last attempt when that has ended. */
  readonly bytesPerSecond?: number
  /** Only while it runs and moves. */
  readonly secondsLeft?: number
  /** Only while it runs and requests fail; none since has succeeded. */
  readonly trying?: Trying
  /** When the target was last compared with the ledger for this push, and how many files were not there as they should be. */
  readonly verified?: { readonly atMs: number; readonly drift: number }
}

/** One try of a push. */
export interface EgressAttempt {
  readonly attempt: number
  readonly startedMs: number
  readonly endedMs?: number
  /** `interrupted`: the server was stopped. `lost`: its process died. */
  readonly result: 'running' | 'success' | 'failed' | 'cancelled' | 'interrupted' | 'lost'
  readonly reason?: string
  readonly files: number
  readonly bytes: number
}

/** A push with the tries that were made; the newest MAX_SHOWN_ATTEMPTS of them, oldest first. */
export interface EgressInfo extends EgressStatus {
  readonly history: readonly EgressAttempt[]
}

/** Which pushes, newest first. */
export interface EgressQuery {
  /** Of these repos only. */
  readonly repos?: readonly string[]
  readonly state?: EgressState
  /** Id of the push that the page before ended with. */
  readonly before?: string
  readonly limit?: number
}

/** What is known here and now of a push that this process runs. */
export interface LivePush {
  readonly counts: Counts
  readonly speed: Speed | undefined
  readonly trying: Trying | undefined
}

const DEFAULT_PAGE = 100
const MAX_PAGE = 1_000
const MAX_SHOWN_ATTEMPTS = 100

type StatusRow = PushRow & { readonly now_ms: number; readonly attempt_started_ms: number | null }

const STATUS_SQL = `SELECT push.*, ${NOW_MS} AS now_ms, a.started_ms AS attempt_started_ms FROM egress_push AS push
  LEFT JOIN egress_attempt AS a ON a.push = push.id AND a.attempt = push.attempt`

/** Answers about pushes, out of the rows and what the worker has in hand at this moment. */
export class EgressQueries {
  readonly #db: Database
  readonly #live: (id: string) => LivePush | undefined

  constructor(db: Database, live: (id: string) => LivePush | undefined) {
    this.#db = db
    this.#live = live
  }

  async status(id: string): Promise<EgressStatus | undefined> {
    const row = await this.#db.get<StatusRow>(`${STATUS_SQL} WHERE push.id = ?`, [id])
    return row && this.#statusOf(row)
  }

  /** Throws EgressNotFound where `before` is none. */
  async list(query: EgressQuery): Promise<readonly EgressStatus[]> {
    const where = ['1 = 1']
    const params: (string | number)[] = []
    if (query.before !== undefined) {
      const before = await this.#db.get<{ seq: number }>('SELECT seq FROM egress_push WHERE id = ?', [query.before])
      if (!before) throw new EgressNotFound(query.before)
      where.push('push.seq < ?')
      params.push(before.seq)
    }
    if (query.repos !== undefined) {
      where.push('push.repo IN (SELECT value FROM json_each(?))')
      params.push(JSON.stringify(query.repos))
    }
    if (query.state !== undefined) {
      where.push('push.state = ?')
      params.push(query.state)
    }
    const rows = await this.#db.all<StatusRow>(
      `${STATUS_SQL} WHERE ${where.join(' AND ')} ORDER BY push.seq DESC LIMIT ?`,
      [...params, Math.min(query.limit ?? DEFAULT_PAGE, MAX_PAGE)],
    )
    return rows.map((row) => this.#statusOf(row))
  }

  /** By id, or by a prefix that only one has. Throws EgressNotFound, AmbiguousEgress, InvalidInput. */
  async inspect(idOrPrefix: string): Promise<EgressInfo> {
    const id = await findPush(this.#db, idOrPrefix)
    const status = await this.status(id)
    if (!status) throw new EgressNotFound(id)
    const rows = await this.#db.all<{
      attempt: number
      started_ms: number
      ended_ms: number | null
      result: EgressAttempt['result']
      reason: string | null
      files: number
      bytes: number
    }>(
      'SELECT attempt, started_ms, ended_ms, result, reason, files, bytes FROM egress_attempt WHERE push = ? ORDER BY attempt DESC LIMIT ?',
      [id, MAX_SHOWN_ATTEMPTS],
    )
    const history = rows.reverse().map((row): EgressAttempt => {
      const { attempt, result } = row
      const now = result === 'running' ? { files: status.filesDone, bytes: status.bytesDone - status.bytesBefore } : row
      return {
        attempt,
        startedMs: row.started_ms,
        ...(row.ended_ms === null ? {} : { endedMs: row.ended_ms }),
        result,
        ...(row.reason === null ? {} : { reason: row.reason }),
        files: now.files,
        bytes: now.bytes,
      }
    })
    return { ...status, history }
  }

  #statusOf(row: StatusRow): EgressStatus {
    const live = row.state === 'running' ? this.#live(row.id) : undefined
    const counts = live?.counts ?? countsOf(row)
    const speed = row.state === 'waiting' ? undefined : (live?.speed ?? averageOf(row, counts))
    const left = row.state === 'running' && speed ? secondsLeft(counts, speed) : undefined
    return {
      id: row.id,
      ...(row.job === null ? {} : { job: row.job }),
      repo: row.repo as RepoName,
      commit: row.commit_id,
      url: row.url,
      ...(row.secret === null ? {} : { secret: row.secret }),
      settings: settingsOf(row),
      state: row.state,
      ...counts,
      attempts: row.attempt,
      ...(row.reason === null ? {} : { reason: row.reason }),
      ...(row.created_ms === null ? {} : { createdMs: row.created_ms }),
      ...(row.started_ms === null ? {} : { startedMs: row.started_ms }),
      ...(row.ended_ms === null ? {} : { endedMs: row.ended_ms }),
      ...(row.asked_by_name === null ? {} : { askedBy: row.asked_by_name }),
      ...(speed ? { bytesPerSecond: speed.bytesPerSecond } : {}),
      ...(left === undefined ? {} : { secondsLeft: left }),
      ...(live?.trying ? { trying: live.trying } : {}),
      ...(row.verified_ms === null ? {} : { verified: { atMs: row.verified_ms, drift: row.drift ?? 0 } }),
    }
  }
}

/** The full id. Throws EgressNotFound, AmbiguousEgress, InvalidInput. */
async function findPush(queries: Queries, idOrPrefix: string): Promise<string> {
  const exact = await queries.get<{ id: string }>('SELECT id FROM egress_push WHERE id = ?', [idOrPrefix])
  if (exact) return exact.id
  const prefix = idOrPrefix.toLowerCase()
  if (!/^[0-9a-f]{1,32}$/.test(prefix)) throw new EgressNotFound(idOrPrefix.slice(0, 100))
  if (prefix.length < MIN_COMMIT_PREFIX) {
    throw new InvalidInput(`${prefix} is too short for an egress's id: give at least ${MIN_COMMIT_PREFIX} digits`)
  }
  const rows = await queries.all<{ id: string }>(
    'SELECT id FROM egress_push WHERE id >= ? AND id < ? ORDER BY id LIMIT 10',
    [prefix, `${prefix}g`],
  )
  const [first, ...others] = rows.map(({ id }) => id)
  if (first === undefined) throw new EgressNotFound(prefix)
  if (others.length > 0) throw new AmbiguousEgress(prefix, [first, ...others])
  return first
}

function countsOf(row: PushRow): Counts {
  return {
    filesTotal: row.files_total,
    filesDone: row.files_done,
    filesSkipped: row.files_skipped,
    filesDeleted: row.files_deleted,
    bytesTotal: row.bytes_total,
    bytesDone: row.bytes_done,
    bytesBefore: row.bytes_before,
  }
}

/** Of the last attempt. */
function averageOf(row: StatusRow, counts: Counts): Speed | undefined {
  if (row.attempt_started_ms === null) return undefined
  const ms = (row.ended_ms ?? row.now_ms) - row.attempt_started_ms
  return ms > 0 ? speedOf(counts.bytesDone - counts.bytesBefore, counts.filesDone, ms) : undefined
}
