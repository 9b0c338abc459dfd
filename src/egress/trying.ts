/** Why a running push does not get on: requests that failed are tried again. */
export interface Trying {
  /** What the last of them failed with. */
  readonly reason: string
  /** How often that one was tried. */
  readonly times: number
  /** The first failure since a request last succeeded. */
  readonly sinceMs: number
}

/** What became of a push's requests; nothing is to be said of them from when one succeeds until one fails. */
export class Trials {
  readonly #nowMs: () => number
  #trying: Trying | undefined

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  get trying(): Trying | undefined {
    return this.#trying
  }

  failed({ message }: Error, times: number): void {
    this.#trying = { reason: message, times, sinceMs: this.#trying?.sinceMs ?? this.#nowMs() }
  }

  succeeded(): void {
    this.#trying = undefined
  }
}
