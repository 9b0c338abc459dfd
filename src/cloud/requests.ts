import { type RetryPolicy, retrying } from './retry.ts'

/** For what can be sent again as it is. Bodies that are streams are tried once: only the caller has their bytes. */
const DEFAULT_RETRY: RetryPolicy = { attempts: 3, firstDelayMs: 100, maxDelayMs: 2_000 }

export interface RequestOptions {
  /** From 0 up to 1; spreads retries. */
  readonly random: () => number
  readonly retry?: RetryPolicy
}

/** The way that requests to a store are retried and their failures told. */
export class Requests {
  readonly #retry: RetryPolicy
  readonly #random: () => number
  readonly #translate: (error: unknown) => unknown

  /** `translate` turns what a request throws into the stores' vocabulary. */
  constructor({ random, retry = DEFAULT_RETRY }: RequestOptions, translate: (error: unknown) => unknown) {
    this.#random = random
    this.#retry = retry
    this.#translate = translate
  }

  /** Once; failures come in the stores' vocabulary, an abort as the signal's reason. */
  async once<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    signal?.throwIfAborted()
    try {
      return await work()
    } catch (error) {
      signal?.throwIfAborted()
      throw this.#translate(error)
    }
  }

  /** As often as it helps, for requests that can be sent again. */
  async again<Result>(work: (attempt: number) => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return retrying((attempt) => this.once(() => work(attempt), signal), this.#retry, { random: this.#random, signal })
  }
}

/** A signal, as the clients' libraries take one. */
export function abortBy(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal ? { abortSignal: signal } : {}
}
