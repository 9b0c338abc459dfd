/** Lets at most so many in at once; the others wait in order. */
export class Slots {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  async enter(): Promise<void> {
    if (this.#free > 0) {
      this.#free--
      return
    }
    await new Promise<void>((resolve) => {
      this.#waiting.push(resolve)
    })
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}

/**
 * Buffers of one length, used again: fresh memory of a MiB costs about as much to get from the system as to hash. They are shared
 * memory, so that the digest workers can read them where they are.
 */
export class BufferPool {
  readonly bytes: number
  readonly #most: number
  readonly #free: Buffer<SharedArrayBuffer>[] = []

  constructor(bytes: number, most: number) {
    this.bytes = bytes
    this.#most = most
  }

  take(): Buffer<SharedArrayBuffer> {
    return this.#free.pop() ?? Buffer.from(new SharedArrayBuffer(this.bytes))
  }

  /** Only when nobody reads or writes it any more. */
  give(buffer: Buffer<SharedArrayBuffer>): void {
    if (this.#free.length < this.#most) this.#free.push(buffer)
  }
}
