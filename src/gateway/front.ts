import type { IncomingMessage, ServerResponse } from 'node:http'
import {
  authorize,
  type KeyRing,
  type Log,
  parseRequestUrl,
  type RequestUrl,
  type Verified,
  verifyRequest,
} from '../kernel/index.ts'
import { CONTROL_FOLDER, isControlPath } from '../versioning/index.ts'
import { getControlDocument } from './control/get-document.ts'
import { RequestContext, type Services } from './request-context.ts'
import { parseBucket, readKey } from './s3/addressing.ts'
import { RequestBody } from './s3/body/source.ts'
import { S3Error } from './s3/codes.ts'
import { controlFolderReadOnly } from './s3/control-keys.ts'
import { errorDocument } from './s3/error-document.ts'
import { toS3Error } from './s3/errors.ts'
import type { Operation, Reply } from './s3/operation.ts'
import { findRoute, levelOf } from './s3/registry.ts'
import { type BucketRequest, buildRequest, type ObjectRequest, type S3Request } from './s3/request.ts'
import { discardRest, sendReply } from './send.ts'

interface FrontOptions {
  readonly services: Services
  readonly keys: KeyRing
  readonly log: Log
  readonly apiPort: number
  /** Whether every request is logged, not only what went wrong. */
  readonly logRequests: boolean
  nextId(): string
}

interface Exchange {
  readonly id: string
  readonly message: IncomingMessage
  readonly response: ServerResponse
  readonly body: RequestBody
}

/**
 * The one way in: URL, signature, operation, right, and only then any effect. What is thrown anywhere behind it becomes an S3 error
 * here.
 */
export class Front {
  readonly #options: FrontOptions
  readonly #findKey: KeyRing['find']

  constructor(options: FrontOptions) {
    this.#options = options
    this.#findKey = (accessKeyId) => options.keys.find(accessKeyId)
  }

  /** Answers one request; never rejects. */
  async handle(message: IncomingMessage, response: ServerResponse, expectsContinue: boolean): Promise<void> {
    const id = this.#options.nextId()
    const exchange = { id, message, response, body: new RequestBody(message, response, expectsContinue) }
    try {
      const url = parseRequestUrl(message.url ?? '')
      const reply = isBrowserVisit(message, url) ? pointer(this.#options.apiPort) : await this.#answer(exchange, url)
      await this.#send(exchange, reply)
    } catch (error) {
      await this.#refuse(exchange, error)
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
    const verified = await verifyRequest(
      {
        method: message.method ?? '',
        rawUrl: message.url ?? '',
        headers: message.headers,
        rawHeaders: message.rawHeaders,
        url,
      },
      { findKey: this.#findKey, nowMs: services.clock.now(), region: services.region },
    )
    const request = buildRequest(exchange.id, message, url, verified)
    const operation = chooseOperation(request)
    const typed = typeRequest(request, operation)
    authorize(verified.key, operation.needs, (typed as Partial<BucketRequest>).bucket?.repo)
    checkExpectedOwner(request, verified)
    const context = new RequestContext(services, {
      request,
      verified,
      body: exchange.body,
      response: exchange.response,
    })
    return operation.handle(typed, await context.receiveDocument(operation), context)
  }

  async #refuse(exchange: Exchange, error: unknown): Promise<void> {
    const { id, message, response } = exchange
    const refusal = toS3Error(error)
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

  async #send({ id, message, response, body }: Exchange, reply: Reply): Promise<void> {
    // Whether a body that was never asked for still comes is the client's choice, so Node ends such a connection itself.
    if (!message.complete && !body.isWithheld) discardRest(message)
    await sendReply(message, response, reply, id)
  }
}

/** By the registry; the control folder is ours. */
function chooseOperation(request: S3Request): Operation {
  if (levelOf(request) !== 'object' || !isControlPath(request.keyText)) return findRoute(request).operation
  const reads = request.method === 'GET' || request.method === 'HEAD'
  const plain = [...request.query.keys()].every((name) => name === 'x-id')
  if (!reads) throw controlFolderReadOnly()
  if (!plain || !request.keyText.startsWith(CONTROL_FOLDER)) return findRoute(request).operation
  return getControlDocument
}

/** With the bucket and key that the operation's level has, parsed. */
function typeRequest(request: S3Request, operation: Operation): S3Request | BucketRequest | ObjectRequest {
  if (operation.on === 'service') return request
  const bucket = parseBucket(request.bucketName)
  if (operation.on === 'bucket') return { ...request, bucket }
  return { ...request, bucket, key: readKey(request.keyText) }
}

function checkExpectedOwner({ headers }: S3Request, { key }: Verified): void {
  for (const name of ['x-amz-expected-bucket-owner', 'x-amz-source-expected-bucket-owner']) {
    const expected = headers[name]
    if (expected === undefined || expected === key.canonicalId) continue
    throw new S3Error('AccessDenied', `The bucket is not owned by what ${name} says; its owner is ${key.canonicalId}`)
  }
}

function isBrowserVisit(message: IncomingMessage, url: RequestUrl): boolean {
  return (
    url.path === '/' &&
    url.query.length === 0 &&
    message.method === 'GET' &&
    message.headers.authorization === undefined &&
    message.headers.accept?.includes('text/html') === true
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
