import type { ObjectStore, RetryPolicy } from '../cloud/index.ts'
import { type Database, DomainError, errorMessage, type Log } from '../kernel/index.ts'
import type { Versioning } from '../versioning/index.ts'
import { Ledger } from './ledger.ts'
import { Limiter } from './limiter.ts'
import { MAX_PUSHES, PART_MEMORY_BYTES, RENEW_EVERY_MS, TICK_MS } from './limits.ts'
import type { EgressMeter } from './metrics.ts'
import { Push } from './push.ts'
import { type ClaimedPush, claimPush, endPush, giveBackPush, releaseDeadLeases, StalePush } from './pushes.ts'
import type { OpenTarget } from './targets.ts'

export interface WorkerParts {
  readonly db: Database
  readonly versioning: Pick<Versioning, 'content' | 'trees'>
  readonly openTarget: OpenTarget
  readonly retry: RetryPolicy
  readonly random: () => number
  readonly log: Log
  readonly meter: EgressMeter | undefined
  /** A push has ended. */
  readonly onEnd: () => void
}

/** Why a running push was told to stop. */
class Stopping extends Error {}
class Cancelled extends Error {}

/** Claims pushes and runs them, a few at once; woken up by requests, and now and then by itself. */
export class Worker {
  readonly #parts: WorkerParts
  readonly #memory = new Limiter(PART_MEMORY_BYTES)
  readonly #running = new Map<string, { pipeline: string; stop: AbortController; done: Promise<void> }>()
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
    await this.#claiming
    for (const { stop } of this.#running.values()) stop.abort(new Stopping('stopping'))
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
  interrupt(job: string): void {
    this.#running.get(job)?.stop.abort(new Cancelled('cancelled'))
  }

  async #claimAll(): Promise<void> {
    while (!this.#stopped && this.#running.size < MAX_PUSHES) {
      const busy = [...this.#running.values()].map(({ pipeline }) => pipeline)
      const push = await claimPush(this.#parts.db, busy)
      if (!push) return
      const stop = new AbortController()
      const done = this.#run(push, stop).finally(() => {
        this.#running.delete(push.job)
        this.#parts.onEnd()
        this.wake()
      })
      this.#running.set(push.job, { pipeline: push.pipeline, stop, done })
    }
  }

  /** Never throws: whatever happens ends in the push's row, or in the log if even that is not possible. */
  async #run(push: ClaimedPush, stop: AbortController): Promise<void> {
    const { db, log } = this.#parts
    const about = { job: push.job, pipeline: push.pipeline, url: push.url, attempt: push.attempt }
    log.info(about, 'egress begins')
    try {
      await this.#push(push, stop)
      log.info(about, 'egress ended')
      this.#parts.meter?.ended('success')
    } catch (error) {
      if (error instanceof StalePush || error instanceof Cancelled) return
      try {
        if (error instanceof Stopping) {
          await db.write((tx) => giveBackPush(tx, push))
          return
        }
        log.warn({ ...about, err: error }, 'egress failed')
        this.#parts.meter?.ended('failed')
        await db.write((tx) => endPush(tx, push, { state: 'failed', reason: reasonOf(error) }))
      } catch (second) {
        // Its lease will run out, and the push be taken up again.
        if (!(second instanceof StalePush)) log.error({ ...about, err: second }, 'egress could not note its end')
      }
    }
  }

  async #push(push: ClaimedPush, stop: AbortController): Promise<void> {
    const { db, openTarget, retry, random, versioning, log, meter } = this.#parts
    const { store, target } = await openTarget(push.url, push.secret)
    try {
      const ledger = await Ledger.open(db, target, push.pipeline)
      const signal = stop.signal
      const run = new Push(push, { db, versioning, store, ledger, memory: this.#memory, retry, random, signal, meter })
      const renewal = setInterval(() => {
        db.write(run.renew).catch((error: unknown) => stop.abort(error))
      }, RENEW_EVERY_MS)
      // Told to stop, it has no more to keep.
      signal.addEventListener('abort', () => clearInterval(renewal), { once: true })
      let goesOn = false
      try {
        await run.run()
      } catch (error) {
        goesOn = error instanceof Stopping || error instanceof StalePush
        throw error
      } finally {
        clearInterval(renewal)
        if (!goesOn) await this.#clearUploads(store, ledger, log)
      }
    } finally {
      await store.close()
    }
  }

  /** Uploads that no later try goes on with: the target would keep, and charge for, their parts. */
  async #clearUploads(store: ObjectStore, ledger: Ledger, log: Log): Promise<void> {
    try {
      for (const { path, uploadId } of await ledger.openUploads()) {
        const upload = await store.resumeUpload(path, uploadId).catch((error: unknown) => {
          if ((error as { code?: unknown }).code === 'ObjectNotFound') return undefined
          throw error
        })
        await upload?.abort()
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
