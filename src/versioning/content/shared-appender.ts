import { setImmediate as endOfTurn } from 'node:timers/promises'
import { StorageFull } from '../../kernel/index.ts'
import type { ChunkPlace } from '../content-store.ts'
import type { Health } from './health.ts'
import type { PackFile } from './pack-file.ts'
import type { Packs } from './packs.ts'
import { lengthOf, type PackRecord } from './record.ts'

interface Waiting {
  readonly record: PackRecord
  readonly resolve: (place: ChunkPlace) => void
  readonly reject: (error: unknown) => void
}

/**
 * Group commit into the shared pack: whatever queued up while the last flush ran is written and flushed together, at once, without
 * timers. The queue is bounded by those who wait in it: requests, and uploads with their few pieces.
 */
export class SharedAppender {
  readonly #packs: Packs
  readonly #health: Health
  readonly #packBytes: number
  readonly #groupBytes: number
  #pack: PackFile | undefined
  #queue: Waiting[] = []
  #draining: Promise<void> | undefined
  readonly #sealing = new Set<Promise<unknown>>()

  constructor(packs: Packs, health: Health, limits: { packBytes: number; groupBytes: number }, pack?: PackFile) {
    this.#packs = packs
    this.#health = health
    this.#packBytes = limits.packBytes
    this.#groupBytes = limits.groupBytes
    this.#pack = pack
  }

  /** Durable when it resolves; keeps the data until then. Throws StorageFull. */
  append(record: PackRecord): Promise<ChunkPlace> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ record, resolve, reject })
      this.#draining ??= this.#drain()
    })
  }

  async #drain(): Promise<void> {
    // The rest of this turn joins the first group.
    await endOfTurn()
    while (this.#queue.length > 0) {
      const group = this.#takeGroup()
      try {
        const places = await this.#flush(group.map(({ record }) => record))
        for (const [index, place] of places.entries()) group[index]?.resolve(place)
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
    this.#draining = undefined
  }

  #takeGroup(): readonly Waiting[] {
    let bytes = 0
    let count = 0
    for (const { record } of this.#queue) {
      bytes += lengthOf(record)
      if (count > 0 && bytes > this.#groupBytes) break
      count++
    }
    return this.#queue.splice(0, count)
  }

  async #flush(records: readonly PackRecord[]): Promise<readonly ChunkPlace[]> {
    this.#pack ??= await this.#packs.create('shared')
    const pack = this.#pack
    try {
      const places = await pack.append(records)
      await pack.sync()
      this.#health.succeeded()
      if (pack.end >= this.#packBytes) await this.#retire(pack)
      return places
    } catch (error) {
      if (error instanceof StorageFull) await this.#giveUp(pack)
      throw error
    }
  }

  /** After a failed flush: back to what is durable, and never appended to again. */
  async #giveUp(pack: PackFile): Promise<void> {
    this.#pack = undefined
    await pack.cutBack().catch((error: unknown) => {
      // Also for want of room: the next start cuts it, nothing refers to what is behind. Any other failure must be heard.
      if (!(error instanceof StorageFull)) throw error
    })
    await this.#retire(pack)
  }

  async #retire(pack: PackFile): Promise<void> {
    this.#pack = undefined
    await pack.close()
    const done: Promise<unknown> = pack.durableEnd === 0 ? this.#packs.drop(pack) : this.#packs.seal(pack)
    this.#sealing.add(done)
    done.finally(() => this.#sealing.delete(done))
  }

  /** The pack is sealed as if it were full; the next record begins another one. */
  async retireNow(): Promise<void> {
    // A group that is being written retires its pack by itself, or not at all: only between two groups.
    while (this.#draining) await this.#draining
    const pack = this.#pack
    if (!pack) return
    const retired = this.#retire(pack).finally(() => {
      this.#draining = this.#queue.length > 0 ? this.#drain() : undefined
    })
    // What comes meanwhile waits for it as for a group.
    this.#draining = retired.catch(() => {
      // The caller has the error.
    })
    await retired
    await Promise.all(this.#sealing)
  }

  /** Waits for what is queued. */
  async close(): Promise<void> {
    await this.#draining
    await this.#pack?.close()
    this.#pack = undefined
    await Promise.all(this.#sealing)
  }
}
