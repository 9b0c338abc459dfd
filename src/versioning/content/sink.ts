import type { ChunkPlace } from '../content-store.ts'
import type { Health } from './health.ts'
import type { PackFile } from './pack-file.ts'
import type { Packs } from './packs.ts'
import type { PackRecord } from './record.ts'
import type { SharedAppender } from './shared-appender.ts'

/** Where one upload's records go, in the order of the calls. Exactly one of `finish` and `abort` ends it. */
export interface Sink {
  /** Keeps the data until it resolves. */
  append(record: PackRecord): Promise<ChunkPlace>
  /** All that was appended is durable when it resolves. Nothing is being appended any more when it is called. */
  finish(): Promise<void>
  abort(): Promise<void>
}

/** Among others: each append is durable by itself, and what an abort leaves behind is for gc. */
export function sharedSink(appender: SharedAppender): Sink {
  return {
    append: (record) => appender.append(record),
    finish: async () => {},
    abort: async () => {},
  }
}

/** A pack that one upload has to itself, made with the first record that is new. */
export class OwnSink implements Sink {
  readonly #packs: Packs
  readonly #health: Health
  readonly #flushEveryBytes: number
  readonly #onFinished: (pack: number) => void
  #pack: Promise<PackFile> | undefined
  #flushed: Promise<void> = Promise.resolve()
  #flushedEnd = 0

  constructor(packs: Packs, health: Health, flushEveryBytes: number, onFinished: (pack: number) => void) {
    this.#packs = packs
    this.#health = health
    this.#flushEveryBytes = flushEveryBytes
    this.#onFinished = onFinished
  }

  async append(record: PackRecord): Promise<ChunkPlace> {
    this.#pack ??= this.#packs.create('own')
    const pack = await this.#pack
    const [place] = await pack.append([record])
    if (pack.end - this.#flushedEnd >= this.#flushEveryBytes) {
      this.#flushedEnd = pack.end
      // The one before must be done: so no more than two such stretches wait for the disk.
      const before = this.#flushed
      this.#flushed = before.then(() => pack.sync())
      this.#flushed.catch(() => {
        // It is thrown where it is awaited, by a later append or by finish.
      })
      await before
    }
    return place as ChunkPlace
  }

  async finish(): Promise<void> {
    if (!this.#pack) return
    const pack = await this.#pack
    await this.#flushed
    await pack.sync()
    this.#health.succeeded()
    await pack.close()
    this.#onFinished(pack.id)
  }

  async abort(): Promise<void> {
    // If it could not be made there is nothing to remove, and the writer has the error.
    const pack = await this.#pack?.catch(() => undefined)
    if (!pack) return
    await pack.close()
    await this.#packs.drop(pack)
  }
}
