interface Held<Value> {
  readonly value: Value
  /** Asked for since it was put in or was last spared. */
  used: boolean
}

/**
 * Keeps what was used last, up to a total weight: what comes up to go and was used since is spared once ("second chance"). Moving each to
 * the end whenever it is used would be exact, and cost more than all the rest of a look-up.
 */
export class Lru<Key, Value> {
  readonly #most: number
  readonly #weigh: (value: Value) => number
  /** A Map keeps the order of insertion. */
  readonly #held = new Map<Key, Held<Value>>()
  #weight = 0

  constructor(most: number, weigh: (value: Value) => number = () => 1) {
    this.#most = most
    this.#weigh = weigh
  }

  has(key: Key): boolean {
    return this.#held.has(key)
  }

  get(key: Key): Value | undefined {
    const held = this.#held.get(key)
    if (held === undefined) return undefined
    held.used = true
    return held.value
  }

  /** Returns what had to go for it. */
  set(key: Key, value: Value): readonly Value[] {
    this.delete(key)
    this.#held.set(key, { value, used: false })
    this.#weight += this.#weigh(value)
    if (this.#weight <= this.#most) return []
    const gone: Value[] = []
    // What is spared comes to the end, where this loop meets it again, unused then: it ends.
    for (const [oldest, held] of this.#held) {
      if (this.#weight <= this.#most) break
      if (oldest === key) {
        if (this.#held.size === 1) break
        this.#spare(oldest, held)
      } else if (held.used) {
        this.#spare(oldest, held)
      } else {
        this.delete(oldest)
        gone.push(held.value)
      }
    }
    return gone
  }

  #spare(key: Key, held: Held<Value>): void {
    held.used = false
    this.#held.delete(key)
    this.#held.set(key, held)
  }

  delete(key: Key): Value | undefined {
    const held = this.#held.get(key)
    if (held === undefined) return undefined
    this.#held.delete(key)
    this.#weight -= this.#weigh(held.value)
    return held.value
  }

  *values(): IterableIterator<Value> {
    for (const { value } of this.#held.values()) yield value
  }
}
