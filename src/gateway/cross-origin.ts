import type { IncomingMessage } from 'node:http'
import { DomainError, type Log, type RequestUrl } from '../kernel/index.ts'
import type { CrossOriginRule, Versioning } from '../versioning/index.ts'
import { parseBucket } from './s3/addressing.ts'
import { readBucketSetting } from './s3/bucket-settings.ts'
import { S3Error } from './s3/codes.ts'
import { type CrossOriginRequest, crossOriginHeaders } from './s3/cors.ts'
import type { Reply, ReplyHeaders } from './s3/operation.ts'

/** Of a preflight: far more than a page has reason to ask for. */
const MAX_REQUESTED_HEADERS = 100

/**
 * Answers to pages in browsers, by the rules of the bucket. A preflight is never signed, so it tells nothing but what the rules allow:
 * a bucket without rules and one that does not exist are answered alike.
 */
export class CrossOrigin {
  readonly #versioning: Versioning
  readonly #log: Log

  constructor(versioning: Versioning, log: Log) {
    this.#versioning = versioning
    this.#log = log
  }

  /** The answer to OPTIONS. Throws BadRequest, AccessForbidden. */
  async preflight(message: IncomingMessage, bucketName: string): Promise<Reply> {
    const { origin } = message.headers
    const method = text(message, 'access-control-request-method')
    if (origin === undefined) {
      throw new S3Error('BadRequest', 'Insufficient information. Origin request header needed.')
    }
    if (method === undefined) throw new S3Error('BadRequest', 'Invalid Access-Control-Request-Method: null')
    const asked = text(message, 'access-control-request-headers') ?? ''
    const headers = asked
      .split(',', MAX_REQUESTED_HEADERS + 1)
      .map((name) => name.trim().toLowerCase())
      .filter((name) => name !== '')
    const rules = await this.#rules(bucketName)
    if (!rules) throw forbidden('CORS is not enabled for this bucket.', method)
    const allowed =
      headers.length <= MAX_REQUESTED_HEADERS ? crossOriginHeaders(rules, { origin, method, headers }) : undefined
    if (allowed) return { status: 200, headers: allowed }
    throw forbidden(
      'This CORS request is not allowed: no rule of the bucket allows this Origin with this Access-Control-Request-Method and these Access-Control-Request-Headers.',
      method,
    )
  }

  /** What is added to the answer, also to a refusal; nothing where no rule allows it. Never rejects. */
  async headersFor(message: IncomingMessage, bucketName: string): Promise<ReplyHeaders> {
    const { origin } = message.headers
    if (origin === undefined || bucketName === '') return {}
    // A browser says the method by making the request; whoever names another asks about that one.
    const method = text(message, 'access-control-request-method') ?? message.method ?? ''
    const request: CrossOriginRequest = { origin, method, headers: [] }
    try {
      const rules = await this.#rules(bucketName)
      return (rules && crossOriginHeaders(rules, request)) ?? {}
    } catch (error) {
      this.#log.error({ err: error }, 'reading the cross-origin rules failed')
      return {}
    }
  }

  async #rules(bucketName: string): Promise<readonly CrossOriginRule[] | undefined> {
    const versioning = this.#versioning
    try {
      const bucket = parseBucket(bucketName)
      return await readBucketSetting(
        {
          target: ({ repo, name }) => versioning.resolve(repo, name),
          describe: (target) => versioning.describe(target),
        },
        bucket,
        (at) => versioning.settings.crossOrigin(at),
      )
    } catch (error) {
      // No such bucket, or no commit to read from yet: there is no rule either.
      if (error instanceof S3Error || error instanceof DomainError) return undefined
      throw error
    }
  }
}

/** The bucket that a request's path or host names; '' for the service. Nothing is checked yet. */
export function bucketNameOf(url: RequestUrl, hostBucket: string | undefined): string {
  return hostBucket ?? url.path.slice(1).split('/', 1)[0] ?? ''
}

function text(message: IncomingMessage, name: string): string | undefined {
  const value = message.headers[name]
  return typeof value === 'string' && value !== '' ? value : undefined
}

function forbidden(why: string, method: string): S3Error {
  return new S3Error('AccessForbidden', `CORSResponse: ${why}`, { Method: method.slice(0, 20), ResourceType: 'BUCKET' })
}
