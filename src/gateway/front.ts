import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  type AccessKey,
  type KeyRing,
  type Log,
  parseRequestUrl,
  type RequestUrl,
  verifyRequest,
} from '../kernel/index.ts'
import { CONTROL_FOLDER, isControlPath } from '../versioning/index.ts'
import { admit, checkExpectedOwners, needOf, placeOf } from './admission.ts'
import { getControlDocument } from './control/get-document.ts'
import { COMMIT_KEY, putCommit } from './control/put-commit.ts'
import { bucketNameOf, CrossOrigin } from './cross-origin.ts'
import { type Guest, Guests } from './guests.ts'
import { RequestContext, type Services } from './request-context.ts'
import type { Observer, RequestRecord } from './request-record.ts'
import { parseBucket, readKey } from './s3/addressing.ts'
import { RequestBody } from './s3/body/source.ts'
import { controlFolderReadOnly } from './s3/control-keys.ts'
import { errorDocument } from './s3/error-document.ts'
import { toS3Error } from './s3/errors.ts'
import type { Operation, Reply } from './s3/operation.ts'
import { findRoute, levelOf } from './s3/registry.ts'
import { type BucketRequest, buildRequest, type ObjectRequest, type S3Request } from './s3/request.ts'
import { bucketOfHost } from './s3/virtual-host.ts'
import { discardRest, sendReply } from './send.ts'

interface FrontOptions {
  readonly services: Services
  readonly keys: KeyRing
  readonly log: Log
  readonly apiPort: number
  /** Below them a host's name says the bucket. */
  readonly domains: readonly string[]
  /** Whether what is shared with everybody is shown to those who send no key. */
  readonly anonymous: boolean
  /** Whether every request is logged, not only what went wrong. */
  readonly logRequests: boolean
  readonly observer: Observer
  /** After how long a body that stands still is given up. */
  readonly bodyIdleMs: number
  /** After how long an answer that nobody takes is given up. */
  readonly sendIdleMs: number
  nextId(): string
}

interface Exchange {
  readonly id: string
  readonly message: IncomingMessage
  readonly response: ServerResponse
  readonly body: RequestBody
  readonly record: RequestRecord
  /** Of a request that a page in a browser makes: the bucket whose rules say what the page may see. */
  readonly page: { bucketName: string }
}

/**
 * The one way in: URL, signature, operation, right, and only then any effect. What is thrown anywhere behind it becomes an S3 error
 * here.
 */
export class Front {
  readonly #options: FrontOptions
  readonly #findKey: KeyRing['find']
  readonly #crossOrigin: CrossOrigin
  readonly #guests: Guests

  constructor(options: FrontOptions) {
    this.#options = options
    this.#findKey = (accessKeyId, sessionToken) => options.keys.find(accessKeyId, sessionToken)
    this.#crossOrigin = new CrossOrigin(options.services.versioning, options.log)
    this.#guests = new Guests(options.services.versioning, options.anonymous)
  }

  /** Answers one request; never rejects. */
  async handle(message: IncomingMessage, response: ServerResponse, expectsContinue: boolean): Promise<void> {
    const id = this.#options.nextId()
    const { observer, bodyIdleMs } = this.#options
    const body = new RequestBody(message, response, expectsContinue, bodyIdleMs)
    const record = observer.begin(id, message)
    const exchange = { id, message, response, body, record, page: { bucketName: '' } }
    try {
      const url = parseRequestUrl(message.url ?? '')
      const reply = isBrowserVisit(message, url, this.#options.domains)
        ? pointer(this.#options.apiPort)
        : await this.#answer(exchange, url)
      await this.#send(exchange, reply)
    } catch (error) {
      await this.#refuse(exchange, error)
    } finally {
      observer.end(record, message, response, body.received)
    }
    if (this.#options.logRequests) {
      this.#options.log.debug(
        { requestId: id, method: message.method, url: pathOf(message), status: response.statusCode },
        'request',
      )
    }
  }

  async #answer(exchange: Exchange, url: RequestUrl): Promise<Reply> {
    const { message } = exchange
    const { services } = this.#options
    const hostBucket = bucketOfHost(message.headers.host, this.#options.domains)
    if (message.method === 'OPTIONS') {
      exchange.record.operation = 'Preflight'
      return this.#crossOrigin.preflight(message, bucketNameOf(url, hostBucket))
    }
    // Also for what is refused below: a page is to see why.
    if (message.headers.origin !== undefined) exchange.page.bucketName = bucketNameOf(url, hostBucket)
    const verified = await verifyRequest(
      {
        method: message.method ?? '',
        rawUrl: message.url ?? '',
        headers: message.headers,
        rawHeaders: message.rawHeaders,
        url,
      },
      { findKey: this.#findKey, nowMs: services.clock.now(), region: services.region },
    ).catch((error: unknown) => this.#guests.anonymous(message, error))
    const request = buildRequest(exchange.id, message, url, verified, hostBucket)
    const { record } = exchange
    record.request = request
    record.caller = verified.key
    const operation = chooseOperation(request)
    record.operation = operation.name
    const typed = typeRequest(request, operation)
    const guest = await this.#admit(verified.key, operation, typed)
    if (expectsOwner(request)) await checkExpectedOwners(services, verified.key, typed)
    const context = new RequestContext(services, {
      request,
      verified,
      body: exchange.body,
      response: exchange.response,
      guest,
    })
    if (guest) {
      return guest.run(async () => operation.handle(typed, await context.receiveDocument(operation), context))
    }
    return operation.handle(typed, await context.receiveDocument(operation), context)
  }

  /** Undefined for a key that has the right; a guest for who is let in by what is shared. Throws AccessDenied, RepoNotFound. */
  async #admit(
    key: AccessKey,
    operation: Operation,
    typed: S3Request | BucketRequest | ObjectRequest,
  ): Promise<Guest | undefined> {
    const { services } = this.#options
    const repo = 'bucket' in typed ? typed.bucket.repo : undefined
    const need = needOf(typed, operation)
    try {
      if (need === 'known') this.#guests.refuseNobody(key)
      await admit({ services, key }, need, repo, placeOf(typed, operation))
      return undefined
    } catch (error) {
      return this.#guests.admit(key, operation, typed, error)
    }
  }

  async #refuse(exchange: Exchange, error: unknown): Promise<void> {
    const { id, message, response } = exchange
    const refusal = toS3Error(error)
    this.#options.observer.refused(exchange.record, refusal, error)
    if (refusal.status === 500) {
      this.#options.log.error(
        { requestId: id, method: message.method, url: pathOf(message), err: error },
        'internal error',
      )
    }
    if (response.headersSent || response.destroyed) {
      response.destroy()
      return
    }
    await this.#send(exchange, {
      status: refusal.status,
      headers: { 'Content-Type': 'application/xml', ...refusal.headers },
      body: errorDocument(refusal, { id, path: pathOf(message) }),
    })
  }

  async #send({ id, message, response, body, record, page }: Exchange, reply: Reply): Promise<void> {
    if (page.bucketName !== '') {
      Object.assign(reply.headers, await this.#crossOrigin.headersFor(message, page.bucketName))
    }
    this.#options.observer.answered(record, reply)
    // Whether a body that was never asked for still comes is the client's choice, so Node ends such a connection itself.
    if (!message.complete && !body.isWithheld) discardRest(message)
    await sendReply(message, response, reply, id, record, this.#options.sendIdleMs)
  }
}

/** By the registry; the control folder is ours. */
function chooseOperation(request: S3Request): Operation {
  if (levelOf(request) !== 'object' || !isControlPath(request.keyText)) return findRoute(request).operation
  const reads = request.method === 'GET' || request.method === 'HEAD'
  const plain = [...request.query.keys()].every((name) => name === 'x-id')
  if (request.method === 'PUT' && request.keyText === COMMIT_KEY && plain && !isCopy(request)) return putCommit
  if (!reads) throw controlFolderReadOnly()
  if (!plain || !request.keyText.startsWith(CONTROL_FOLDER)) return findRoute(request).operation
  return getControlDocument
}

/** Content that lies in a bucket is no message. */
function isCopy({ headers }: S3Request): boolean {
  return headers['x-amz-copy-source'] !== undefined
}

/** With the bucket and key that the operation's level has, parsed. */
function typeRequest(request: S3Request, operation: Operation): S3Request | BucketRequest | ObjectRequest {
  if (operation.on === 'service') return request
  const bucket = parseBucket(request.bucketName)
  if (operation.on === 'bucket') return { ...request, bucket }
  return { ...request, bucket, key: readKey(request.keyText) }
}

function expectsOwner({ headers }: S3Request): boolean {
  return (
    headers['x-amz-expected-bucket-owner'] !== undefined || headers['x-amz-source-expected-bucket-owner'] !== undefined
  )
}

function isBrowserVisit(message: IncomingMessage, url: RequestUrl, domains: readonly string[]): boolean {
  return (
    url.path === '/' &&
    url.query.length === 0 &&
    message.method === 'GET' &&
    message.headers.authorization === undefined &&
    message.headers.accept?.includes('text/html') === true &&
    bucketOfHost(message.headers.host, domains) === undefined
  )
}

function pointer(apiPort: number): Reply {
  return {
    status: 200,
    headers: { 'Content-Type': 'text/plain; charset=utf-8', 'Cache-Control': 'no-store' },
    body: `This is the S3 endpoint of Sluice: use it with any S3 tool. The HTTP API is on port ${apiPort}.\n`,
  }
}

/** For logs and error documents: the decoded path without the query, which may hold a signature. */
function pathOf(message: IncomingMessage): string {
  const raw = message.url ?? ''
  try {
    return parseRequestUrl(raw).path
  } catch {
    // It can't be decoded, which is why it was refused.
    return raw.split('?', 1)[0] ?? ''
  }
}
