import type { S3Client } from '@aws-sdk/client-s3'
import type { Clock } from '../../kernel/index.ts'
import { checkKey } from '../key-rules.ts'
import { isMissingObject, type PutOptions, StorePreconditionFailed } from '../object-store.ts'
import { type RequestOptions, Requests } from '../requests.ts'
import { rootOf, type S3Target } from '../target.ts'
import { isPage } from './answers.ts'
import { createS3Client, type S3ClientOptions, type S3Clients } from './client.ts'
import { notAnObject, type Place, translate } from './errors.ts'

export interface S3ConnectionOptions extends S3ClientOptions, RequestOptions {
  readonly clock: Clock
}

/** A client, its place, and the way that requests of it are retried and their failures told. */
export class S3Connection {
  readonly client: S3Client
  readonly clients: S3Clients
  readonly clock: Clock
  readonly target: S3Target
  readonly place: Place
  readonly #requests: Requests

  constructor(options: S3ConnectionOptions) {
    const { target, credentials } = options
    this.clients = createS3Client(options)
    this.client = this.clients.client
    this.clock = options.clock
    this.target = target
    this.place = {
      bucket: target.bucket,
      service: target.endpoint ?? 'Amazon S3',
      accessKeyId: credentials?.accessKeyId,
    }
    refusePages(this.client, this.place)
    this.#requests = new Requests(options, (error) => translate(error, this.place))
  }

  fullKey(key: string): string {
    checkKey(key)
    const full = rootOf(this.target) + key
    checkKey(full)
    return full
  }

  /** Once; failures come in the stores' vocabulary, an abort as the signal's reason. */
  async once<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return this.#requests.once(work, signal)
  }

  /** As often as it helps, for requests that can be sent again. */
  async again<Result>(work: () => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return this.#requests.again(work, signal)
  }

  /**
   * A write under a condition is tried once: had only the answer been lost, the next try would find its own object. Where an object was
   * expected and there is none, S3 says that there is none.
   */
  async written<Result>(work: () => Promise<Result>, only: PutOptions['only'], signal?: AbortSignal): Promise<Result> {
    if (only === undefined) return this.again(work, signal)
    try {
      return await this.once(work, signal)
    } catch (error) {
      if (!isMissingObject(error)) throw error
      throw new StorePreconditionFailed('there is no such object', {}, error)
    }
  }
}

/** The SDK takes a page of somebody else's for a success without content. Objects may be pages: those are told by their ETag. */
function refusePages(client: S3Client, place: Place): void {
  const objects = new Set(['PutObjectCommand', 'GetObjectCommand', 'HeadObjectCommand'])
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const result = await next(args)
      const { statusCode, headers = {} } = result.response as { statusCode?: number; headers?: Record<string, string> }
      // Some servers call the nothing that they answer HTML.
      const hasBody = statusCode !== 204 && headers['content-length'] !== '0'
      if (hasBody && isPage(headers) && !objects.has(context['commandName'] ?? '')) throw notAnObject(place)
      return result
    },
    { step: 'build', name: 'refusePages' },
  )
}
