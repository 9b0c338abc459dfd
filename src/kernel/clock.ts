/** Time is handed in, so that a test can set it. `now()` is in milliseconds since 1970. */
export interface Clock {
  now(): number
}

/** The clock of the machine. */
export const systemClock: Clock = { now: () => Date.now() }
