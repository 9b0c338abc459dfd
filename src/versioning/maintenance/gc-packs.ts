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
    let last = 0
    let looked = 0
    for (;;) {
      const page = await collecting.packs(last, { sealedBeforeMs: performance.now() - graceMs, alsoStaged: thorough })
      for (const pack of page) {
        if (thorough || (inUse.get(pack.id) ?? 0) < pack.fileBytes * THIN) await this.#look(pack)
        last = pack.id
        looked++
        yield { kind: 'progress', phase: 'packs', done: looked }
      }
      if (page.length === 0) return
    }
  }

  async #look(pack: PackUse): Promise<void> {
    const { collecting, signal, thorough } = this.#parts
    signal.throwIfAborted()
    const usedBytes = await collecting.usedBytes(pack)
    if (usedBytes === 0) {
      if (await this.#drop(pack)) this.packsRemoved++
      return
    }
    const most = thorough ? pack.fileBytes - PACK_HEADER_BYTES : pack.fileBytes * THIN
    if (usedBytes >= most) return
    const repacked = await collecting.repack(pack, signal)
    if (repacked.kind === 'damaged') {
      this.damaged.push(pack.name)
      return
    }
    if (await this.#drop(pack)) this.packsRepacked++
    this.reclaimedBytes -= repacked.bytes
  }

  async #drop(pack: PackUse): Promise<boolean> {
    const { collecting, gate, signal } = this.#parts
    const gone = await gate.removing(() => collecting.removePack(pack), signal)
    if (gone) this.reclaimedBytes += pack.fileBytes
    return gone
  }
}
