/** Keeps what was used last, up to a total weight. A Map keeps the order of insertion, which is here the order of use. */
export class Lru<Key, Value> {
  readonly #most: number
  readonly #weigh: (value: Value) => number
  readonly #values = new Map<Key, Value>()
  #weight = 0

  constructor(most: number, weigh: (value: Value) => number = () => 1) {
    this.#most = most
    this.#weigh = weigh
  }

  get(key: Key): Value | undefined {
    const value = this.#values.get(key)
    if (value === undefined) return undefined
    this.#values.delete(key)
    this.#values.set(key, value)
    return value
  }

  /** Returns what had to go for it. */
  set(key: Key, value: Value): readonly Value[] {
    this.delete(key)
    this.#values.set(key, value)
    this.#weight += this.#weigh(value)
    if (this.#weight <= this.#most) return []
    const gone: Value[] = []
    for (const [oldest, old] of this.#values) {
      if (this.#weight <= this.#most || oldest === key) break
      this.delete(oldest)
      gone.push(old)
    }
    return gone
  }

  delete(key: Key): Value | undefined {
    const value = this.#values.get(key)
    if (value === undefined) return undefined
    this.#values.delete(key)
    this.#weight -= this.#weigh(value)
    return value
  }

  values(): IterableIterator<Value> {
    return this.#values.values()
  }
}
