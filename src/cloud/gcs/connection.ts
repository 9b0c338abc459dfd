import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Clock } from '../../kernel/index.ts'
import type { GcsCredentials } from '../credentials.ts'
import { told } from '../echoes.ts'
import { retryAfterMs } from '../explain.ts'
import { checkKey } from '../key-rules.ts'
import { networkError } from '../network-errors.ts'
import { StoreError, StoreRejected } from '../object-store.ts'
import { type RequestOptions, Requests } from '../requests.ts'
import { type GcsTarget, rootOf } from '../target.ts'
import type { TargetGuard } from '../target-guard.ts'
import { explain, type Place, type Subject } from './errors.ts'
import { type Identity, openIdentity } from './identity.ts'
import { GcsTransport, headerOf, type Outgoing, readAll } from './transport.ts'

/** How the store is reached. */
export interface GcsStoreOptions extends RequestOptions {
  readonly target: GcsTarget
  /** Undefined: the host's own cloud identity. */
  readonly credentials: GcsCredentials | undefined
  readonly guard: TargetGuard
  readonly clock: Clock
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
/** So much of a page is looked at for what it says. */
const MAX_PAGE_CHARS = 4096
/** "Resume Incomplete": how the JSON API says how far an upload is. */
const INCOMPLETE = 308

/** A bucket, who asks, and the way that requests are retried and their failures told. */
export class GcsConnection {
  readonly target: GcsTarget
  readonly place: Place
  readonly #transport: GcsTransport
  readonly #identity: Identity
  readonly #requests: Requests

  constructor(options: GcsStoreOptions) {
    const { target, credentials, guard } = options
    this.target = target
    this.#transport = new GcsTransport(target.endpoint ?? GOOGLE, guard)
    this.#identity = openIdentity(credentials, target, this.#transport.agents)
    this.place = {
      bucket: target.bucket,
      service: target.endpoint ?? 'Google Cloud Storage',
      account: this.#identity.account,
    }
    this.#requests = new Requests(options, (error) => this.translate(error))
  }

  fullKey(key: string): string {
    checkKey(key)
    const full = rootOf(this.target) + key
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
    return this.#requests.once(async () => {
      const answer = await this.#send(request)
      return {
        status: answer.statusCode ?? 0,
        headers: answer.headers,
        body: await readAll(answer, MAX_ANSWER_BYTES),
      }
    }, request.signal)
  }

  /** As often as it helps, for requests that can be sent again. */
  async again(request: GcsRequest): Promise<GcsAnswer> {
    return this.retrying(() => this.once(request), request.signal)
  }

  /** As often as it helps; resolves when the answer begins. */
  async open(request: GcsRequest): Promise<IncomingMessage> {
    return this.retrying(() => this.#send(request), request.signal)
  }

  async retrying<Result>(work: (attempt: number) => Promise<Result>, signal?: AbortSignal): Promise<Result> {
    return this.#requests.again(work, signal)
  }

  /** What the network did to an answer's body, in the stores' vocabulary. */
  translate(error: unknown): unknown {
    return error instanceof StoreError ? error : (networkError(error, this.place.service) ?? error)
  }

  close(): void {
    this.#transport.close()
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
      retryAfterMs: retryAfterMs(headerOf(answer.headers, 'retry-after'), headerOf(answer.headers, 'date')),
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

function readFailure(body: Buffer): { reason: string; message: string } {
  const text = body.toString('utf8')
  try {
    const { error } = JSON.parse(text) as { error?: { message?: unknown; errors?: { reason?: unknown }[] } }
    const reason = error?.errors?.[0]?.reason
    return {
      reason: typeof reason === 'string' ? told(reason) : '',
      message: typeof error?.message === 'string' ? told(error.message) : '',
    }
  } catch {
    // Proxies and emulators answer in plain words or HTML.
    return { reason: '', message: told(text.slice(0, MAX_PAGE_CHARS).replace(/<[^<>]*>/g, ' ')) }
  }
}
