/** What is remembered of history that never changes, but for a purge, which forgets all of it. */
export class Forgetting {
  readonly #listeners = new Set<() => void>()

  /** What is under way when it is called must not be remembered either. */
  onForget(listener: () => void): void {
    this.#listeners.add(listener)
  }

  forget(): void {
    for (const listener of this.#listeners) listener()
  }
}
