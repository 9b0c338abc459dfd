import type { BatchConfig, Clock, Log } from '../../../kernel/index.ts'
import {
  type BatchRules,
  type BranchAddress,
  type BranchName,
  type Commit,
  isTransactionName,
  type RepoName,
} from '../../model/index.ts'
import { Holds } from './holds.ts'
import type { GroupWritten } from './staging.ts'

/** An upload counts as a write in flight for this long after its last part. */
const UPLOAD_HOLD_MS = 60_000

interface Activity {
  readonly at: BranchAddress
  inFlight: number
  lastEndedMs: number
  /** When the open batch was first written to; undefined while there is none. */
  openedMs: number | undefined
  changes: number
  readonly uploads: Map<string, number>
  readonly holds: Holds
  /** What the timer is set to. */
  dueMs: number
  timer: NodeJS.Timeout | undefined
}

/**
 * Decides when the open batch of a branch is sealed by itself: idle, too old, or too large, and not while a job holds it. It only knows what happened in this
 * process; whether there is a batch to seal, and whether it is pinned, the sealing transaction decides.
 */
export class Batches {
  readonly #rules: BatchConfig
  readonly #clock: Clock
  readonly #log: Log
  readonly #seal: (at: BranchAddress) => Promise<void>
  readonly #branches = new Map<string, Activity>()
  /** Of the branches that have rules of their own. */
  readonly #ownRules = new Map<string, BatchRules>()
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

  written({ at, changes, scratch, emptied, succeeded, transaction }: GroupWritten): void {
    if (transaction) return
    const activity = this.#of(at)
    const nowMs = this.#clock.now()
    activity.lastEndedMs = nowMs
    for (const area of scratch) activity.holds.touched(area, nowMs)
    for (const area of emptied) activity.holds.emptied(area, nowMs)
    for (const folder of succeeded) activity.holds.succeeded(folder, nowMs)
    if (changes === 0) {
      if (emptied.length > 0) this.#rearm(activity)
      return
    }
    activity.openedMs ??= nowMs
    activity.changes += changes
    const isFull = activity.changes >= this.rulesOf(at).maxChanges
    if (isFull && activity.holds.heldUntilMs(nowMs) === undefined) this.#sealNow(activity)
    else if (succeeded.length > 0 || emptied.length > 0 || activity.holds.hasFolders) this.#rearm(activity)
    else this.#arm(activity)
  }

  /** A job has deleted files of this branch that it may be about to write again. */
  rewriting(at: BranchAddress): void {
    const activity = this.#branches.get(keyOf(at))
    // Without a batch nothing was deleted, or what was is sealed already.
    if (activity?.openedMs === undefined) return
    activity.holds.rewriting(this.#clock.now())
  }

  /** A job has made a folder in this branch, and that was a change of the open batch. */
  preparing(at: BranchAddress): void {
    const activity = this.#branches.get(keyOf(at))
    if (activity?.openedMs === undefined) return
    activity.holds.preparing()
  }

  /** A scratch folder that was written to before the process started. */
  foundScratch(at: BranchAddress, area: string, atMs: number): void {
    this.#of(at).holds.touched(area, atMs)
  }

  /** The rules of a branch: its own, and the server's for the rest. */
  rulesOf(at: BranchAddress): BatchConfig {
    const own = this.#ownRules.get(keyOf(at))
    return own ? { ...this.#rules, ...own } : this.#rules
  }

  /** From now on, also for a batch that is open. */
  setRules(at: BranchAddress, own: BatchRules): void {
    if (Object.keys(own).length === 0) this.#ownRules.delete(keyOf(at))
    else this.#ownRules.set(keyOf(at), own)
    const activity = this.#branches.get(keyOf(at))
    if (activity) this.#rearm(activity)
  }

  /** The branch is gone: one that is made again under its name begins afresh. */
  forget(at: BranchAddress): void {
    this.#ownRules.delete(keyOf(at))
    const activity = this.#branches.get(keyOf(at))
    clearTimeout(activity?.timer)
    if (activity) activity.openedMs = undefined
    this.#branches.delete(keyOf(at))
  }

  /** By which scratch folder the batch of a branch is held, if it is. */
  heldBy(at: BranchAddress): string | undefined {
    return this.#branches.get(keyOf(at))?.holds.heldBy(this.#clock.now())
  }

  /** With by what it is held open, if it is. */
  describeHold(commit: Commit): Commit {
    if (commit.state !== 'open' || commit.derived) return commit
    if (isTransactionName(commit.branch)) {
      return { ...commit, heldBy: `the transaction ${commit.branch}.${commit.repo}` }
    }
    if (commit.pinned) return { ...commit, heldBy: 'commit start' }
    const area = this.heldBy(commit)
    return area === undefined ? commit : { ...commit, heldBy: `a job that writes to ${area}` }
  }

  /** Lets go of what is known of branches where nothing goes on any more. */
  forgetQuiet(): void {
    for (const activity of this.#branches.values()) this.#forgetIfQuiet(activity)
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
    activity.holds.sealed()
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
        holds: new Holds(),
        dueMs: Number.POSITIVE_INFINITY,
        timer: undefined,
      }
      this.#branches.set(key, activity)
    }
    return activity
  }

  #forgetIfQuiet(activity: Activity): void {
    const nowMs = this.#clock.now()
    endUploads(activity, nowMs)
    const quiet =
      activity.inFlight === 0 &&
      activity.uploads.size === 0 &&
      activity.openedMs === undefined &&
      activity.holds.isQuiet(nowMs)
    if (quiet && this.#branches.get(keyOf(activity.at)) === activity) this.#branches.delete(keyOf(activity.at))
  }

  #arm(activity: Activity): void {
    if (activity.timer || activity.openedMs === undefined || this.#closed) return
    const nowMs = this.#clock.now()
    activity.dueMs = this.#dueMs(activity, nowMs)
    const waitMs = Math.max(1, activity.dueMs - nowMs)
    activity.timer = setTimeout(() => this.#look(activity), waitMs)
    activity.timer.unref()
  }

  /** What was waited for may come sooner or later than it seemed. */
  #rearm(activity: Activity): void {
    // As long as it comes later the timer finds out by itself: setting one for each write costs more.
    if (activity.timer && activity.dueMs <= this.#dueMs(activity, this.#clock.now())) return
    clearTimeout(activity.timer)
    activity.timer = undefined
    this.#arm(activity)
  }

  #look(activity: Activity): void {
    activity.timer = undefined
    if (activity.openedMs === undefined || this.#closed) return
    if (this.#dueMs(activity, this.#clock.now()) <= this.#clock.now()) this.#sealNow(activity)
    else this.#arm(activity)
  }

  /** When the batch will have to be sealed if nothing happens until then. */
  #dueMs(activity: Activity, nowMs: number): number {
    const { holds } = activity
    const heldUntilMs = holds.heldUntilMs(nowMs)
    if (heldUntilMs !== undefined) return heldUntilMs
    const rules = this.rulesOf(activity.at)
    // A job that took longer than a batch may get old has its idle time all the same: `_SUCCESS` is not its last word.
    const tooOldMs = Math.max(activity.openedMs ?? nowMs, holds.endedMs) + rules.maxAgeMs
    endUploads(activity, nowMs)
    const ruleMs = Math.max(rules.idleMs, holds.idleMs(nowMs, activity.changes) ?? 0)
    let idleMs = activity.lastEndedMs + ruleMs
    if (activity.inFlight > 0) idleMs = Math.max(idleMs, nowMs + ruleMs)
    for (const untilMs of activity.uploads.values()) idleMs = Math.max(idleMs, untilMs)
    return Math.min(idleMs, tooOldMs)
  }

  #sealNow(activity: Activity): void {
    activity.openedMs = undefined
    activity.changes = 0
    activity.holds.sealed()
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

/** Uploads whose last part is long ago are nobody's any more. */
function endUploads({ uploads }: Activity, nowMs: number): void {
  for (const [id, untilMs] of uploads) if (untilMs <= nowMs) uploads.delete(id)
}

function keyOf(at: BranchAddress): string {
  return `${at.repo}@${at.branch}`
}
