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
