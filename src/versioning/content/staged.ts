import type { Sink } from './sink.ts'

/** Which shared packs hold what bodies under way have stored so far: nothing refers to it yet, and it must not go. */
export class Staged {
  readonly #packs = new Map<Sink, Set<number>>()

  /** The same sink; what it stores is known from here on, until it has ended. */
  track(sink: Sink): Sink {
    const packs = new Set<number>()
    const tracked: Sink = {
      ...sink,
      append: async (record) => {
        const place = await sink.append(record)
        packs.add(place.pack)
        return place
      },
    }
    this.#packs.set(tracked, packs)
    return tracked
  }

  ended(sink: Sink): void {
    this.#packs.delete(sink)
  }

  has(pack: number): boolean {
    for (const packs of this.#packs.values()) if (packs.has(pack)) return true
    return false
  }
}
