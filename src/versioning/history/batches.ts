import type { BatchConfig, Clock, Log } from '../../kernel/index.ts'
import type { BranchName, RepoName } from '../model/index.ts'
import type { BranchAddress } from '../versioning.ts'
import type { GroupWritten } from './staging.ts'

/** DESIGN §3: an upload counts as a write in flight for this long after its last part. */
const UPLOAD_HOLD_MS = 60_000

interface Activity {
  readonly at: BranchAddress
  inFlight: number
  lastEndedMs: number
  /** When the open batch was first written to; undefined while there is none. */
  openedMs: number | undefined
  changes: number
  readonly uploads: Map<string, number>
  timer: NodeJS.Timeout | undefined
}

/**
 * Decides when the open batch of a branch is sealed by itself: idle, too old, or too large. It only knows what happened in this
 * process; whether there is a batch to seal, and whether it is pinned, the sealing transaction decides.
 */
export class Batches {
  readonly #rules: BatchConfig
  readonly #clock: Clock
  readonly #log: Log
  readonly #seal: (at: BranchAddress) => Promise<void>
  readonly #branches = new Map<string, Activity>()
  #closed = false

  constructor(options: {
    rules: BatchConfig
    clock: Clock
    log: Log
    seal: (at: BranchAddress) => Promise<void>
  }) {
    this.#rules = options.rules
    this.#clock = options.clock
    this.#log = options.log
    this.#seal = options.seal
  }

  /** A body is being received; call the returned function when it has ended, however it ended. */
  writing(at: BranchAddress): () => void {
    const activity = this.#of(at)
    activity.inFlight++
    let ended = false
    return () => {
      if (ended) return
      ended = true
      activity.inFlight--
      activity.lastEndedMs = this.#clock.now()
      this.#forgetIfQuiet(activity)
    }
  }

  written({ at, changes }: GroupWritten): void {
    const activity = this.#of(at)
    const nowMs = this.#clock.now()
    activity.lastEndedMs = nowMs
    activity.openedMs ??= nowMs
    activity.changes += changes
    if (activity.changes >= this.#rules.maxChanges) this.#sealNow(activity)
    else this.#arm(activity)
  }

  /** A batch that was open when the process started. */
  found(at: BranchAddress, openedMs: number, changes: number): void {
    const activity = this.#of(at)
    activity.lastEndedMs = this.#clock.now()
    activity.openedMs = openedMs
    activity.changes = changes
    this.#arm(activity)
  }

  uploadTouched(at: BranchAddress, uploadId: string): void {
    const activity = this.#of(at)
    activity.uploads.set(uploadId, this.#clock.now() + UPLOAD_HOLD_MS)
    activity.lastEndedMs = this.#clock.now()
  }

  uploadEnded(at: BranchAddress, uploadId: string): void {
    const activity = this.#of(at)
    activity.uploads.delete(uploadId)
    activity.lastEndedMs = this.#clock.now()
    this.#forgetIfQuiet(activity)
  }

  /** The batch was sealed by somebody. */
  sealed(at: BranchAddress): void {
    const activity = this.#branches.get(keyOf(at))
    if (!activity) return
    activity.openedMs = undefined
    activity.changes = 0
    clearTimeout(activity.timer)
    activity.timer = undefined
    this.#forgetIfQuiet(activity)
  }

  close(): void {
    this.#closed = true
    for (const activity of this.#branches.values()) clearTimeout(activity.timer)
    this.#branches.clear()
  }

  #of(at: BranchAddress): Activity {
    const key = keyOf(at)
    let activity = this.#branches.get(key)
    if (!activity) {
      activity = {
        at: { repo: at.repo as RepoName, branch: at.branch as BranchName },
        inFlight: 0,
        lastEndedMs: this.#clock.now(),
        openedMs: undefined,
        changes: 0,
        uploads: new Map(),
        timer: undefined,
      }
      this.#branches.set(key, activity)
    }
    return activity
  }

  #forgetIfQuiet(activity: Activity): void {
    const quiet = activity.inFlight === 0 && activity.uploads.size === 0 && activity.openedMs === undefined
    if (quiet && this.#branches.get(keyOf(activity.at)) === activity) this.#branches.delete(keyOf(activity.at))
  }

  #arm(activity: Activity): void {
    if (activity.timer || activity.openedMs === undefined || this.#closed) return
    const nowMs = this.#clock.now()
    const waitMs = Math.max(1, this.#dueMs(activity, nowMs) - nowMs)
    activity.timer = setTimeout(() => this.#look(activity), waitMs)
    activity.timer.unref()
  }

  #look(activity: Activity): void {
    activity.timer = undefined
    if (activity.openedMs === undefined || this.#closed) return
    if (this.#dueMs(activity, this.#clock.now()) <= this.#clock.now()) this.#sealNow(activity)
    else this.#arm(activity)
  }

  /** When the batch will have to be sealed if nothing happens until then. */
  #dueMs(activity: Activity, nowMs: number): number {
    const tooOldMs = (activity.openedMs ?? nowMs) + this.#rules.maxAgeMs
    for (const [id, untilMs] of activity.uploads) if (untilMs <= nowMs) activity.uploads.delete(id)
    let idleMs = activity.lastEndedMs + this.#rules.idleMs
    if (activity.inFlight > 0) idleMs = Math.max(idleMs, nowMs + this.#rules.idleMs)
    for (const untilMs of activity.uploads.values()) idleMs = Math.max(idleMs, untilMs)
    return Math.min(idleMs, tooOldMs)
  }

  #sealNow(activity: Activity): void {
    activity.openedMs = undefined
    activity.changes = 0
    clearTimeout(activity.timer)
    activity.timer = undefined
    this.#seal(activity.at).catch((error: unknown) => {
      this.#log.error({ err: error, repo: activity.at.repo, branch: activity.at.branch }, 'sealing a batch failed')
      // Asked again at the next idle time: a full disk may have room by then.
      activity.openedMs ??= this.#clock.now()
      activity.lastEndedMs = this.#clock.now()
      this.#arm(activity)
    })
  }
}

function keyOf(at: BranchAddress): string {
  return `${at.repo}@${at.branch}`
}
