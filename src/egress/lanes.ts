import { StoreThrottled, type Target } from '../cloud/index.ts'
import { Bandwidth, machinePace, type Pace, Throttle } from './bandwidth.ts'
import { MAX_TARGET_REQUESTS } from './limits.ts'

/**
 * How many bodies are on their way to one target at once, over all pushes. Where the target asks for fewer requests, half as many
 * go from then on, and one more for every round that goes well ("additive increase, multiplicative decrease": D. Chiu, R. Jain,
 * 1989, as TCP does it).
 */
export class Lane {
  readonly #most: number
  #limit: number
  #running = 0
  #slowedDown = 0
  readonly #waiting: (() => void)[] = []

  constructor(most: number) {
    this.#most = most
    this.#limit = most
  }

  /** How many may be on their way now. */
  get width(): number {
    return Math.floor(this.#limit)
  }

  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    await new Promise<void>((enter) => {
      this.#waiting.push(enter)
      this.#admit()
    })
    const before = this.#slowedDown
    try {
      const result = await work()
      this.#limit = Math.min(this.#most, this.#limit + 1 / this.#limit)
      return result
    } catch (error) {
      // What was sent before it slowed down says nothing about how it goes since.
      if (error instanceof StoreThrottled && before === this.#slowedDown) this.#slowDown()
      throw error
    } finally {
      this.#running--
      this.#admit()
    }
  }

  #slowDown(): void {
    this.#limit = Math.max(1, Math.floor(this.#limit / 2))
    this.#slowedDown++
  }

  #admit(): void {
    while (this.#running < this.width) {
      const enter = this.#waiting.shift()
      if (!enter) return
      this.#running++
      enter()
    }
  }
}

/** The lanes to all targets that something is pushed to, and the bytes per second of all of them together. */
export class TargetLanes {
  readonly #lanes = new Map<string, { readonly lane: Lane; users: number }>()
  readonly #bandwidth: Bandwidth | undefined
  readonly #pace: Pace

  constructor({ bandwidth, pace = machinePace }: { bandwidth?: number | undefined; pace?: Pace } = {}) {
    this.#pace = pace
    this.#bandwidth = bandwidth === undefined ? undefined : new Bandwidth(bandwidth, pace)
  }

  /** The lane that all pushes to this bucket share. `leave` must follow. */
  enter(target: Target): { readonly lane: Lane; leave(): void } {
    const name = JSON.stringify([target.kind, target.endpoint ?? null, target.bucket])
    const known = this.#lanes.get(name) ?? { lane: new Lane(MAX_TARGET_REQUESTS), users: 0 }
    known.users++
    this.#lanes.set(name, known)
    return {
      lane: known.lane,
      leave: () => {
        known.users--
        if (known.users === 0) this.#lanes.delete(name)
      },
    }
  }

  /** What the bytes of one push keep to; `bandwidth`: its own limit. */
  throttle(bandwidth: number | undefined): Throttle {
    const own = bandwidth === undefined ? undefined : new Bandwidth(bandwidth, this.#pace)
    return new Throttle([own, this.#bandwidth])
  }
}
