import type { SharedBytes } from '../../kernel/index.ts'

/** Memory that was used and is kept for the next one. */
interface Spare {
  readonly free: SharedBytes[]
  readonly bytes: number
}

/**
 * Shared memory that is used again: fresh memory of a MiB costs about as much to get from the system as to hash. It is shared so that
 * the digest workers can read it where it is. Lengths are rounded up to whole units, so that what one gave back serves another.
 */
export class BufferPool {
  readonly #unitBytes: number
  readonly #mostBytes: number
  #freeBytes = 0
  readonly #spares = new Map<number, Spare>()

  /** Keeps at most `mostBytes` that nobody uses. */
  constructor(unitBytes: number, mostBytes: number) {
    this.#unitBytes = unitBytes
    this.#mostBytes = mostBytes
  }

  /** At least so many bytes. */
  take(length = this.#unitBytes): SharedBytes {
    const bytes = Math.ceil(length / this.#unitBytes) * this.#unitBytes
    const spare = this.#spares.get(bytes)?.free.pop()
    if (!spare) return Buffer.from(new SharedArrayBuffer(bytes))
    this.#freeBytes -= bytes
    return spare
  }

  /** Only when nobody reads or writes it any more; as it was taken. */
  give(buffer: SharedBytes): void {
    const bytes = buffer.length
    if (this.#freeBytes + bytes > this.#mostBytes && !this.#makeRoom(bytes)) return
    const spare = this.#spares.get(bytes) ?? { free: [], bytes }
    this.#spares.set(bytes, spare)
    spare.free.push(buffer)
    this.#freeBytes += bytes
  }

  /** Lengths that were wanted once must not keep out the ones that are wanted now. */
  #makeRoom(bytes: number): boolean {
    for (const spare of this.#spares.values()) {
      while (spare.bytes !== bytes && this.#freeBytes + bytes > this.#mostBytes && spare.free.pop())
        this.#freeBytes -= spare.bytes
    }
    return this.#freeBytes + bytes <= this.#mostBytes
  }
}

/** A stretch of a body, in memory that several chunks may share. */
export interface Block {
  readonly bytes: SharedBytes
  /** Chunks and writers that still use it. */
  users: number
}

/** Blocks of one length. */
export class BlockPool {
  readonly bytes: number
  readonly #pool: BufferPool

  constructor(bytes: number, mostBytes: number) {
    this.bytes = bytes
    this.#pool = new BufferPool(bytes, mostBytes)
  }

  /** With one user. */
  take(): Block {
    return { bytes: this.#pool.take(), users: 1 }
  }

  release(block: Block): void {
    block.users--
    if (block.users === 0) this.#pool.give(block.bytes)
  }
}
