import { type RetryPolicy, retrying, StoreError } from '../cloud/index.ts'
import { DomainError } from '../kernel/index.ts'
import { RETRY_FOR_MS } from './limits.ts'

/** How what fails is tried again. */
export interface Patience {
  readonly retry: RetryPolicy
  readonly random: () => number
  readonly signal: AbortSignal
}

/** It was tried as often, or for as long, as it is worth. The message is the last failure's, and says how often. */
export class GaveUp extends DomainError {
  readonly code = 'GaveUp'
}

/**
 * Tries a request again as long as that may help, and neither the policy's attempts nor `RETRY_FOR_MS` are used up. Throws GaveUp
 * after that; at once what no try can help, and the signal's reason.
 */
export async function again<Result>(
  { retry, random, signal }: Patience,
  work: () => Promise<Result>,
  nowMs: () => number = () => performance.now(),
): Promise<Result> {
  const begunMs = nowMs()
  let tries = 0
  const once = async () => {
    tries++
    try {
      return await work()
    } catch (error) {
      if (error instanceof StoreError && error.retryable && nowMs() - begunMs >= RETRY_FOR_MS)
        throw gaveUp(error, tries)
      throw error
    }
  }
  try {
    return await retrying(once, retry, { random, signal })
  } catch (error) {
    throw error instanceof StoreError && error.retryable ? gaveUp(error, tries) : error
  }
}

function gaveUp(error: StoreError, tries: number): GaveUp {
  return new GaveUp(`${error.message} (tried ${tries} ${tries === 1 ? 'time' : 'times'})`, error.data, error)
}
