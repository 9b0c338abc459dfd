import type { ObjectStore, RetryPolicy, StoreError } from '../cloud/index.ts'
import { retrying } from '../cloud/index.ts'
import { type Database, DomainError, type Transaction } from '../kernel/index.ts'
import type { Difference, FileEntry, Versioning } from '../versioning/index.ts'
import { md5Of } from './fingerprint.ts'
import type { InStep, Ledger, LedgerEntry } from './ledger.ts'
import { Limiter } from './limiter.ts'
import { DELETE_BATCH, LEDGER_BATCH, PARALLEL_FILES } from './limits.ts'
import { PIPELINE_FACT } from './metadata.ts'
import type { EgressMeter } from './metrics.ts'
import { inBatches, isMarker, isPublishedLast, type Known, planChanges, planWhole, type Step } from './plan.ts'
import { type ClaimedPush, type Counts, endPush, renewPush } from './pushes.ts'
import { Recorder } from './recorder.ts'
import { type TransferParts, transfer } from './transfer.ts'

/** What a push works with. */
export interface PushParts {
  readonly db: Database
  readonly versioning: Pick<Versioning, 'content' | 'trees'>
  readonly store: ObjectStore
  readonly ledger: Ledger
  readonly memory: Limiter
  readonly retry: RetryPolicy
  readonly random: () => number
  readonly signal: AbortSignal
  readonly meter: EgressMeter | undefined
}

/** A push can't go on; the message is the reason that people see. */
class PushFailed extends DomainError {
  readonly code = 'PushFailed'
}

type Upload = Extract<Step, { kind: 'upload' }>

/**
 * One push: the target comes to hold the files of a tree. Data first, then what is gone from the tree, then `_SUCCESS`; a
 * failure stops before the next of these begins. Every step is planned from tree and ledger anew, so that a push that died goes
 * on by planning again.
 */
export class Push {
  readonly #push: ClaimedPush
  readonly #parts: PushParts
  readonly #failed = new AbortController()
  readonly #signal: AbortSignal
  readonly #counts: { -readonly [Name in keyof Counts]: Counts[Name] } = {
    filesTotal: 0,
    filesDone: 0,
    filesSkipped: 0,
    filesDeleted: 0,
    bytesTotal: 0,
    bytesDone: 0,
  }
  readonly renew = (tx: Transaction): Promise<void> => renewPush(tx, this.#push, this.#counts)

  constructor(push: ClaimedPush, parts: PushParts) {
    this.#push = push
    this.#parts = parts
    this.#signal = AbortSignal.any([parts.signal, this.#failed.signal])
  }

  /** Ends the push as a success. Throws PushFailed, StalePush, the signal's reason; StoreError and others where no file is to blame. */
  async run(): Promise<void> {
    const { db, ledger } = this.#parts
    const before = await db.write(async (tx) => {
      await this.renew(tx)
      return ledger.begin(tx, this.#push.root)
    })
    const work = await this.#measure(before)
    if (work.data > 0) await this.#upload(before, (entry) => !isPublishedLast(entry))
    if (work.deletes > 0) await this.#delete(before)
    if (work.last > 0) await this.#upload(before, isPublishedLast)
    await db.write(async (tx) => {
      await this.renew(tx)
      await ledger.end(tx, this.#counts.filesTotal)
      await endPush(tx, this.#push, { state: 'success' })
    })
  }

  #plan(before: InStep | undefined, onDifference?: (difference: Difference) => void): AsyncGenerator<Step> {
    const { versioning, ledger } = this.#parts
    const { root } = this.#push
    if (before === undefined) return planWhole(versioning.trees.walk(root), ledger.all())
    const differences = tapped(versioning.trees.diff(before.root, root), onDifference)
    return planChanges(differences, (paths) => ledger.find(paths), LEDGER_BATCH)
  }

  /** Counts what is to be done, so that progress has an end in sight. */
  async #measure(before: InStep | undefined): Promise<{ data: number; last: number; deletes: number }> {
    const work = { data: 0, last: 0, deletes: 0 }
    let skipped = 0
    let filesNow = before?.files ?? 0
    const steps = this.#plan(before, (difference) => {
      if (difference.kind !== 'deleted' && !isMarker(difference.after)) filesNow++
      if (difference.kind !== 'added' && !isMarker(difference.before)) filesNow--
    })
    for await (const step of steps) {
      this.#signal.throwIfAborted()
      if (step.kind === 'skip') skipped++
      else if (step.kind === 'delete') work.deletes++
      else {
        work[isPublishedLast(step.entry) ? 'last' : 'data']++
        this.#counts.bytesTotal += step.entry.size
      }
    }
    const uploads = work.data + work.last
    this.#counts.filesTotal = before ? filesNow : uploads + skipped
    this.#counts.filesSkipped = this.#counts.filesTotal - uploads
    await this.#parts.db.write(this.renew)
    return work
  }

  async #upload(before: InStep | undefined, wanted: (entry: FileEntry) => boolean): Promise<void> {
    const { db, ledger } = this.#parts
    const recorder = new Recorder(db, ledger, this.renew)
    const slots = new Limiter(PARALLEL_FILES)
    const running = new Set<Promise<void>>()
    const begin = async (step: Upload) => {
      await slots.enter(1)
      if (this.#signal.aborted) {
        slots.leave(1)
        return
      }
      const done: Promise<void> = this.#send(step, recorder)
        .catch((error: unknown) => this.#failed.abort(error))
        .finally(() => {
          slots.leave(1)
          running.delete(done)
        })
      running.add(done)
    }
    try {
      for await (const steps of inBatches(uploadsOf(this.#plan(before), wanted), LEDGER_BATCH)) {
        this.#signal.throwIfAborted()
        await this.#intend(steps)
        for (const step of steps) await begin(step)
      }
    } catch (error) {
      this.#failed.abort(error)
    }
    await Promise.all(running)
    // What has arrived is noted even when the push fails, so that the next one need not send it again.
    await recorder.flush()
    this.#signal.throwIfAborted()
  }

  async #intend(steps: readonly Upload[]): Promise<void> {
    const { db, ledger } = this.#parts
    const others = await db.write(async (tx) => {
      await this.renew(tx)
      return ledger.intend(tx, steps.map(expected))
    })
    const first = others[0]
    if (first) {
      throw new PushFailed(
        `${first.path} at ${this.#push.url} was pushed by pipeline ${first.pipeline}: give each pipeline a target folder of its own`,
        { paths: others.slice(0, 10).map(({ path }) => path), pipeline: first.pipeline },
      )
    }
  }

  async #send({ entry, fingerprint }: Upload, recorder: Recorder): Promise<void> {
    const parts: TransferParts = {
      ...this.#parts,
      push: this.#push,
      content: this.#parts.versioning.content,
      signal: this.#signal,
      renew: this.renew,
      onBytes: (bytes) => {
        this.#counts.bytesDone += bytes
        this.#parts.meter?.arrived(bytes)
      },
    }
    try {
      const etag = await transfer(entry, fingerprint, parts)
      this.#counts.filesDone++
      recorder.add({ path: entry.path, fingerprint, size: entry.size, etag })
    } catch (error) {
      this.#signal.throwIfAborted()
      throw this.#told(`${entry.path} could not be pushed to ${this.#push.url}`, error)
    }
  }

  async #delete(before: InStep | undefined): Promise<void> {
    for await (const batch of inBatches(deletesOf(this.#plan(before)), DELETE_BATCH)) {
      this.#signal.throwIfAborted()
      const ours: string[] = []
      for (const known of batch) if (await this.#isOurs(known)) ours.push(known.path)
      await this.#deleteAtTarget(ours)
      this.#counts.filesDeleted += ours.length
      await this.#parts.db.write(async (tx) => {
        await this.renew(tx)
        await this.#parts.ledger.forget(
          tx,
          batch.map(({ path }) => path),
        )
      })
    }
  }

  /** A key that was on its way when a push died may hold somebody else's object still: only one that looks like ours is deleted. */
  async #isOurs(known: Known): Promise<boolean> {
    if (known.owned) return true
    const info = await this.#again(() => this.#parts.store.head(known.path))
    if (!info) return false
    return (
      info.metadata[PIPELINE_FACT] === this.#push.pipeline || (known.etag !== undefined && info.etag === known.etag)
    )
  }

  async #deleteAtTarget(paths: readonly string[]): Promise<void> {
    let left = paths
    if (left.length === 0) return
    try {
      await this.#again(async () => {
        const failures = await this.#parts.store.delete(left)
        left = failures.map(({ key }) => key)
        // One that can't be helped decides; else one that can be tried again.
        const worst = failures.find(({ error }) => !error.retryable) ?? failures[0]
        if (worst) throw worst.error
      })
    } catch (error) {
      this.#signal.throwIfAborted()
      throw this.#told(`${left[0]} could not be deleted from ${this.#push.url}`, error)
    }
  }

  #again<Result>(work: () => Promise<Result>): Promise<Result> {
    return retrying(work, this.#parts.retry, { random: this.#parts.random, signal: this.#signal })
  }

  #told(what: string, error: unknown): unknown {
    if (!(error instanceof DomainError) || error instanceof PushFailed) return error
    const tries = (error as Partial<StoreError>).retryable ? ` (tried ${this.#parts.retry.attempts} times)` : ''
    return new PushFailed(`${what}: ${error.message}${tries}`, {}, error)
  }
}

async function* tapped<Item>(
  items: AsyncIterable<Item>,
  tap: ((item: Item) => void) | undefined,
): AsyncGenerator<Item> {
  for await (const item of items) {
    tap?.(item)
    yield item
  }
}

async function* uploadsOf(steps: AsyncIterable<Step>, wanted: (entry: FileEntry) => boolean): AsyncGenerator<Upload> {
  for await (const step of steps) if (step.kind === 'upload' && wanted(step.entry)) yield step
}

async function* deletesOf(steps: AsyncIterable<Step>): AsyncGenerator<Known> {
  for await (const step of steps) if (step.kind === 'delete') yield step.known
}

function expected({ entry, fingerprint }: Upload): LedgerEntry {
  return { path: entry.path, fingerprint, size: entry.size, etag: md5Of(entry) ?? null }
}
