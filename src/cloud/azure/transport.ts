import http from 'node:http'
import https from 'node:https'
import { pipeline, type Readable } from 'node:stream'
import type { HttpOperationResponse, IHttpClient, WebResource } from '@azure/storage-blob'
import { StoreRejected } from '../object-store.ts'
import type { TargetGuard } from '../target-guard.ts'

/** What is in flight at once over one store: transfers and what goes with them. */
const MAX_SOCKETS = 32
const CONNECT_TIMEOUT_MS = 10_000
/** Between two bytes; committing a large block list may take long without one. */
const IDLE_TIMEOUT_MS = 120_000
/**
 * An error says little; a page of a listing of the longest names has about 4 MB, a list of 50,000 blocks about 7 MB. What the library
 * makes of a document takes up to a hundred times as much memory.
 */
const MAX_TEXT_BYTES = 8 * 1024 * 1024

/**
 * What the library sends its requests with: plain `node:http`, by the guard's agents alone. Whatever agent or proxy the library
 * found in the environment is not used, and redirects are not followed: neither could be held to the guard's decision.
 */
export class GuardedTransport implements IHttpClient {
  readonly #http: http.Agent
  readonly #https: https.Agent

  constructor(guard: TargetGuard) {
    const agents = guard.agents({ maxSockets: MAX_SOCKETS })
    this.#http = agents.http
    this.#https = agents.https
  }

  async sendRequest(request: WebResource): Promise<HttpOperationResponse> {
    const sent = this.#send(request)
    const response = await sent.response
    const status = response.statusCode ?? 0
    if (status >= 300 && status < 400 && status !== 304) {
      response.destroy()
      throw redirected(request.url, status, response.headers.location)
    }
    const answer = { request, status, headers: headersOf(request, response) }
    if (request.method === 'HEAD') {
      response.resume()
      return answer
    }
    if (request.streamResponseStatusCodes?.has(status)) return { ...answer, readableStreamBody: response }
    const bodyAsText = await readText(response, request.url)
    // Answered before all of the body was taken: the rest of it has nowhere to go.
    if (!sent.request.writableFinished) sent.request.destroy()
    return { ...answer, bodyAsText }
  }

  close(): void {
    this.#http.destroy()
    this.#https.destroy()
  }

  #send(request: WebResource): { request: http.ClientRequest; response: Promise<http.IncomingMessage> } {
    const url = new URL(request.url)
    const secure = url.protocol === 'https:'
    const options = {
      method: request.method,
      headers: { ...request.headers.rawHeaders(), 'user-agent': 'sluice' },
      agent: secure ? this.#https : this.#http,
    }
    const outgoing = secure ? https.request(url, options) : http.request(url, options)
    const response = new Promise<http.IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve)
      // Also after the answer, when the connection breaks: then the answer's own stream tells it.
      outgoing.on('error', reject)
    })
    timeLimits(outgoing)
    abortWith(outgoing, request)
    sendBody(outgoing, request.body)
    return { request: outgoing, response }
  }
}

function timeLimits(outgoing: http.ClientRequest): void {
  const late = (what: string) => Object.assign(new Error(what), { code: 'ETIMEDOUT' })
  outgoing.setTimeout(IDLE_TIMEOUT_MS, () => outgoing.destroy(late('no byte came in time')))
  outgoing.once('socket', (socket) => {
    if (!socket.connecting) return
    const timer = setTimeout(() => outgoing.destroy(late('no connection in time')), CONNECT_TIMEOUT_MS)
    const stop = () => clearTimeout(timer)
    socket.once('connect', stop).once('close', stop)
  })
}

function abortWith(outgoing: http.ClientRequest, { abortSignal }: WebResource): void {
  if (!abortSignal) return
  const abort = () =>
    void outgoing.destroy(Object.assign(new Error('the request was given up'), { name: 'AbortError' }))
  if (abortSignal.aborted) {
    abort()
    return
  }
  abortSignal.addEventListener('abort', abort)
  outgoing.once('close', () => abortSignal.removeEventListener('abort', abort))
}

function sendBody(outgoing: http.ClientRequest, body: unknown): void {
  const content: unknown = typeof body === 'function' ? body() : body
  if (content === undefined || content === null) outgoing.end()
  else if (typeof content === 'string' || Buffer.isBuffer(content)) outgoing.end(content)
  // A body that breaks destroys the request with its error, which is how the caller hears of it.
  else pipeline(content as Readable, outgoing, () => undefined)
}

/** The library's own kind of headers, whose class it does not hand out. */
function headersOf(request: WebResource, response: http.IncomingMessage): WebResource['headers'] {
  const headers = request.headers.clone()
  for (const name of headers.headerNames()) headers.remove(name)
  for (const [name, value] of Object.entries(response.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(', ') : value)
  }
  return headers
}

async function readText(response: http.IncomingMessage, url: string): Promise<string> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of response as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > MAX_TEXT_BYTES) throw new StoreRejected(`${hostOf(url)} answered with more than any answer has`)
    pieces.push(piece)
  }
  return Buffer.concat(pieces).toString('utf8')
}

function redirected(url: string, status: number, location: string | undefined): StoreRejected {
  const host = location && URL.canParse(location, url) ? new URL(location, url).host : undefined
  return new StoreRejected(
    `${hostOf(url)} sends on to ${host ?? 'another place'} (${status}), which targets may not: name the account's own endpoint with the secret`,
    { status },
  )
}

function hostOf(url: string): string {
  return new URL(url).host
}
