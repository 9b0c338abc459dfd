import type { TreeHash } from '../model/index.ts'

/** A tree that is being made or read, while no row need refer to it. */
export interface Lease {
  /** Keeps these trees until the lease ends. */
  pin(...roots: readonly TreeHash[]): void
  end(): void
}

interface Held {
  readonly number: number
  readonly roots: Set<TreeHash>
  readonly long: boolean
}

/**
 * Who makes or reads trees that no row refers to. Garbage collection waits for the makers that began before it looks at the rows, and
 * keeps what is pinned.
 *
 * Whoever makes a tree calls `begin` _before_ it reads the roots that it starts from, reads them from rows (what rows let go while garbage is
 * collected is kept, see `letGoSchema`) or has them held, and ends the lease when a row refers to what it
 * made (or it failed). Whoever only reads for long, or keeps finished trees in memory, holds them: `hold` is not waited for.
 */
export class Leases {
  #next = 1
  readonly #held = new Map<number, Held>()
  readonly #waiting = new Set<() => void>()

  /** For making a tree. Returns the end; calling it twice is harmless. */
  begin(): () => void {
    const lease = this.#add(false)
    return () => this.#end(lease)
  }

  /** For trees that are there: kept, and not waited for. */
  hold(...roots: readonly TreeHash[]): Lease {
    const lease = this.#add(true)
    for (const root of roots) lease.roots.add(root)
    const pin = (...more: readonly TreeHash[]) => {
      for (const root of more) lease.roots.add(root)
    }
    return { pin, end: () => this.#end(lease) }
  }

  /** Everything that is pinned now. */
  pinned(): readonly TreeHash[] {
    const roots = new Set<TreeHash>()
    for (const lease of this.#held.values()) for (const root of lease.roots) roots.add(root)
    return [...roots]
  }

  /** Resolves when every maker that has begun by now has ended. Rejects with the signal's reason. */
  async settled(signal: AbortSignal): Promise<void> {
    const newest = this.#next
    while (this.#makersBefore(newest)) {
      signal.throwIfAborted()
      await new Promise<void>((resolve) => {
        const wake = () => {
          signal.removeEventListener('abort', wake)
          this.#waiting.delete(wake)
          resolve()
        }
        signal.addEventListener('abort', wake)
        this.#waiting.add(wake)
      })
    }
    signal.throwIfAborted()
  }

  #makersBefore(number: number): boolean {
    for (const lease of this.#held.values()) if (!lease.long && lease.number < number) return true
    return false
  }

  #add(long: boolean): Held {
    const lease: Held = { number: this.#next++, roots: new Set(), long }
    this.#held.set(lease.number, lease)
    return lease
  }

  #end(lease: Held): void {
    if (!this.#held.delete(lease.number)) return
    for (const wake of [...this.#waiting]) wake()
  }
}
