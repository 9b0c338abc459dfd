import { CheckRunning } from '../model/index.ts'

/** Lets one check of a store run at a time, and ends it when the store is closed. */
export class OneCheck {
  #running: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined

  async *run<Event>(start: (signal: AbortSignal) => AsyncIterable<Event>, signal?: AbortSignal): AsyncGenerator<Event> {
    if (this.#running) throw new CheckRunning('a check of the store runs already: wait for its end')
    const ended = Promise.withResolvers<void>()
    const stop = new AbortController()
    this.#running = { stop, ended: ended.promise }
    try {
      yield* start(signal ? AbortSignal.any([stop.signal, signal]) : stop.signal)
    } finally {
      this.#running = undefined
      ended.resolve()
    }
  }

  /** A consumer that does not ask for the next event must not keep the store open: it is told to stop, and not waited for for ever. */
  async close(): Promise<void> {
    this.#running?.stop.abort()
    await this.#running?.ended
  }
}
