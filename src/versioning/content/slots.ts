/** Lets in at most so much at once, in pieces or in bytes; the others wait in order. */
export class Slots {
  readonly #total: number
  #free: number
  readonly #waiting: { readonly weight: number; readonly enter: () => void }[] = []

  constructor(total: number) {
    this.#total = total
    this.#free = total
  }

  /** Resolves to what `leave` is to be given. What weighs more than there is at all goes alone. */
  async enter(wanted = 1): Promise<number> {
    const weight = Math.min(wanted, this.#total)
    if (this.#waiting.length === 0 && weight <= this.#free) this.#free -= weight
    else
      await new Promise<void>((enter) => {
        this.#waiting.push({ weight, enter })
      })
    return weight
  }

  leave(weight = 1): void {
    this.#free += weight
    for (let next = this.#waiting[0]; next && next.weight <= this.#free; next = this.#waiting[0]) {
      this.#waiting.shift()
      this.#free -= next.weight
      next.enter()
    }
  }
}
