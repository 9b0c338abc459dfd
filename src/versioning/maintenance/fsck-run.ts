import { setTimeout as sleep } from 'node:timers/promises'
import { Corrupt, type Database, errorMessage } from '../../kernel/index.ts'
import type { Fault, FsckCounts, FsckEvent, FsckPhase } from '../fsck.ts'
import type { TreeSettings } from '../tree/index.ts'
import type { ReferenceSource } from './references.ts'

/** Told one by one; the rest is counted: whoever has so many restores a backup. */
const MAX_TOLD = 1000
/** Work between two rests, in ms: no request waits longer than that for the core. */
const SLICE_MS = 20
/** How often progress is told, in ms. */
const TELL_MS = 250

/** Somebody ended the check. */
export class Stopped extends Error {}

/** What the worker of a check is started with. */
export interface FsckRequest {
  readonly databaseFile: string
  readonly nodesFile: string
  readonly packsFolder: string
  readonly salt: Uint8Array
  readonly deep: boolean
  readonly repair: boolean
  /** Nobody else has the store open: packs that no row names may be taken into the index. */
  readonly strays: boolean
  readonly share: number
  readonly sources: readonly ReferenceSource[]
  /** Pages of the metadata that are not what was written. */
  readonly damagedPages: readonly number[]
  readonly pages: number
}

type Writable<T> = { -readonly [Field in keyof T]: T[Field] }

/** One check under way: what it reads from, what it has counted and found, and how fast it may go. */
export class FsckRun {
  readonly db: Database
  readonly nodesDb: Database
  readonly databaseFile: string
  readonly nodesFile: string
  readonly packsFolder: string
  readonly settings: TreeSettings
  readonly deep: boolean
  readonly strays: boolean
  readonly sources: readonly ReferenceSource[]
  readonly counts: Writable<FsckCounts>
  faults = 0
  untold = 0
  mendings = 0
  /** Time spent on hashing packs, in ms, rests not counted. */
  hashingMs = 0
  stopped = false
  readonly #share: number
  readonly #emit: (event: FsckEvent) => void
  #phase: FsckPhase = 'database'
  #sliceStarted = performance.now()
  #toldMs = 0
  #told = 0

  constructor(
    request: FsckRequest,
    parts: { readonly db: Database; readonly nodesDb: Database; readonly emit: (event: FsckEvent) => void },
  ) {
    this.db = parts.db
    this.nodesDb = parts.nodesDb
    this.#emit = parts.emit
    this.databaseFile = request.databaseFile
    this.nodesFile = request.nodesFile
    this.packsFolder = request.packsFolder
    this.settings = { salt: Buffer.from(request.salt) }
    this.deep = request.deep
    this.strays = request.strays
    this.sources = request.sources
    this.#share = Math.min(1, Math.max(0.05, request.share))
    this.counts = {
      pages: request.pages,
      branches: 0,
      commits: 0,
      versions: 0,
      trees: 0,
      nodes: 0,
      files: 0,
      packs: 0,
      chunks: 0,
      hashedBytes: 0,
    }
  }

  begin(phase: FsckPhase): void {
    this.#phase = phase
    this.#emit({ kind: 'phase', phase })
  }

  found(fault: Fault): void {
    if (fault.severity === 'damage') this.faults++
    if (this.#told++ < MAX_TOLD) this.#emit({ kind: 'fault', fault })
    else this.untold++
  }

  /** Something is as it was meant to be again. */
  mended(message: string): void {
    this.mendings++
    this.#emit({ kind: 'mended', message })
  }

  /** A part of the check that the database itself makes impossible is a fault of the database. */
  async guarded(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      // The statements are right: one that makes no sense to SQLite was met by another schema than that of its release.
      if (!(error instanceof Corrupt) && (error as { code?: unknown }).code !== 'SQLITE_ERROR') throw error
      const message = `${what} can't be checked to their end: ${errorMessage(error)}`
      this.found({ kind: 'database', severity: 'damage', message })
    }
  }

  /** To be called in every loop: rests, tells how far it is, and throws Stopped. */
  async pace(): Promise<void> {
    if (this.stopped) throw new Stopped()
    const now = performance.now()
    const worked = now - this.#sliceStarted
    if (worked < SLICE_MS) return
    if (now - this.#toldMs >= TELL_MS) {
      this.#toldMs = now
      const { bytesPerSecond } = this
      this.#emit({
        kind: 'progress',
        phase: this.#phase,
        counts: { ...this.counts },
        faults: this.faults,
        ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
      })
    }
    await sleep(Math.min(1000, worked * (1 / this.#share - 1)))
    this.#sliceStarted = performance.now()
    if (this.stopped) throw new Stopped()
  }

  get bytesPerSecond(): number | undefined {
    return this.hashingMs === 0 ? undefined : Math.round((this.counts.hashedBytes * 1000) / this.hashingMs)
  }
}
