import { type RetryPolicy, retrying, StoreError } from '../cloud/index.ts'
import { DomainError } from '../kernel/index.ts'
import { ABANDON_AFTER_MS, RETRY_FOR_MS } from './limits.ts'
import type { Trials } from './trying.ts'

/** How what fails is tried again. */
export interface Patience {
  readonly retry: RetryPolicy
  readonly random: () => number
  readonly signal: AbortSignal
  /** Told of each try's end, for those who watch. */
  readonly trials?: Trials
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
  { retry, random, signal, trials }: Patience,
  work: () => Promise<Result>,
  nowMs: () => number = () => performance.now(),
  graceMs = ABANDON_AFTER_MS,
): Promise<Result> {
  const begunMs = nowMs()
  let tries = 0
  const once = async () => {
    tries++
    try {
      const result = await orAbandoned(work(), signal, graceMs)
      trials?.succeeded()
      return result
    } catch (error) {
      if (error instanceof StoreError && error.retryable) {
        trials?.failed(error, tries)
        if (nowMs() - begunMs >= RETRY_FOR_MS) throw gaveUp(error, tries)
      }
      throw error
    }
  }
  try {
    return await retrying(once, retry, { random, signal })
  } catch (error) {
    throw error instanceof StoreError && error.retryable ? gaveUp(error, tries) : error
  }
}

/**
 * What was asked for, or the signal's reason some time after it aborted: a target that sends a byte now and then must keep neither a
 * push from being cancelled nor the server from stopping. Until then it is waited for, since it may take effect all the same.
 */
export function orAbandoned<Result>(work: Promise<Result>, signal: AbortSignal, graceMs: number): Promise<Result> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const wait = () => {
      timer = setTimeout(() => reject(signal.reason), graceMs)
    }
    const end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', wait)
    }
    if (signal.aborted) wait()
    else signal.addEventListener('abort', wait, { once: true })
    work.finally(end).then(resolve, reject)
  })
}

function gaveUp(error: StoreError, tries: number): GaveUp {
  return new GaveUp(`${error.message} (tried ${tries} ${tries === 1 ? 'time' : 'times'})`, error.data, error)
}
