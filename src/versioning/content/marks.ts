import { MIB } from '../../kernel/index.ts'

/** At 16 bits each, what is not marked passes for marked once in 2,000. */
const BITS_EACH = 16
/** For some 130 million chunks at 16 bits; with more of them more garbage is kept, and nothing else. */
const MAX_BYTES = 256 * MIB
/** Small stores are collected exactly. */
const MIN_BYTES = MIB

/** How marks cross to a thread. */
export interface SharedMarks {
  readonly bits: SharedArrayBuffer
  readonly seed: number
}

/**
 * A set of SHA-256s that may say yes where it is no, and never the other way round: a Bloom filter in memory that threads share. What is
 * marked by mistake is kept until a collection with another seed.
 */
export class Marks implements SharedMarks {
  readonly bits: SharedArrayBuffer
  readonly seed: number
  readonly #words: Int32Array
  readonly #mask: number

  constructor({ bits, seed }: SharedMarks) {
    this.bits = bits
    this.seed = seed
    this.#words = new Int32Array(bits)
    this.#mask = bits.byteLength * 8 - 1
  }

  /** With room for so many. `seed`: any 32-bit number, another one each time. */
  static for(count: number, seed: number): Marks {
    const wanted = Math.min(MAX_BYTES, Math.max(MIN_BYTES, (count * BITS_EACH) / 8))
    return new Marks({ bits: new SharedArrayBuffer(2 ** Math.ceil(Math.log2(wanted))), seed })
  }

  add(sha256: Buffer): void {
    // Another thread may set a bit of the same word.
    for (let at = 0; at < 32; at += 4) {
      const bit = this.#bit(sha256, at)
      Atomics.or(this.#words, bit >>> 5, 1 << (bit & 31))
    }
  }

  has(sha256: Buffer): boolean {
    for (let at = 0; at < 32; at += 4) {
      const bit = this.#bit(sha256, at)
      if ((Atomics.load(this.#words, bit >>> 5) & (1 << (bit & 31))) === 0) return false
    }
    return true
  }

  #bit(sha256: Buffer, at: number): number {
    const mixed = Math.imul(sha256.readUInt32LE(at) ^ this.seed, 0x9e3779b1)
    return ((mixed ^ (mixed >>> 15)) >>> 0) & this.#mask
  }
}
