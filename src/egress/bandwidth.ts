import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { KIB } from '../kernel/index.ts'

/** How time passes: the machine's, or a test's own. */
export interface Pace {
  /** Milliseconds; never goes back. */
  now(): number
  sleep(ms: number): Promise<void>
}

export const machinePace: Pace = { now: () => performance.now(), sleep: (ms) => sleep(ms) }

/** A turn is at most as many bytes as go in this time, so that many files share a slow line piece by piece. */
const TURN_MS = 100
const MIN_TURN_BYTES = KIB
const MAX_TURN_BYTES = 256 * KIB
/** What was not used for so long may be made up for: timers wake up late. More would be a burst. */
const CREDIT_MS = 100

interface Waiting {
  readonly bytes: number
  readonly go: () => void
}

/**
 * Bytes per second, for all who take from it: in turns, in the order of asking, so that a large file holds up a small one by one
 * turn and not by its size. Over any time, no more than the rate and a tenth of a second's credit is given out.
 */
export class Bandwidth {
  readonly bytesPerSecond: number
  readonly turnBytes: number
  readonly #bytesPerMs: number
  readonly #pace: Pace
  #waiting: Waiting[] = []
  #serving = false
  /** When what was given out so far has gone. */
  #paidUntil: number

  constructor(bytesPerSecond: number, pace: Pace = machinePace) {
    this.bytesPerSecond = bytesPerSecond
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#pace = pace
    this.#paidUntil = pace.now()
    this.turnBytes = Math.min(MAX_TURN_BYTES, Math.max(MIN_TURN_BYTES, Math.floor(this.#bytesPerMs * TURN_MS)))
  }

  /** Resolves when so many bytes may be sent. Throws the signal's reason; turns not yet come to are then given to others. */
  async take(bytes: number, signal: AbortSignal): Promise<void> {
    for (let left = bytes; left > 0; left -= this.turnBytes) await this.#turn(Math.min(left, this.turnBytes), signal)
  }

  #turn(bytes: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason)
        return
      }
      const leave = () => {
        this.#waiting = this.#waiting.filter((other) => other !== mine)
        reject(signal.reason)
      }
      const mine: Waiting = {
        bytes,
        go: () => {
          signal.removeEventListener('abort', leave)
          resolve()
        },
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(mine)
      if (!this.#serving) void this.#serve()
    })
  }

  async #serve(): Promise<void> {
    this.#serving = true
    while (this.#waiting.length > 0) {
      const waitMs = this.#paidUntil - this.#pace.now()
      if (waitMs > 0) {
        await this.#pace.sleep(Math.ceil(waitMs))
        continue
      }
      const next = this.#waiting.shift()
      if (!next) break
      this.#paidUntil = Math.max(this.#paidUntil, this.#pace.now() - CREDIT_MS) + next.bytes / this.#bytesPerMs
      next.go()
    }
    this.#serving = false
  }
}

/** All limits that the bytes of one push keep: its own, and that of all pushes together. */
export class Throttle {
  readonly #limits: readonly Bandwidth[]

  constructor(limits: readonly (Bandwidth | undefined)[]) {
    this.#limits = limits.filter((limit) => limit !== undefined)
  }

  get limited(): boolean {
    return this.#limits.length > 0
  }

  /** The lowest of them; Infinity where there is none. */
  get bytesPerSecond(): number {
    return Math.min(...this.#limits.map(({ bytesPerSecond }) => bytesPerSecond))
  }

  async take(bytes: number, signal: AbortSignal): Promise<void> {
    for (const limit of this.#limits) await limit.take(bytes, signal)
  }

  /** The same bytes, each piece when it may go. */
  stream(pieces: AsyncIterable<Buffer>, signal: AbortSignal): Readable {
    return Readable.from(this.#paced(pieces, signal), { objectMode: false })
  }

  async *#paced(pieces: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer> {
    const most = Math.min(...this.#limits.map(({ turnBytes }) => turnBytes))
    for await (const piece of pieces) {
      for (let at = 0; at < piece.length; at += most) {
        const turn = piece.subarray(at, at + most)
        await this.take(turn.length, signal)
        yield turn
      }
    }
  }
}
