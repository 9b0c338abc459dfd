import type { ObjectStore, RetryPolicy } from '../cloud/index.ts'
import { type Clock, type Database, DomainError, errorMessage, type Log } from '../kernel/index.ts'
import type { Versioning } from '../versioning/index.ts'
import { orAbandoned } from './again.ts'
import type { TargetLanes } from './lanes.ts'
import { Ledger } from './ledger.ts'
import { PartMemory } from './limiter.ts'
import {
  ABANDON_AFTER_MS,
  MAX_PUSHES,
  PART_MEMORY_BYTES,
  PROGRESS_EVERY_MS,
  RENEW_EVERY_MS,
  TICK_MS,
} from './limits.ts'
import type { EgressMeter } from './metrics.ts'
import { placeOf } from './place.ts'
import { Rate } from './progress.ts'
import { Push } from './push.ts'
import { type ClaimedPush, claimPush, endPush, giveBackPush, releaseDeadLeases, StalePush } from './pushes.ts'
import type { LivePush } from './queries.ts'
import { releaseGone } from './release.ts'
import type { OpenTarget } from './targets.ts'
import { Trials } from './trying.ts'

export interface WorkerParts {
  readonly db: Database
  readonly versioning: Pick<Versioning, 'content' | 'trees' | 'listRepos'>
  readonly openTarget: OpenTarget
  /** What all pushes of this process share of the targets. */
  readonly lanes: TargetLanes
  readonly retry: RetryPolicy
  readonly random: () => number
  readonly clock: Clock
  readonly log: Log
  readonly meter: EgressMeter | undefined
  /** A push has ended. */
  readonly onEnd: () => void
}

/** Why a running push was told to stop. */
class Stopping extends Error {}
class Cancelled extends Error {}
/** It is for another place than it was thought to be, and waits for its turn there. */
class Elsewhere extends Error {
  readonly place: string
  constructor(place: string) {
    super('elsewhere')
    this.place = place
  }
}

interface Running {
  readonly push: ClaimedPush
  readonly stop: AbortController
  readonly rate: Rate
  readonly trials: Trials
  /** Set once it has begun. */
  work: Push | undefined
  done: Promise<void>
}

/** Claims pushes and runs them, a few at once; woken up by requests, and now and then by itself. */
export class Worker {
  readonly #parts: WorkerParts
  readonly #memory = new PartMemory(PART_MEMORY_BYTES)
  readonly #running = new Map<string, Running>()
  #tick: NodeJS.Timeout | undefined
  #claiming: Promise<void> | undefined
  #wokenMeanwhile = false
  #stopped = true

  constructor(parts: WorkerParts) {
    this.#parts = parts
  }

  async start(): Promise<void> {
    if (!this.#stopped) return
    if (this.#parts.db.kind === 'sqlite') await releaseDeadLeases(this.#parts.db)
    this.#stopped = false
    this.#tick = setInterval(() => this.wake(), TICK_MS)
    this.wake()
  }

  /** Interrupts what runs and gives it back; resolves when nothing is on its way any more. */
  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#tick)
    const stopAll = () => {
      for (const { stop } of this.#running.values()) stop.abort(new Stopping('stopping'))
    }
    // What runs need not wait for a claim under way; what that one brings is stopped after it.
    stopAll()
    await this.#claiming
    stopAll()
    await Promise.all([...this.#running.values()].map(({ done }) => done))
  }

  wake(): void {
    if (this.#stopped) return
    if (this.#claiming) {
      this.#wokenMeanwhile = true
      return
    }
    this.#claiming = this.#claimAll()
      .catch((error: unknown) => this.#parts.log.error({ err: error }, 'egress could not look for work'))
      .finally(() => {
        this.#claiming = undefined
        if (!this.#wokenMeanwhile) return
        this.#wokenMeanwhile = false
        this.wake()
      })
  }

  /** The push's row says already that it was cancelled. */
  interrupt(id: string): void {
    this.#running.get(id)?.stop.abort(new Cancelled('cancelled'))
  }

  /** What is known of a push that runs here. */
  live(id: string): LivePush | undefined {
    const running = this.#running.get(id)
    if (!running?.work) return undefined
    const { work, rate, trials } = running
    return { counts: { ...work.counts }, speed: rate.speed, trying: trials.trying }
  }

  async #claimAll(): Promise<void> {
    while (!this.#stopped && this.#running.size < MAX_PUSHES) {
      const busy = [...this.#running.values()].map(({ push }) => push)
      const push = await claimPush(this.#parts.db, busy, this.#parts.onEnd)
      if (!push) return
      const running: Running = {
        push,
        stop: new AbortController(),
        rate: new Rate(),
        trials: new Trials(() => this.#parts.clock.now()),
        work: undefined,
        done: Promise.resolve(),
      }
      this.#running.set(push.id, running)
      running.done = this.#run(running).finally(() => {
        this.#running.delete(push.id)
        this.#parts.onEnd()
        this.wake()
      })
    }
  }

  /** Never throws: whatever happens ends in the push's row, or in the log if even that is not possible. */
  async #run(running: Running): Promise<void> {
    const { db, log } = this.#parts
    const { push } = running
    const about = { egress: push.id, owner: push.pipeline, url: push.url, attempt: push.attempt }
    log.info(about, 'egress begins')
    try {
      await this.#push(running)
      log.info(about, 'egress ended')
      this.#parts.meter?.ended('success')
    } catch (error) {
      if (error instanceof StalePush || error instanceof Cancelled) return
      try {
        if (error instanceof Stopping) {
          await db.write((tx) => giveBackPush(tx, push))
          return
        }
        if (error instanceof Elsewhere) {
          await db.write((tx) => giveBackPush(tx, push, error.place))
          return
        }
        log.warn({ ...about, err: error }, 'egress failed')
        this.#parts.meter?.ended('failed', error)
        await db.write((tx) => endPush(tx, push, { state: 'failed', reason: reasonOf(error) }))
      } catch (second) {
        // Its lease will run out, and the push be taken up again.
        if (!(second instanceof StalePush)) log.error({ ...about, err: second }, 'egress could not note its end')
      }
    }
  }

  async #push(running: Running): Promise<void> {
    const { db, openTarget, versioning, lanes, log } = this.#parts
    const { push } = running
    await releaseGone(db, versioning, push.pipeline)
    const { store, target } = await openTarget(push.url, push.secret)
    const { lane, leave } = lanes.enter(target)
    try {
      const place = placeOf(target)
      if (place !== push.place) throw new Elsewhere(place)
      const ledger = await Ledger.open(db, target, push.pipeline)
      const throttle = lanes.throttle(push.settings.bandwidth)
      const { stop } = running
      const work = new Push(push, {
        ...this.#parts,
        store,
        target,
        ledger,
        memory: this.#memory,
        lane,
        throttle,
        signal: stop.signal,
        trials: running.trials,
      })
      running.work = work
      let goesOn = false
      try {
        await this.#watched(running, work, () => work.run())
      } catch (error) {
        // One that failed may be retried: what it had sent of a large file is not sent again then.
        goesOn = !(stop.signal.reason instanceof Cancelled)
        throw error
      } finally {
        if (!goesOn) await this.#clearUploads(store, ledger, log)
      }
    } finally {
      leave()
      await store.close()
    }
  }

  /** While it works, its lease is renewed, and its counters are kept as often as people look: not for each file. */
  async #watched({ rate, stop }: Running, work: Push, run: () => Promise<void>): Promise<void> {
    let keptMs = performance.now()
    let kept = ''
    let keeping = false
    const look = setInterval(() => {
      const nowMs = performance.now()
      rate.add(nowMs, work.moved)
      const counts = JSON.stringify(work.counts)
      if (keeping || (counts === kept && nowMs - keptMs < RENEW_EVERY_MS)) return
      keeping = true
      keptMs = nowMs
      kept = counts
      this.#parts.db
        .write(work.renew)
        .catch((error: unknown) => stop.abort(error))
        .finally(() => {
          keeping = false
        })
    }, PROGRESS_EVERY_MS)
    // Told to stop, it has no more to keep.
    stop.signal.addEventListener('abort', () => clearInterval(look), { once: true })
    rate.add(keptMs, work.moved)
    try {
      await run()
    } finally {
      clearInterval(look)
    }
  }

  /** Uploads that no later try goes on with: the target would keep, and charge for, their parts. */
  async #clearUploads(store: ObjectStore, ledger: Ledger, log: Log): Promise<void> {
    const deadline = AbortSignal.timeout(ABANDON_AFTER_MS)
    const inTime = <Result>(work: Promise<Result>) => orAbandoned(work, deadline, 0)
    try {
      for (const { path, uploadId } of await ledger.openUploads()) {
        const upload = await inTime(store.resumeUpload(path, uploadId)).catch((error: unknown) => {
          if ((error as { code?: unknown }).code === 'ObjectNotFound') return undefined
          throw error
        })
        if (upload) await inTime(upload.abort())
        await this.#parts.db.write((tx) => ledger.forgetUpload(tx, path))
      }
    } catch (error) {
      // They stay in the ledger: the next push to this target tries again.
      log.warn({ err: error }, 'egress could not remove uploads that were given up')
    }
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof DomainError) return error.message
  return `egress failed: ${errorMessage(error)}`
}
