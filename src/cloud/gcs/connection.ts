import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Clock } from '../../kernel/index.ts'
import type { GcsCredentials } from '../credentials.ts'
import { checkKey } from '../key-rules.ts'
import { networkError } from '../network-errors.ts'
import { StoreError, StoreRejected } from '../object-store.ts'
import { type RetryPolicy, retrying } from '../retry.ts'
import type { GcsTarget } from '../target.ts'
import type { TargetGuard } from '../target-guard.ts'
import { explain, type Place, type Subject } from './errors.ts'
import { type Identity, openIdentity } from './identity.ts'
import { GcsTransport, headerOf, type Outgoing, readAll } from './transport.ts'

/** How the store is reached. */
export interface GcsStoreOptions {
  readonly target: GcsTarget
  /** Undefined: the host's own cloud identity. */
  readonly credentials: GcsCredentials | undefined
  readonly guard: TargetGuard
  readonly clock: Clock
  /** From 0 up to 1; spreads retries. */
  readonly random: () => number
  readonly retry?: RetryPolicy
}

/** A request of the JSON API. */
export interface GcsRequest extends Outgoing {
  /** What is missing when the answer is 404. */
  readonly subject: Subject
}

/** An answer that was read to its end. */
export interface GcsAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

const GOOGLE = 'https://storage.googleapis.com'
/** A page of 1,000 of the longest names, each escaped, is far below. */
const MAX_ANSWER_BYTES = 32 * 1024 * 1024
const MAX_MESSAGE_CHARS = 500
/** So much of a page is looked at for what it says. */
const MAX_PAGE_CHARS = 4096
/** For what can be sent again as it is. Bodies that are streams are tried once: only the caller has their bytes. */
const DEFAULT_RETRY: RetryPolicy = { attempts: 3, firstDelayMs: 100, maxDelayMs: 2_000 }
/** "Resume Incomplete": how the JSON API says how far an upload is. */
const INCOMPLETE = 308

/** A bucket, who asks, and the way that requests are retried and their failures told. */
export class GcsConnection {
  readonly target: GcsTarget
  readonly place: Place
  readonly #transport: GcsTransport
  readonly #identity: Identity
  readonly #retry: RetryPolicy
  readonly #random: () => number

  constructor({ target, credentials, guard, random, retry = DEFAULT_RETRY }: GcsStoreOptions) {
    this.target = target
    this.#transport = new GcsTransport(target.endpoint ?? GOOGLE, guard)
    this.#identity = openIdentity(credentials, target, this.#transport.agents)
    this.place = {
      bucket: target.bucket,
      service: target.endpoint ?? 'Google Cloud Storage',
      account: this.#identity.account,
    }
    this.#retry = retry
    this.#random = random
  }

  fullKey(key: string): string {
    checkKey(key)
    const full = this.target.folder === '' ? key : `${this.target.folder}/${key}`
    checkKey(full)
    const refused = refusedName(full)
    if (refused) throw new StoreRejected(`Google Cloud Storage holds no object ${refused}`, { key })
    return full
  }

  /** The path of the bucket's objects, or of one, in the JSON API. */
  path(name?: string): string {
    const objects = `/storage/v1/b/${encodeURIComponent(this.target.bucket)}/o`
    return name === undefined ? objects : `${objects}/${encodeURIComponent(name)}`
  }

  /** Once; the answer is read to its end. Failures come in the stores' vocabulary, an abort as the signal's reason. */
  async once(request: GcsRequest): Promise<GcsAnswer> {
    return this.#told(request, async () => {
      const answer = await this.#send(request)
      return {
        status: answer.statusCode ?? 0,
        headers: answer.headers,
        body: await readAll(answer, MAX_ANSWER_BYTES),
      }
    })
  }

  /** As often as it helps, for requests that can be sent again. */
  async again(request: GcsRequest): Promise<GcsAnswer> {
    return this.retrying(() => this.once(request), request.signal)
  }

  /** As often as it helps; resolves when the answer begins. */
  async open(request: GcsRequest): Promise<IncomingMessage> {
    return this.retrying(() => this.#told(request, () => this.#send(request)), request.signal)
  }

  async retrying<Result>(work: (attempt: number) => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return retrying(work, this.#retry, { random: this.#random, signal })
  }

  /** What the network did to an answer's body, in the stores' vocabulary. */
  translate(error: unknown): unknown {
    return error instanceof StoreError ? error : (networkError(error, this.place.service) ?? error)
  }

  close(): void {
    this.#transport.close()
  }

  async #told<Result>({ signal }: GcsRequest, work: () => Promise<Result>): Promise<Result> {
    try {
      signal?.throwIfAborted()
      return await work()
    } catch (error) {
      signal?.throwIfAborted()
      throw this.translate(error)
    }
  }

  async #send(request: GcsRequest): Promise<IncomingMessage> {
    const authorization = await this.#identity.authorization()
    const answer = await this.#transport.send({ ...request, headers: { ...request.headers, authorization } })
    const status = answer.statusCode ?? 0
    if ((status >= 200 && status < 300) || (status === INCOMPLETE && request.subject === 'upload')) return answer
    const said = readFailure(await readAll(answer, MAX_ANSWER_BYTES))
    const failure = {
      status,
      ...said,
      location: headerOf(answer.headers, 'location'),
      retryAfterMs: retryAfterMs(headerOf(answer.headers, 'retry-after')),
    }
    throw explain(failure, this.place, request.subject)
  }
}

/** A query of names and values; what is undefined is left out. */
export function query(values: Readonly<Record<string, string | undefined>>): string {
  const pairs = Object.entries(values).filter((pair): pair is [string, string] => pair[1] !== undefined)
  return `?${pairs.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}`
}

/** Google: "Object naming guidelines". */
function refusedName(name: string): string | undefined {
  if (name === '.' || name === '..') return `called ${name}`
  if (/[\r\n]/.test(name)) return 'with a line break in its name'
  if (name.startsWith('.well-known/acme-challenge/')) return 'under .well-known/acme-challenge/'
  return undefined
}

/** In seconds; the other form that HTTP knows, a date, is not what the service sends. */
function retryAfterMs(value: string | undefined): number | undefined {
  return value !== undefined && /^\d{1,6}$/.test(value) ? Number(value) * 1000 : undefined
}

function readFailure(body: Buffer): { reason: string; message: string } {
  const text = body.toString('utf8')
  try {
    const { error } = JSON.parse(text) as { error?: { message?: unknown; errors?: { reason?: unknown }[] } }
    const reason = error?.errors?.[0]?.reason
    return {
      reason: typeof reason === 'string' ? clean(reason) : '',
      message: typeof error?.message === 'string' ? clean(error.message) : '',
    }
  } catch {
    // Proxies and emulators answer in plain words or HTML.
    return { reason: '', message: clean(text.slice(0, MAX_PAGE_CHARS).replace(/<[^<>]*>/g, ' ')) }
  }
}

/** An upload's id lets whoever has it write: it is in no message. */
function clean(text: string): string {
  return text
    .replace(/upload_id=[^&\s"']*/g, 'upload_id=…')
    .toWellFormed()
    .replace(/[\p{Cc}\s]+/gu, ' ')
    .trim()
    .slice(0, MAX_MESSAGE_CHARS)
}
