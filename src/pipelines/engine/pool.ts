/** So many at once, in the order of asking. */
export class Pool {
  #free: number
  readonly #waiting: { take: () => void; signal: AbortSignal }[] = []

  constructor(size: number) {
    this.#free = size
  }

  /** Runs `work` when there is room. Throws the signal's reason if it is aborted before. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#acquire(signal)
    try {
      return await work()
    } finally {
      this.#release()
    }
  }

  async #acquire(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#free > 0) {
      this.#free--
      return
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter = { take: resolve, signal }
    const leave = () => {
      const index = this.#waiting.indexOf(waiter)
      if (index >= 0) this.#waiting.splice(index, 1)
      reject(signal.reason)
    }
    this.#waiting.push(waiter)
    signal.addEventListener('abort', leave, { once: true })
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', leave)
    }
  }

  #release(): void {
    const next = this.#waiting.shift()
    if (next) next.take()
    else this.#free++
  }
}
