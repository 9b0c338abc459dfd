import { open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf, MIB, StorageFull } from '../../kernel/index.ts'
import { MAX_RECORD_BYTES, RECORD_HEAD_BYTES, type RecordView, readRecord, recordLength } from './records.ts'
import { inGroups, writeRun } from './run-files.ts'
import { mergeRuns } from './run-merge.ts'

/** Sorted in memory before they are written: with the places, some 40 MiB. */
const RUN_BYTES = 32 * MIB
/** Runs that are merged at once; more are merged in groups first. Each has a buffer. */
const MAX_FAN_IN = 64

/** The bounds of a sort; tests hand in smaller ones. */
export interface SortLimits {
  readonly runBytes: number
  readonly fanIn: number
}

const defaults: SortLimits = { runBytes: RUN_BYTES, fanIn: MAX_FAN_IN }

/**
 * Sorts records by key in bounded memory: what does not fit is sorted piece by piece into files (runs) of `folder`, and these are
 * merged. Of records with one key the one with the greatest number comes out. The files are nobody else's; they are not synced, since an import
 * that was interrupted begins again.
 */
export class ExternalSort {
  readonly #folder: string
  readonly #limits: SortLimits
  readonly #bytes: Buffer
  #filled = 0
  #places: number[] = []
  #runs: string[] = []
  #made = 0

  constructor(folder: string, limits: SortLimits = defaults) {
    this.#folder = folder
    this.#limits = limits
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(limits.runBytes, MAX_RECORD_BYTES))
  }

  /** Whole records, one after the other. Throws StorageFull. */
  async add(records: Buffer): Promise<void> {
    for (let at = 0; at < records.length; ) {
      const length = recordLength(records, at, records.length)
      if (length === undefined || at + length > records.length) throw new RangeError('not whole records')
      if (this.#filled + length > this.#limits.runBytes && this.#places.length > 0) await this.#spill()
      records.copy(this.#bytes, this.#filled, at, at + length)
      this.#places.push(this.#filled)
      this.#filled += length
      at += length
    }
  }

  /** In the order of their keys, in groups; what is in a group is only lent until the next one is asked for. Throws StorageFull, Corrupt. */
  async *sorted(): AsyncGenerator<readonly RecordView[]> {
    if (this.#runs.length === 0) {
      yield* inGroups(this.#sortedPlaces())
      return
    }
    await this.#spill()
    while (this.#runs.length > this.#limits.fanIn) {
      const few = this.#runs.slice(0, this.#limits.fanIn)
      this.#runs.push(await this.#write(mergeRuns(few)))
      for (const path of this.#runs.splice(0, few.length)) await unlink(path)
    }
    yield* mergeRuns(this.#runs)
  }

  async close(): Promise<void> {
    for (const path of this.#runs.splice(0)) await unlink(path)
  }

  async #spill(): Promise<void> {
    if (this.#places.length === 0) return
    this.#runs.push(await this.#write(inGroups(this.#sortedPlaces())))
    this.#places = []
    this.#filled = 0
  }

  *#sortedPlaces(): Generator<RecordView> {
    const bytes = this.#bytes
    const keyEnd = (at: number) => at + RECORD_HEAD_BYTES + bytes.readUInt32LE(at)
    const order = (a: number, b: number) =>
      bytes.compare(bytes, b + RECORD_HEAD_BYTES, keyEnd(b), a + RECORD_HEAD_BYTES, keyEnd(a))
    this.#places.sort((a, b) => order(a, b) || bytes.readUInt32LE(a + 4) - bytes.readUInt32LE(b + 4))
    for (const [index, place] of this.#places.entries()) {
      const next = this.#places[index + 1]
      if (next === undefined || order(place, next) !== 0) yield readRecord(bytes, place)
    }
  }

  async #write(groups: Iterable<readonly RecordView[]> | AsyncIterable<readonly RecordView[]>): Promise<string> {
    const path = join(this.#folder, `run-${this.#made++}`)
    try {
      const file = await open(path, 'wx', 0o600)
      try {
        await writeRun(file, groups)
      } finally {
        await file.close()
      }
    } catch (error) {
      await unlink(path).catch((cause: unknown) => {
        if (errnoOf(cause) !== 'ENOENT') throw cause
      })
      const errno = errnoOf(error)
      throw errno === 'ENOSPC' || errno === 'EDQUOT' ? new StorageFull(error) : error
    }
    return path
  }
}
