import { setTimeout as delay } from 'node:timers/promises'
import { type Clock, type Database, errorMessage, type Log } from '../../kernel/index.ts'
import { type Collecting, Marks } from '../content/index.ts'
import type { Leases, RemovalGate } from '../history/index.ts'
import type { GcEvent, GcOptions, GcResult } from '../maintenance.ts'
import { type CommitId, GcRunning, type TreeHash } from '../model/index.ts'
import { deleteCommits, removeCollectedChanges } from './delete-commits.ts'
import { expiredCommits } from './expired.ts'
import { GcPacks } from './gc-packs.ts'
import type { ChunksResult, GcWorkerData, MarkResult, NodesResult, PackLive, WeakResults } from './gc-protocol.ts'
import { GcThread } from './gc-thread.ts'
import { endLetGo, watchLetGo } from './let-go.ts'
import type { ReferenceSource } from './references.ts'
import { recordGc } from './upkeep-record.ts'

/** What was found unused may be what a client has just asked for, or is about to send once more. */
const DEFAULT_GRACE_MS = 3_600_000
/** A request that began to read a tree before it went has long ended by then. */
const READERS_MS = 10_000
/** A stream of copies of objects that are going is no reason never to end. */
const MAX_ROUNDS = 1_000

/** What a collection works on. */
export interface GcPlace extends Pick<GcWorkerData, 'databaseFile' | 'nodesFile' | 'packsFolder'> {
  readonly db: Database
  readonly collecting: Collecting
  readonly leases: Leases
  readonly gate: RemovalGate
  readonly clock: Clock
  readonly log: Log
  readonly sources: readonly ReferenceSource[]
  /** How long a commit is kept that no branch and no tag leads to. */
  readonly unreachableMs: number
  /** Collects by itself this often; 0: never. */
  readonly everyMs: number
  readonly onFatal: (error: Error) => void
}

type Counts = { -readonly [Key in keyof GcResult]: GcResult[Key] }

/** Collections of one store, one at a time. */
export class Collector {
  readonly #place: GcPlace
  #timer: NodeJS.Timeout | undefined
  #running: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined

  constructor(place: GcPlace) {
    this.#place = place
    if (place.everyMs === 0) return
    this.#timer = setInterval(() => void this.#byItself(), place.everyMs)
    this.#timer.unref()
  }

  async #byItself(): Promise<void> {
    const { log } = this.#place
    if (this.#running) return
    try {
      for await (const _event of this.run()) {
        // What it came to is said where all collections end.
      }
    } catch (error) {
      if (error instanceof GcRunning) return
      log.error({ err: error }, `garbage could not be collected, it is tried again next time: ${errorMessage(error)}`)
    }
  }

  get isRunning(): boolean {
    return this.#running !== undefined
  }

  async *run(options: GcOptions = {}): AsyncGenerator<GcEvent> {
    if (this.#running) {
      throw new GcRunning(
        'a collection runs already: wait for its end, or stop it where it was started (or it is of a purge, which goes on after a restart: sluice purge lists them)',
      )
    }
    const ended = Promise.withResolvers<void>()
    const stop = new AbortController()
    this.#running = { stop, ended: ended.promise }
    const signal = options.signal ? AbortSignal.any([stop.signal, options.signal]) : stop.signal
    try {
      for await (const event of new Collection(this.#place, options, signal).run()) {
        if (event.kind === 'done' && !event.dryRun) {
          this.#place.log.info({ ...event }, 'garbage was collected')
          await recordGc(this.#place, event.reclaimedBytes)
        }
        yield event
      }
    } finally {
      this.#running = undefined
      ended.resolve()
    }
  }

  /** Ends what runs, between two steps. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#running?.stop.abort(new GcRunning('the server is being stopped'))
    await this.#running?.ended
  }
}

/** One collection: each of its steps leaves a store in which nothing that anything refers to is missing. */
class Collection {
  readonly #place: GcPlace
  readonly #graceMs: number
  readonly #dryRun: boolean
  readonly #thorough: boolean
  readonly #signal: AbortSignal
  readonly #startedMs = performance.now()
  readonly #counts: Counts = {
    commits: 0,
    nodes: 0,
    nodeBytes: 0,
    chunks: 0,
    chunkBytes: 0,
    removedChunks: 0,
    removedBytes: 0,
    packsRemoved: 0,
    packsRepacked: 0,
    reclaimedBytes: 0,
    results: 0,
    waitingBytes: 0,
    damagedPacks: [],
    durationMs: 0,
  }

  constructor(place: GcPlace, options: GcOptions, signal: AbortSignal) {
    this.#place = place
    this.#graceMs = options.graceMs ?? DEFAULT_GRACE_MS
    this.#dryRun = options.dryRun ?? false
    this.#thorough = options.thorough ?? false
    this.#signal = signal
  }

  async *run(): AsyncGenerator<GcEvent> {
    const { collecting, sources, databaseFile, nodesFile, packsFolder } = this.#place
    const without = yield* this.#commits()
    const data: GcWorkerData = { databaseFile, nodesFile, packsFolder, sources, without }
    const thread = new GcThread(data, this.#place.onFatal)
    const stop = () => thread.stop()
    this.#signal.addEventListener('abort', stop)
    let live: readonly PackLive[]
    try {
      yield* this.#mark(thread)
      yield* this.#nodes(thread)
      yield* this.#chunks(thread)
      live = await thread.ask<readonly PackLive[]>({ kind: 'packs' })
    } finally {
      this.#signal.removeEventListener('abort', stop)
      collecting.end()
      // A consumer that left in the middle of a walk.
      thread.stop()
      await thread.close()
      await endLetGo(this.#place.db)
    }
    if (!this.#dryRun) yield* this.#remove(live)
    this.#counts.waitingBytes = (await collecting.doomed()).bytes
    this.#counts.durationMs = Math.round(performance.now() - this.#startedMs)
    yield { kind: 'done', dryRun: this.#dryRun, ...this.#counts }
  }

  /** First of all, so that whoever begins to use a commit from here on finds out that it is gone. Returns those that would go. */
  async *#commits(): AsyncGenerator<GcEvent, readonly CommitId[]> {
    const { db, clock, sources, unreachableMs } = this.#place
    const without: CommitId[] = []
    for await (const slice of expiredCommits(db, { nowMs: clock.now(), graceMs: unreachableMs, sources })) {
      for (let at = 0; at < slice.length; at += COMMITS_AT_ONCE) {
        this.#signal.throwIfAborted()
        const ids = slice.slice(at, at + COMMITS_AT_ONCE).map(({ commit }) => commit)
        if (this.#dryRun) without.push(...ids)
        this.#counts.commits += this.#dryRun ? ids.length : await deleteCommits(db, ids, sources)
        yield { kind: 'progress', phase: 'commits', done: this.#counts.commits }
      }
    }
    if (!this.#dryRun) await removeCollectedChanges(db, this.#signal)
    yield { kind: 'progress', phase: 'commits', done: this.#counts.commits, total: this.#counts.commits }
    return without
  }

  /** Marks everything that may be referred to now or later; when it ends, what is not marked is refused to whoever would refer to it. */
  async *#mark(thread: GcThread): AsyncGenerator<GcEvent> {
    const { collecting, db, leases } = this.#place
    await watchLetGo(db)
    await thread.ask({ kind: 'barrier' })
    // Trees whose first nodes were written before the barrier: a row has referred to them by then, or nothing ever will.
    await leases.settled(this.#signal)
    const { chunks } = await thread.ask<{ chunks: number }>({ kind: 'count' })
    // Room for what comes while it runs; the seed only has to be another one each time.
    const room = (chunks * 1.2 + 10_000) * (this.#thorough ? THOROUGH_MARKS : 1)
    const marks = Marks.for(room, Math.floor(Math.random() * 2 ** 32))
    await collecting.begin(marks)
    const shared = { bits: marks.bits, seed: marks.seed }
    const ask = (more: { contents: boolean; results: boolean; manifests: readonly Uint8Array[] }) =>
      thread.ask<MarkResult>({ kind: 'mark', marks: shared, roots: this.#pinned(), ...more })
    yield* this.#whileMarking(thread, ask({ contents: true, results: false, manifests: [] }))
    await this.#dropResults(thread)
    for (let round = 0; ; round++) {
      this.#signal.throwIfAborted()
      if (round === MAX_ROUNDS) throw new GcRunning('files are copied faster than they can be marked: try again later')
      await leases.settled(this.#signal)
      // Once more, in a newer state of the rows: what was being made when the first was read.
      const manifests = collecting.takeCopied()
      yield* this.#whileMarking(thread, ask({ contents: false, results: true, manifests }))
      if (collecting.close()) return
    }
  }

  #pinned(): readonly TreeHash[] {
    return this.#place.leases.pinned()
  }

  async *#whileMarking(thread: GcThread, work: Promise<MarkResult>): AsyncGenerator<GcEvent> {
    let marked = 0
    let shown = -1
    thread.onMarked = (nodes) => {
      marked = nodes
    }
    let ended = false
    const done = work.finally(() => {
      ended = true
    })
    done.catch(() => {
      // Thrown below.
    })
    while (!ended) {
      await Promise.race([done.catch(() => undefined), delay(PROGRESS_MS)])
      if (marked !== shown && !ended) yield { kind: 'progress', phase: 'mark', done: marked }
      shown = marked
      this.#signal.throwIfAborted()
    }
    const { nodes } = await done
    yield { kind: 'progress', phase: 'mark', done: nodes }
  }

  /** Results of datums that could only bring back what is going. What is used by a job right now stays, and is marked then. */
  async #dropResults(thread: GcThread): Promise<void> {
    const { db, sources } = this.#place
    for (const { source, statement, keys } of await thread.ask<readonly WeakResults[]>({ kind: 'results' })) {
      const { drop } = sources[source]!.results![statement]!
      for (let at = 0; at < keys.length; at += ROWS_AT_ONCE) {
        this.#signal.throwIfAborted()
        const some = keys.slice(at, at + ROWS_AT_ONCE)
        this.#counts.results += this.#dryRun
          ? some.length
          : await db.write((tx) => tx.run(drop, [`[${some.join(',')}]`]))
      }
    }
  }

  async *#nodes(thread: GcThread): AsyncGenerator<GcEvent> {
    if (!this.#dryRun) await delay(Math.min(this.#graceMs, READERS_MS), undefined, { signal: this.#signal })
    let looked = 0
    for (;;) {
      this.#signal.throwIfAborted()
      const step = await this.#removing(() => thread.ask<NodesResult>({ kind: 'nodes', remove: !this.#dryRun }))
      looked += step.looked
      this.#counts.nodes += step.unmarked
      this.#counts.nodeBytes += step.bytes
      yield { kind: 'progress', phase: 'nodes', done: looked }
      if (step.ended) return
    }
  }

  async *#chunks(thread: GcThread): AsyncGenerator<GcEvent> {
    const { collecting, clock } = this.#place
    let looked = 0
    for (;;) {
      this.#signal.throwIfAborted()
      const step = await thread.ask<ChunksResult>({ kind: 'chunks' })
      looked += step.looked
      const unmarked = step.unmarked.map(({ sha256, length }) => ({ sha256: Buffer.from(sha256), length }))
      if (this.#dryRun) {
        this.#counts.chunks += unmarked.length
        for (const { length } of unmarked) this.#counts.chunkBytes += length
      } else {
        await collecting.bringBack(step.back.map((sha256) => Buffer.from(sha256)))
        const doomed = await collecting.doom(unmarked, clock.now())
        this.#counts.chunks += doomed.chunks
        this.#counts.chunkBytes += doomed.bytes
      }
      yield { kind: 'progress', phase: 'chunks', done: looked }
      if (step.ended) return
    }
  }

  async *#remove(live: readonly PackLive[]): AsyncGenerator<GcEvent> {
    const packs = new GcPacks({
      ...this.#place,
      signal: this.#signal,
      graceMs: this.#graceMs,
      thorough: this.#thorough,
    })
    yield* packs.run(live)
    const { removed, packsRemoved, packsRepacked, reclaimedBytes, damaged } = packs
    this.#counts.removedChunks = removed.chunks
    this.#counts.removedBytes = removed.bytes
    this.#counts.packsRemoved = packsRemoved
    this.#counts.packsRepacked = packsRepacked
    this.#counts.reclaimedBytes = reclaimedBytes
    this.#counts.damagedPacks = damaged
  }

  #removing<Result>(step: () => Promise<Result>): Promise<Result> {
    return this.#dryRun ? step() : this.#place.gate.removing(step, this.#signal)
  }
}

/** So much more room for marks: what passes for marked by mistake must not stay. Once in 30 million then. */
const THOROUGH_MARKS = 4
/** How often a walk says how far it is. */
const PROGRESS_MS = 500
const ROWS_AT_ONCE = 500
const COMMITS_AT_ONCE = 100
