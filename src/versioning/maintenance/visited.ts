const WORDS = 4
const FIRST_SLOTS = 2 ** 12
/** 256 MiB: 12 million nodes and manifests, the trees of a billion entries. */
const MAX_SLOTS = 2 ** 24
const MAX_LOAD = 0.75

/**
 * What a walk has been at, by half of its SHA-256, in bounded memory: what does not fit is walked again, never passed by. 128 bits, since a
 * node taken for another one would leave what is below it unmarked.
 */
export class Visited {
  #slots = new Uint32Array(FIRST_SLOTS * WORDS)
  #size = 0
  readonly #maxSlots: number

  constructor(maxSlots = MAX_SLOTS) {
    this.#maxSlots = maxSlots
  }

  /** True once something did not fit: then only `has` that says yes is to be believed. */
  full = false

  get size(): number {
    return this.#size
  }

  has(hash: Buffer): boolean {
    return !this.#isFree(this.#find(this.#slots, hash))
  }

  /** False if it was there. */
  add(hash: Buffer): boolean {
    if (this.has(hash)) return false
    const count = this.#slots.length / WORDS
    if (this.#size >= count * MAX_LOAD) {
      if (count >= this.#maxSlots) {
        this.full = true
        return true
      }
      this.#grow()
    }
    const at = this.#find(this.#slots, hash)
    for (let word = 0; word < WORDS; word++) this.#slots[at + word] = wordOf(hash, word)
    this.#size++
    return true
  }

  #grow(): void {
    const old = this.#slots
    this.#slots = new Uint32Array(old.length * 2)
    const hash = Buffer.alloc(WORDS * 4)
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at] === 0 && old[at + 1] === 0 && old[at + 2] === 0 && old[at + 3] === 0) continue
      for (let word = 0; word < WORDS; word++) hash.writeUInt32LE(old[at + word] ?? 0, word * 4)
      this.#slots.set(old.subarray(at, at + WORDS), this.#find(this.#slots, hash))
    }
  }

  #isFree(at: number): boolean {
    const slots = this.#slots
    return slots[at] === 0 && slots[at + 1] === 0 && slots[at + 2] === 0 && slots[at + 3] === 0
  }

  /** Its slot, or the free one where it belongs. */
  #find(slots: Uint32Array, hash: Buffer): number {
    const mask = slots.length / WORDS - 1
    for (let slot = wordOf(hash, 0) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * WORDS
      let same = true
      let free = true
      for (let word = 0; word < WORDS; word++) {
        const value = slots[at + word]
        if (value !== wordOf(hash, word)) same = false
        if (value !== 0) free = false
      }
      if (same || free) return at
    }
  }
}

/** All four are never zero, which marks a free slot. */
function wordOf(hash: Buffer, word: number): number {
  const value = hash.readUInt32LE(word * 4)
  return word === 3 && value === 0 ? 1 : value
}
