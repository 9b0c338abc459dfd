import { Readable } from 'node:stream'
import { DomainError } from '../kernel/index.ts'

/** Often enough that no proxy on the way (60 s is usual) takes the connection for dead. */
const HEARTBEAT_MS = 15_000
/** How long an answer waits for its first line, so that an error before it still has a status of its own. */
const FIRST_LINE_MS = 1_000

/** What a source that stops early is told apart by from one that is done. */
export class ShuttingDown extends DomainError {
  readonly code = 'ShuttingDown'
  constructor() {
    super('the server is stopping: ask again when it is back')
  }
}

export interface LinesOptions {
  /** Makes the last line of a source that fails after its first line, when the status has been sent. */
  readonly errorLine: (error: unknown) => unknown
  /** That a source ends because of it is told as an error, so that nobody takes it for the end. */
  readonly closing: AbortSignal
}

/** JSON lines as a stream, made as the client takes them. Rejects if the source fails before its first line. */
export async function linesStream(source: AsyncIterable<unknown>, options: LinesOptions): Promise<Readable> {
  const iterator = source[Symbol.asyncIterator]()
  const first = iterator.next()
  await settled(first, FIRST_LINE_MS)
  return new LinesStream(iterator, first, options)
}

class LinesStream extends Readable {
  readonly #iterator: AsyncIterator<unknown>
  readonly #options: LinesOptions
  readonly #heartbeat: NodeJS.Timeout
  #first: Promise<IteratorResult<unknown>> | undefined
  #busy = false

  constructor(iterator: AsyncIterator<unknown>, first: Promise<IteratorResult<unknown>>, options: LinesOptions) {
    super()
    this.#iterator = iterator
    this.#first = first
    this.#options = options
    // Only while the source is waited for: a client that does not read needs no sign of life.
    this.#heartbeat = setInterval(() => this.#busy && this.push('\n'), HEARTBEAT_MS)
  }

  override _read(): void {
    if (!this.#busy) void this.#fill()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#heartbeat)
    // The next line may still be awaited; whatever that ends with, nobody is left to be told.
    this.#first?.catch(() => {})
    this.#iterator.return?.().catch(() => {})
    done(error)
  }

  async #fill(): Promise<void> {
    this.#busy = true
    try {
      for (;;) {
        const step = await (this.#first ?? this.#iterator.next())
        this.#first = undefined
        if (this.destroyed) return
        if (step.done && this.#options.closing.aborted) throw new ShuttingDown()
        if (step.done) return this.#end()
        if (!this.#line(step.value)) return
        this.#heartbeat.refresh()
      }
    } catch (error) {
      if (this.destroyed) return
      this.#line(this.#options.errorLine(error))
      this.#end()
    } finally {
      this.#busy = false
    }
  }

  /** False if the client has enough for now. */
  #line(value: unknown): boolean {
    return this.push(`${JSON.stringify(value)}\n`)
  }

  #end(): void {
    clearInterval(this.#heartbeat)
    this.push(null)
  }
}

/** Waits until the promise has settled or the time is over; rejects if it does. */
async function settled(promise: Promise<unknown>, ms: number): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, ms)
  try {
    await Promise.race([promise, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
