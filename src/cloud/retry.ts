import { setTimeout as sleep } from 'node:timers/promises'
import { StoreError } from './object-store.ts'

/** How often, and after which pauses, something is tried again. */
export interface RetryPolicy {
  /** How often it is tried in all. */
  readonly attempts: number
  /** The first pause; each further one is at most twice as long. */
  readonly firstDelayMs: number
  readonly maxDelayMs: number
}

/**
 * Tries again what failed with a retryable StoreError, after a pause that doubles each time and of which a random part is
 * taken ("full jitter": M. Brooker, Exponential Backoff and Jitter, AWS 2015), so that many that fail together do not come back
 * together. Ends at once when the signal aborts. `random` gives numbers from 0 up to 1.
 */
export async function retrying<Result>(
  work: (attempt: number) => Promise<Result>,
  policy: RetryPolicy,
  { random, signal }: { random: () => number; signal?: AbortSignal | undefined },
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    try {
      return await work(attempt)
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof StoreError && error.retryable) || attempt >= policy.attempts) throw error
      const ceilingMs = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (attempt - 1))
      await sleep(Math.ceil(ceilingMs * random()), undefined, signal ? { signal } : {}).catch(
        (interrupted: unknown) => {
          signal?.throwIfAborted()
          throw interrupted
        },
      )
    }
  }
}
