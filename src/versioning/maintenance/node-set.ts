import type { TreeHash } from '../model/index.ts'

/** 64 MiB: some four million nodes, the trees of 300 million files. What does not fit is looked at again where it is met again. */
const MAX_SLOTS = 2 ** 22
const FIRST_SLOTS = 2 ** 12
const WORDS = 4
const MAX_LOAD = 0.75

/** What is remembered of a node: a digest for its parents to be compared with, the folder markers below it, and one flag. */
export interface Remembered {
  readonly digest: number
  readonly markers: number
  readonly flag: boolean
}

/** Nodes by the first 8 bytes of their hash, with a few facts each, in bounded memory: open addressing, nothing is removed. */
export class NodeSet {
  #slots: Uint32Array
  #size = 0
  readonly #maxSlots: number

  constructor(maxSlots = MAX_SLOTS) {
    this.#maxSlots = maxSlots
    this.#slots = new Uint32Array(Math.min(FIRST_SLOTS, maxSlots) * WORDS)
  }

  get size(): number {
    return this.#size
  }

  get(hash: TreeHash): Remembered | undefined {
    const [high, low] = wordsOf(hash)
    const at = this.#find(this.#slots, high, low)
    if (this.#slots[at] === 0 && this.#slots[at + 1] === 0) return undefined
    const facts = this.#slots[at + 3] ?? 0
    return { digest: this.#slots[at + 2] ?? 0, markers: facts >>> 1, flag: (facts & 1) === 1 }
  }

  has(hash: TreeHash): boolean {
    const [high, low] = wordsOf(hash)
    const at = this.#find(this.#slots, high, low)
    return this.#slots[at] !== 0 || this.#slots[at + 1] !== 0
  }

  /** Remembers it, if there is room. */
  add(hash: TreeHash, { digest, markers, flag }: Remembered = { digest: 0, markers: 0, flag: false }): void {
    const count = this.#slots.length / WORDS
    if (this.#size >= count * MAX_LOAD) {
      if (count >= this.#maxSlots) return
      this.#grow()
    }
    const [high, low] = wordsOf(hash)
    const at = this.#find(this.#slots, high, low)
    if (this.#slots[at] === 0 && this.#slots[at + 1] === 0) this.#size++
    // 31 bits: a node has far fewer markers below it, and where not, only the count of a commit would seem wrong.
    this.#slots.set([high, low, digest, ((markers << 1) | (flag ? 1 : 0)) >>> 0], at)
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Uint32Array(old.length * 2)
    for (let at = 0; at < old.length; at += WORDS) {
      const high = old[at] ?? 0
      const low = old[at + 1] ?? 0
      if (high !== 0 || low !== 0) {
        this.#slots.set(old.subarray(at, at + WORDS), this.#find(this.#slots, high, low))
      }
    }
  }

  /** Its slot, or the free one where it belongs. */
  #find(slots: Uint32Array, high: number, low: number): number {
    const mask = slots.length / WORDS - 1
    let slot = high & mask
    for (;;) {
      const at = slot * WORDS
      if (slots[at] === high && slots[at + 1] === low) return at
      if (slots[at] === 0 && slots[at + 1] === 0) return at
      slot = (slot + 1) & mask
    }
  }
}

/** Never both zero, which marks a free slot. */
function wordsOf(hash: TreeHash): [number, number] {
  const high = Number.parseInt(hash.slice(0, 8), 16)
  const low = Number.parseInt(hash.slice(8, 16), 16)
  return [high, high === 0 && low === 0 ? 1 : low]
}
