import { InvalidInput } from '../../kernel/index.ts'

/** Places that are looked at for one key: a hundred times what ordinary globs take for the longest, and some tens of milliseconds. */
const MAX_STEPS = 250_000

/** How much work the matching of one key may be: it is done where all requests are, and a glob is anybody's who owns a repo. */
export class Effort {
  readonly #path: string
  #left = MAX_STEPS

  constructor(path: string) {
    this.#path = path
  }

  /** Throws InvalidInput when it was too much. */
  spend(steps: number): void {
    this.#left -= steps
    if (this.#left >= 0) return
    throw new InvalidInput(
      `the glob takes too long on ${JSON.stringify(this.#path.slice(1, 100))}: use fewer groups and wildcards`,
    )
  }
}

/** What is matched: a path, or the folders that it begins with. */
export interface Subject {
  readonly path: string
  readonly effort: Effort
}
