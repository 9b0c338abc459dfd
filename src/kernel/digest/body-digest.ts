import { KIB, MIB } from '../limits.ts'
import { createHasher, type DigestName, type Hasher } from './hashers.ts'
import { type Lane, openLanes } from './pool.ts'

/** Below this a body is hashed where it is: waking a worker takes longer. */
const WORKER_MIN_BYTES = MIB
/** What goes to the workers at a time: some 800 µs of MD5, so that messages cost little beside it (with half of it, a tenth more CPU). */
const SLOT_BYTES = 512 * KIB
/** How far the workers may be behind, per body. */
const SLOTS = 3
/** Rings that wait for the next body. */
const MAX_FREE_RINGS = 10

/**
 * Used again, and not left to the garbage collector: a worker sees a ring as well, and its heap is so small that it hardly ever collects
 * what is outside of it. With a new ring each, ten thousand bodies would hold gigabytes.
 */
const freeRings: SharedArrayBuffer[] = []

/** Digests of one body that comes in pieces. Exactly one of `digest` and `abandon` ends it. */
export interface BodyDigest {
  /** Takes the next bytes; the buffer is the caller's again when it returns or, where it gives a promise, resolves. One at a time. */
  update(bytes: Buffer): void | Promise<void>
  digest(): Promise<ReadonlyMap<DigestName, Buffer>>
  abandon(): void
}

/** In the caller's thread. */
class LocalDigest implements BodyDigest {
  readonly #hashers: readonly (readonly [DigestName, Hasher])[]

  constructor(names: readonly DigestName[]) {
    this.#hashers = names.map((name) => [name, createHasher(name)] as const)
  }

  update(bytes: Buffer): void {
    for (const [, hasher] of this.#hashers) hasher.update(bytes)
  }

  async digest(): Promise<ReadonlyMap<DigestName, Buffer>> {
    return new Map(this.#hashers.map(([name, hasher]) => [name, hasher.digest()]))
  }

  abandon(): void {}
}

/**
 * In the workers. Bytes are copied into a ring of slots that the workers see too: a copy is ten times faster than MD5, and
 * socket buffers can't be handed over because the store reads them as well. A body that ends within the first slot never
 * leaves this thread.
 */
class WorkerDigest implements BodyDigest {
  readonly #names: readonly DigestName[]
  readonly #memory = freeRings.pop() ?? new SharedArrayBuffer(SLOTS * SLOT_BYTES)
  #ended = false
  readonly #slots = Array.from({ length: SLOTS }, (_, slot) => Buffer.from(this.#memory, slot * SLOT_BYTES, SLOT_BYTES))
  /** How many lanes still read each slot. */
  readonly #readers = new Array<number>(SLOTS).fill(0)
  #lanes: readonly Lane[] | undefined
  #slot = 0
  #filled = 0
  #error: Error | undefined
  #wake: (() => void) | undefined

  constructor(names: readonly DigestName[]) {
    this.#names = names
  }

  update(bytes: Buffer): void | Promise<void> {
    const taken = this.#take(bytes)
    if (taken < bytes.length) return this.#takeRest(bytes.subarray(taken))
  }

  async #takeRest(bytes: Buffer): Promise<void> {
    let rest = bytes
    while (rest.length > 0) {
      await this.#slotFree()
      rest = rest.subarray(this.#take(rest))
    }
  }

  /** Copies what fits into free slots; returns how much. */
  #take(bytes: Buffer): number {
    let at = 0
    while (at < bytes.length) {
      if (this.#error) throw this.#error
      const slot = this.#slots[this.#slot]
      if (!slot || this.#readers[this.#slot] !== 0) break
      const copied = bytes.copy(slot, this.#filled, at)
      at += copied
      this.#filled += copied
      if (this.#filled === SLOT_BYTES) this.#send()
    }
    return at
  }

  #send(): void {
    this.#lanes ??= openLanes(this.#names, this.#memory, SLOT_BYTES, {
      done: (slot) => {
        this.#readers[slot] = (this.#readers[slot] ?? 1) - 1
        this.#wake?.()
      },
      failed: (error) => {
        this.#error = error
        this.#wake?.()
      },
    })
    this.#readers[this.#slot] = this.#lanes.length
    for (const lane of this.#lanes) lane.update(this.#slot, this.#filled)
    this.#slot = (this.#slot + 1) % SLOTS
    this.#filled = 0
  }

  async #slotFree(): Promise<void> {
    while (!this.#error && this.#readers[this.#slot] !== 0) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    this.#wake = undefined
    if (this.#error) throw this.#error
  }

  async digest(): Promise<ReadonlyMap<DigestName, Buffer>> {
    try {
      return await this.#digest()
    } finally {
      this.#end()
    }
  }

  async #digest(): Promise<ReadonlyMap<DigestName, Buffer>> {
    if (this.#error) throw this.#error
    if (!this.#lanes) {
      const local = new LocalDigest(this.#names)
      local.update(this.#slots[0]?.subarray(0, this.#filled) ?? Buffer.alloc(0))
      return local.digest()
    }
    if (this.#filled > 0) this.#send()
    const digests = await Promise.all(this.#lanes.map((lane) => lane.digest()))
    return new Map(digests.flat().map(([name, bytes]) => [name, Buffer.from(bytes)]))
  }

  abandon(): void {
    for (const lane of this.#lanes ?? []) lane.abandon()
    this.#end()
  }

  /** What a worker still reads for a body that was given up is nobody's any more, so another body may write over it. */
  #end(): void {
    if (this.#ended) return
    this.#ended = true
    // An update that still waits for a slot must not write into what is another body's from here on.
    this.#error ??= new Error('the digest has ended')
    this.#wake?.()
    if (freeRings.length < MAX_FREE_RINGS) freeRings.push(this.#memory)
  }
}

/**
 * Starts digests of one body. Bodies of less than 1 MiB (by `expectedBytes`) are hashed in the caller's thread; others by two
 * worker threads, MD5 in one and the rest in the other, with at most 1.5 MiB under way: `update` then gives a promise.
 */
export function bodyDigest(names: readonly DigestName[], options: { expectedBytes?: number } = {}): BodyDigest {
  const { expectedBytes } = options
  if (names.length === 0 || (expectedBytes !== undefined && expectedBytes < WORKER_MIN_BYTES))
    return new LocalDigest(names)
  return new WorkerDigest(names)
}
