import { setImmediate as endOfTurn } from 'node:timers/promises'

/** Requests are served in between; each costs less than this. */
const SLICE_MS = 8

/** Lets others have the event loop during long work on what is in memory already, where no wait of its own would. */
export class Breath {
  #sinceMs = performance.now()

  /** Waits for the next turn if the last one is some milliseconds ago. */
  async taken(): Promise<void> {
    if (performance.now() - this.#sinceMs < SLICE_MS) return
    await endOfTurn()
    this.#sinceMs = performance.now()
  }
}
