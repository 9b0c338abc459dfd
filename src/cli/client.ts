import { hash } from 'node:crypto'
import http from 'node:http'
import https from 'node:https'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { rootCertificates } from 'node:tls'
import type { ErrorJson, WorkingJson } from '../api/contract.ts'
import { encodeRfc3986, errnoOf, errorMessage, type KeyPair, signRequest } from '../kernel/index.ts'
import { ApiError, CliError, UsageError } from './errors.ts'

/** A path of the API: values put into it are percent-encoded. An empty one would lead to another path, and is refused. */
export function apiPath(parts: TemplateStringsArray, ...values: readonly string[]): string {
  if (values.includes('')) throw new UsageError('a name or id is empty: is the variable that it comes from set?')
  return parts.map((part, index) => part + (index < values.length ? encodeRfc3986(values[index]!) : '')).join('')
}

/** A query string of what is not undefined; empty if nothing is. */
export function queryString(values: Readonly<Record<string, string | number | boolean | undefined>>): string {
  const pairs = Object.entries(values).filter(([, value]) => value !== undefined && value !== false)
  const text = pairs.map(([name, value]) => `${name}=${encodeRfc3986(String(value))}`).join('&')
  return text === '' ? '' : `?${text}`
}

export interface Download {
  readonly stream: Readable
  readonly size: number
  readonly etag: string
}

/** A body to be sent. */
export interface Upload {
  readonly stream: Readable
  /** Undefined of a pipe, whose end nobody knows. */
  readonly size: number | undefined
  /** Hex SHA-256 of the whole, where it is known before: it is then signed. */
  readonly sha256: string | undefined
  readonly contentType: string | undefined
}

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'

const EMPTY_SHA256 = hash('sha256', '', 'hex')
/** Errors are short, but for conflicts with fifty long names; a page that some other server answers with need not be. */
const MAX_ERROR_BYTES = 512 * 1024
/** Far above the 15 s between signs of life on streams, and above what finishing a huge commit takes. */
const SILENCE_MS = 600_000

/** What OpenSSL and Node say of a certificate that they don't believe. */
const untrusted = /CERT|SELF_SIGNED|ERR_TLS|UNABLE_TO_VERIFY/

/** Speaks to the API of one server. */
export class ApiClient {
  readonly url: string
  readonly #key: KeyPair
  readonly #region: string
  readonly #agent: http.Agent
  readonly #transport: typeof http | typeof https
  readonly #signal: AbortSignal

  /** `ca`: certificates in PEM that an https server is believed by besides the usual ones. */
  constructor(options: { url: string; key: KeyPair; region: string; signal: AbortSignal; ca?: string }) {
    this.url = options.url
    this.#key = options.key
    this.#region = options.region
    this.#signal = options.signal
    this.#transport = options.url.startsWith('https:') ? https : http
    const ca = options.ca === undefined ? {} : { ca: [...rootCertificates, options.ca] }
    this.#agent = new this.#transport.Agent({ keepAlive: true, ...ca })
  }

  get<T>(path: string): Promise<T> {
    return this.#json<T>('GET', path)
  }

  post<T>(path: string, body: unknown): Promise<T> {
    return this.#json<T>('POST', path, body)
  }

  put<T>(path: string, body: unknown): Promise<T> {
    return this.#json<T>('PUT', path, body)
  }

  /** A request without a body whose effect is in its path. */
  act<T>(path: string): Promise<T> {
    return this.#json<T>('POST', path)
  }

  delete<T = void>(path: string): Promise<T> {
    return this.#json<T>('DELETE', path)
  }

  /** JSON lines, as they come; an error line is thrown. */
  async *lines<T>(method: Method, path: string, body?: unknown): AsyncGenerator<T> {
    yield* this.#linesOf<T>(await this.#send(method, path, body))
  }

  /**
   * A request whose work may last: says how far it is, now and then, and returns what is answered in the end. It is waited for as long as the
   * server shows that it works.
   */
  async work<T>(path: string, body: object, onStep: (step: WorkingJson) => void): Promise<T> {
    for await (const line of this.lines<T | WorkingJson>('POST', path, { ...body, progress: true })) {
      if (!isWorking(line)) return line
      onStep(line)
    }
    throw new CliError('the server ended before it said what it did: look at `sluice commit list`, and ask again')
  }

  async *#linesOf<T>(response: http.IncomingMessage): AsyncGenerator<T> {
    try {
      for await (const line of splitLines(response)) {
        const value = JSON.parse(line) as T | ErrorJson
        if (isError(value)) throw new ApiError(value.error.code, value.error.message, value.error.data)
        yield value
      }
    } catch (error) {
      throw error instanceof CliError ? error : this.#unreachable(error, true)
    } finally {
      response.destroy()
    }
  }

  async download(path: string): Promise<Download> {
    const response = await this.#send('GET', path)
    const etag = String(response.headers.etag ?? '').replaceAll('"', '')
    return { stream: response, size: Number(response.headers['content-length']), etag }
  }

  async upload<T>(path: string, upload: Upload): Promise<T> {
    return (await readJson(await this.#transfer('PUT', path, upload))) as T
  }

  /** Sends a stream, and reads what is answered as JSON lines; an error line is thrown. */
  async *uploadForLines<T>(path: string, upload: Upload): AsyncGenerator<T> {
    yield* this.#linesOf<T>(await this.#transfer('POST', path, upload))
  }

  async #transfer(method: Method, path: string, upload: Upload): Promise<http.IncomingMessage> {
    const headers: Record<string, string> = { expect: '100-continue' }
    if (upload.size !== undefined) headers['content-length'] = String(upload.size)
    if (upload.contentType !== undefined) headers['content-type'] = upload.contentType
    const request = this.#request(method, path, headers, upload.sha256 ?? 'UNSIGNED-PAYLOAD')
    const answered = this.#answer(request)
    // The server answers without taking the body if it refuses; then there is nothing to send.
    const sent = new Promise<void>((resolve, reject) => {
      request.once('continue', () => pipeline(upload.stream, request).then(resolve, reject))
      answered.then(() => resolve(), reject)
    })
    request.flushHeaders()
    try {
      const [response] = await Promise.all([answered, sent])
      return response
    } finally {
      upload.stream.destroy()
      if (!request.writableFinished) request.destroy()
    }
  }

  close(): void {
    this.#agent.destroy()
  }

  async #json<T>(method: Method, path: string, body?: unknown): Promise<T> {
    return (await readJson(await this.#send(method, path, body))) as T
  }

  async #send(method: Method, path: string, body?: unknown): Promise<http.IncomingMessage> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
    const headers: Record<string, string> =
      bytes === undefined ? {} : { 'content-type': 'application/json', 'content-length': String(bytes.length) }
    const request = this.#request(
      method,
      path,
      headers,
      bytes === undefined ? EMPTY_SHA256 : hash('sha256', bytes, 'hex'),
    )
    const answered = this.#answer(request)
    request.end(bytes)
    return answered
  }

  #request(method: Method, path: string, headers: Record<string, string>, bodySha256: string): http.ClientRequest {
    const url = `${this.url}${path}`
    // The length is framing: with `Expect` Node sends it as given, and proxies may change it, so it stays out of the signature.
    const { 'content-length': length, expect, ...signed } = headers
    const signedHeaders = signRequest({
      method,
      url,
      headers: signed,
      bodySha256,
      accessKeyId: this.#key.accessKeyId,
      secretAccessKey: this.#key.secretAccessKey,
      sessionToken: this.#key.sessionToken,
      region: this.#region,
      service: 's3',
      now: new Date(),
    })
    const framing = {
      ...(length !== undefined && { 'content-length': length }),
      ...(expect !== undefined && { expect }),
    }
    return this.#transport.request(url, {
      method,
      headers: { ...signedHeaders, ...framing },
      agent: this.#agent,
      signal: this.#signal,
      timeout: SILENCE_MS,
    })
  }

  #answer(request: http.ClientRequest): Promise<http.IncomingMessage> {
    return new Promise((resolve, reject) => {
      request.once('timeout', () => request.destroy(this.#lost(`nothing came for ${SILENCE_MS / 1000} s`)))
      request.once('error', (error) => reject(error instanceof CliError ? error : this.#unreachable(error)))
      request.once('response', (response) => {
        if ((response.statusCode ?? 0) < 300) resolve(response)
        else this.#refusal(response).then(reject, reject)
      })
    })
  }

  async #refusal(response: http.IncomingMessage): Promise<CliError> {
    const text = (await readText(response, MAX_ERROR_BYTES)).trim()
    try {
      const value: unknown = JSON.parse(text)
      if (isError(value)) return new ApiError(value.error.code, value.error.message, value.error.data)
    } catch {
      // Not JSON: what answers there is not Sluice's API, which the message below says.
    }
    return new CliError(
      `${this.url} answered ${response.statusCode} and is not a Sluice API: check SLUICE_API_URL (the S3 endpoint is another port)`,
    )
  }

  #unreachable(error: unknown, hasAnswered = false): CliError {
    if (this.#signal.aborted) return new CliError('interrupted', { cause: error })
    const errno = errnoOf(error)
    if (errno === 'ECONNRESET' || errno === 'EPIPE') return this.#lost(errorMessage(error), hasAnswered)
    if (errno === 'EPROTO') {
      const plain = this.url.replace(/^https:/, 'http:')
      return new CliError(
        `${this.url} does not speak https: set SLUICE_API_URL to where the server runs, perhaps ${plain}`,
        {
          cause: error,
        },
      )
    }
    const why = errno === 'ECONNREFUSED' ? 'nothing listens there' : errorMessage(error)
    if (errno !== undefined && untrusted.test(errno)) {
      return new CliError(
        `the certificate of ${this.url} is not trusted (${why}): set SLUICE_CA to a file with the certificate that it is signed by`,
        { cause: error },
      )
    }
    return new CliError(
      `no Sluice server at ${this.url} (${why}): start it with npm start, or set SLUICE_API_URL to where it runs`,
      { cause: error },
    )
  }

  /** What has answered before does not want to be spoken to in another way. */
  #lost(why: string, hasAnswered = false): CliError {
    const plain =
      this.url.startsWith('http:') && !hasAnswered
        ? `; if the server has a certificate, it is https:${this.url.slice(5)}`
        : ''
    return new CliError(`the connection to ${this.url} was lost: ${why}${plain}`)
  }
}

function isError(value: unknown): value is ErrorJson {
  if (typeof value !== 'object' || value === null || !('error' in value)) return false
  const { error } = value
  return typeof error === 'object' && error !== null && 'code' in error && 'message' in error
}

function isWorking(line: unknown): line is WorkingJson {
  return typeof line === 'object' && line !== null && 'kind' in line && line.kind === 'working'
}

/** Lines that are not empty. */
export async function* splitLines(stream: Readable): AsyncGenerator<string> {
  let rest = ''
  for await (const piece of stream.setEncoding('utf8') as AsyncIterable<string>) {
    const lines = (rest + piece).split('\n')
    rest = lines.pop() ?? ''
    yield* lines.filter((line) => line !== '')
  }
  if (rest !== '') yield rest
}

async function readText(stream: Readable, limit = Number.POSITIVE_INFINITY): Promise<string> {
  const pieces: Buffer[] = []
  let size = 0
  for await (const piece of stream as AsyncIterable<Buffer>) {
    pieces.push(piece)
    size += piece.length
    if (size > limit) break
  }
  return Buffer.concat(pieces).toString('utf8')
}

async function readJson(response: http.IncomingMessage): Promise<unknown> {
  const text = await readText(response)
  return text === '' ? undefined : JSON.parse(text)
}
