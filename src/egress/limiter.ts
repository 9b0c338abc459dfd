/** Lets in what fits into `capacity` units, in the order of asking. What asks for more than all of it is let in alone. */
export class Limiter {
  readonly #capacity: number
  #used = 0
  readonly #waiting: { units: number; enter: () => void }[] = []

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  async run<Result>(units: number, work: () => Promise<Result>): Promise<Result> {
    await this.enter(units)
    try {
      return await work()
    } finally {
      this.leave(units)
    }
  }

  /** Resolves when there is room; `leave` with the same units must follow. */
  enter(units: number): Promise<void> {
    return new Promise((enter) => {
      this.#waiting.push({ units: Math.min(units, this.#capacity), enter })
      this.#admit()
    })
  }

  leave(units: number): void {
    this.#used -= Math.min(units, this.#capacity)
    this.#admit()
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next && this.#used + next.units <= this.#capacity; next = this.#waiting[0]) {
      this.#used += next.units
      this.#waiting.shift()
      next.enter()
    }
  }
}

/**
 * Room for parts of files, and the buffers that they are read into: used again, since the collector, which does not see how large
 * they are, would run all the time for the sake of new ones.
 */
export class PartMemory {
  readonly #room: Limiter
  readonly #capacity: number
  #free: Buffer[] = []
  #inUse = 0

  constructor(capacityBytes: number) {
    this.#room = new Limiter(capacityBytes)
    this.#capacity = capacityBytes
  }

  /** `work` may use the buffer until it resolves. Where it rejects, the buffer is not used again: it may still be on its way. */
  run<Result>(bytes: number, work: (buffer: Buffer) => Promise<Result>): Promise<Result> {
    return this.#room.run(bytes, async () => {
      this.#inUse++
      try {
        const buffer = this.#take(bytes)
        const result = await work(buffer.subarray(0, bytes))
        this.#free.push(buffer)
        return result
      } finally {
        this.#inUse--
        if (this.#inUse === 0) this.#free = []
      }
    })
  }

  #take(bytes: number): Buffer {
    const fitting = this.#free.findIndex((buffer) => buffer.length >= bytes)
    const [buffer] = fitting < 0 ? [] : this.#free.splice(fitting, 1)
    // What lies about must not come on top of what is in use.
    const idle = this.#free.reduce((sum, { length }) => sum + length, 0)
    if (!buffer && idle + bytes > this.#capacity) this.#free = []
    return buffer ?? Buffer.allocUnsafeSlow(bytes)
  }
}
