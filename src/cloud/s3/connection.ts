import type { S3Client } from '@aws-sdk/client-s3'
import { checkKey } from '../key-rules.ts'
import { type RetryPolicy, retrying } from '../retry.ts'
import type { S3Target } from '../target.ts'
import { createS3Client, type S3ClientOptions } from './client.ts'
import { type Place, translate } from './errors.ts'

/** For what can be sent again as it is. Bodies that are streams are tried once: only the caller has their bytes. */
const DEFAULT_RETRY: RetryPolicy = { attempts: 3, firstDelayMs: 100, maxDelayMs: 2_000 }

export interface S3ConnectionOptions extends S3ClientOptions {
  /** From 0 up to 1; spreads retries. */
  readonly random: () => number
  readonly retry?: RetryPolicy
}

/** A client, its place, and the way that requests of it are retried and their failures told. */
export class S3Connection {
  readonly client: S3Client
  readonly target: S3Target
  readonly place: Place
  readonly #retry: RetryPolicy
  readonly #random: () => number

  constructor(options: S3ConnectionOptions) {
    const { target, credentials } = options
    this.client = createS3Client(options)
    this.target = target
    this.place = {
      bucket: target.bucket,
      service: target.endpoint ?? 'Amazon S3',
      accessKeyId: credentials?.accessKeyId,
    }
    this.#retry = options.retry ?? DEFAULT_RETRY
    this.#random = options.random
  }

  fullKey(key: string): string {
    checkKey(key)
    const full = this.target.folder === '' ? key : `${this.target.folder}/${key}`
    checkKey(full)
    return full
  }

  /** Once; failures come in the stores' vocabulary, an abort as the signal's reason. */
  async once<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      signal?.throwIfAborted()
      throw translate(error, this.place)
    }
  }

  /** As often as it helps, for requests that can be sent again. */
  async again<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return retrying(() => this.once(work, signal), this.#retry, { random: this.#random, signal })
  }
}

export function abortBy(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal ? { abortSignal: signal } : {}
}

export function bareEtag(etag: string | undefined): string {
  return (etag ?? '').replace(/^"(.*)"$/, '$1')
}
