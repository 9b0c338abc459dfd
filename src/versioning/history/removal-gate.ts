/**
 * Between who removes nodes and packs and who copies the store: nothing that was there when a copy began may go before it has ended.
 * Removing waits in small steps, so a copy never waits for long.
 */
export class RemovalGate {
  #copies = 0
  #removals = 0
  readonly #waiting = new Set<() => void>()

  /** For who copies: resolves when no removal is under way; none begins before the returned function is called. */
  async hold(): Promise<() => void> {
    this.#copies++
    while (this.#removals > 0) await this.#changed()
    let held = true
    return () => {
      if (!held) return
      held = false
      this.#copies--
      this.#wake()
    }
  }

  /** For who removes: one step, when nobody copies. Rejects with the signal's reason if that aborts while it waits. */
  async removing<Result>(step: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    while (this.#copies > 0) {
      signal?.throwIfAborted()
      await this.#changed(signal)
    }
    signal?.throwIfAborted()
    this.#removals++
    try {
      return await step()
    } finally {
      this.#removals--
      this.#wake()
    }
  }

  /** Whether a copy is being made. */
  get held(): boolean {
    return this.#copies > 0
  }

  #changed(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake)
        signal?.removeEventListener('abort', wake)
        resolve()
      }
      this.#waiting.add(wake)
      signal?.addEventListener('abort', wake)
    })
  }

  #wake(): void {
    for (const wake of [...this.#waiting]) wake()
  }
}
