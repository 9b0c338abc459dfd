import type { Clock } from '../../kernel/index.ts'
import type { Collecting, PackUse } from '../content/index.ts'
import type { RemovalGate } from '../history/index.ts'
import type { GcEvent } from '../maintenance.ts'
import type { PackLive } from './gc-protocol.ts'

/** A pack of which less is used is rewritten: at most 1.5 times as much is copied as is freed. One that is half unused is among them. */
const THIN = 0.6
const PACK_HEADER_BYTES = 16

interface Parts {
  readonly collecting: Collecting
  readonly gate: RemovalGate
  readonly clock: Clock
  readonly graceMs: number
  /** Every pack is rewritten that has an unused byte in it, also under those who have something staged there. */
  readonly thorough: boolean
  readonly signal: AbortSignal
}

/** Forgets the chunks whose grace is over, removes packs that are empty, and rewrites those that are thin. */
export class GcPacks {
  readonly #parts: Parts
  removed = { chunks: 0, bytes: 0 }
  packsRemoved = 0
  packsRepacked = 0
  reclaimedBytes = 0
  readonly damaged: string[] = []
  #looked = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** `live`: what was found in use, by pack; an upper bound of what is published there is not needed for those that are full of it. */
  async *run(live: readonly PackLive[]): AsyncGenerator<GcEvent> {
    const inUse = new Map(live.map(({ pack, liveBytes }) => [pack, liveBytes]))
    const { collecting, clock, graceMs, gate, signal, thorough } = this.#parts
    const untilMs = clock.now() - graceMs
    for (;;) {
      const step = await gate.removing(() => collecting.removeDoomed(untilMs), signal)
      if (step.chunks === 0) break
      this.removed = { chunks: this.removed.chunks + step.chunks, bytes: this.removed.bytes + step.bytes }
    }
    if (this.removed.chunks > 0 || thorough) await collecting.retireShared()
    // The empty ones first: a disk that is full has room then for what is rewritten.
    yield* this.#each((pack) => this.#dropEmpty(pack, inUse))
    yield* this.#each((pack) => this.#rewriteThin(pack, inUse))
  }

  async *#each(look: (pack: PackUse) => Promise<void>): AsyncGenerator<GcEvent> {
    const { collecting, graceMs, signal, thorough } = this.#parts
    const which = { sealedBeforeMs: performance.now() - graceMs, alsoStaged: thorough }
    let last = 0
    for (;;) {
      const page = await collecting.packs(last, which)
      for (const pack of page) {
        signal.throwIfAborted()
        await look(pack)
        last = pack.id
        yield { kind: 'progress', phase: 'packs', done: ++this.#looked }
      }
      if (page.length === 0) return
    }
  }

  async #dropEmpty(pack: PackUse, inUse: ReadonlyMap<number, number>): Promise<void> {
    if (inUse.has(pack.id) || (await this.#parts.collecting.usedBytes(pack)) > 0) return
    if (await this.#drop(pack)) this.packsRemoved++
  }

  async #rewriteThin(pack: PackUse, inUse: ReadonlyMap<number, number>): Promise<void> {
    const { collecting, signal, thorough } = this.#parts
    if (!thorough && (inUse.get(pack.id) ?? 0) >= pack.fileBytes * THIN) return
    const usedBytes = await collecting.usedBytes(pack)
    const most = thorough ? pack.fileBytes - PACK_HEADER_BYTES : pack.fileBytes * THIN
    if (usedBytes >= most && usedBytes > 0) return
    const repacked = await collecting.repack(pack, signal)
    if (repacked.kind === 'damaged') {
      this.damaged.push(pack.name)
      return
    }
    if (await this.#drop(pack)) {
      if (usedBytes === 0) this.packsRemoved++
      else this.packsRepacked++
    }
    this.reclaimedBytes -= repacked.bytes
  }

  async #drop(pack: PackUse): Promise<boolean> {
    const { collecting, gate, signal } = this.#parts
    const gone = await gate.removing(() => collecting.removePack(pack), signal)
    if (gone) this.reclaimedBytes += pack.fileBytes
    return gone
  }
}
