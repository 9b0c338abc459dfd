/** Wakes up whoever waits for something to change. It carries nothing: who wakes up looks for itself. */
export class ChangeSignal {
  readonly #listeners = new Set<() => void>()

  readonly notify = (): void => {
    for (const listener of [...this.#listeners]) listener()
  }

  listen(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Begins to listen now, so that a change between looking and waiting is not missed. `changed` resolves at the next change since the
   * last call, when the time is over (other processes may change things too), or when the signal is aborted.
   */
  subscribe(): { changed(waitMs: number, signal?: AbortSignal): Promise<void>; end(): void } {
    let dirty = false
    let wake: (() => void) | undefined
    const stop = this.listen(() => {
      dirty = true
      wake?.()
    })
    const changed = async (waitMs: number, signal?: AbortSignal) => {
      if (!dirty && !signal?.aborted) {
        await new Promise<void>((resolve) => {
          const done = () => {
            clearTimeout(timer)
            signal?.removeEventListener('abort', done)
            resolve()
          }
          const timer = setTimeout(done, waitMs)
          signal?.addEventListener('abort', done)
          wake = done
        })
        wake = undefined
      }
      dirty = false
    }
    return { changed, end: () => stop() }
  }
}
