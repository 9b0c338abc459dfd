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

/** A store that asks for a longer pause is asked again after this one all the same: it would hold up everything else. */
const MAX_RETRY_AFTER_MS = 30_000

/**
 * Tries again what failed with a retryable StoreError, after a pause that doubles each time and of which a random part is
 * taken ("full jitter": M. Brooker, Exponential Backoff and Jitter, AWS 2015), so that many that fail together do not come back
 * together. Where the store says how long to wait (Retry-After), that comes on top. Ends at once when the signal aborts. `random` gives numbers from 0 up to 1.
 */
export async function retrying<Result>(
  work: (attempt: number) => Promise<Result>,
  policy: RetryPolicy,
  { random, signal, pause = sleepUntil }: RetryContext,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted()
    try {
      return await work(attempt)
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof StoreError && error.retryable) || attempt >= policy.attempts) throw error
      const ceilingMs = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (attempt - 1))
      const askedMs = Math.min(error.retryAfterMs ?? 0, MAX_RETRY_AFTER_MS)
      await pause(Math.ceil(askedMs + ceilingMs * random()), signal)
    }
  }
}

interface RetryContext {
  readonly random: () => number
  readonly signal?: AbortSignal | undefined
  /** Ends early, with the signal's reason, when that aborts. Tests hand in another. */
  readonly pause?: (ms: number, signal: AbortSignal | undefined) => Promise<void>
}

async function sleepUntil(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(ms, undefined, signal ? { signal } : {})
  } catch (interrupted) {
    signal?.throwIfAborted()
    throw interrupted
  }
}
