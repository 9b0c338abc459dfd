import http, { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import https from 'node:https'
import { pipeline, Readable } from 'node:stream'
import { StoreUnreachable } from '../object-store.ts'
import type { TargetGuard } from '../target-guard.ts'

/** One HTTP request. */
export interface Outgoing {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** With its query. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** One after the other; a stream is read once. */
  readonly body?: readonly (Buffer | Readable)[]
  /** Bytes of the body in all. */
  readonly size?: number
  readonly signal?: AbortSignal | undefined
}

/** What is in flight at once over one store: transfers and what goes with them. */
const MAX_SOCKETS = 32
const CONNECT_TIMEOUT_MS = 10_000
/** Finishing a large upload may take long without a byte. */
const IDLE_SOCKET_TIMEOUT_MS = 120_000

/**
 * Requests to one endpoint over guarded connections. The SDK's own transport is not used: it takes no agent, so that nothing
 * could stop it from reaching a closed address, and it obeys proxies and endpoints of the environment. No redirect is followed.
 */
export class GcsTransport {
  readonly #endpoint: URL
  readonly agents: { readonly http: http.Agent; readonly https: https.Agent }

  constructor(endpoint: string, guard: TargetGuard) {
    this.#endpoint = new URL(endpoint)
    this.agents = guard.agents({ maxSockets: MAX_SOCKETS })
  }

  /** Resolves with the head of the answer; its body is to be read or destroyed. Throws what the network or the body throws. */
  send(outgoing: Outgoing): Promise<IncomingMessage> {
    const { method, path, headers = {}, body = [], size = 0, signal } = outgoing
    const { protocol, hostname, port } = this.#endpoint
    return new Promise((resolve, reject) => {
      const request = (protocol === 'http:' ? http : https).request({
        agent: protocol === 'http:' ? this.agents.http : this.agents.https,
        // URL keeps the brackets of an IPv6 address.
        host: hostname.replace(/^\[(.*)\]$/, '$1'),
        ...(port === '' ? {} : { port }),
        method,
        path,
        headers: {
          'user-agent': 'sluice',
          ...headers,
          ...(method === 'GET' ? {} : { 'content-length': String(size) }),
        },
        timeout: IDLE_SOCKET_TIMEOUT_MS,
        ...(signal ? { signal } : {}),
      })
      request.on('error', reject)
      request.on('response', resolve)
      request.on('timeout', () => request.destroy(late('did not answer in time')))
      limitConnecting(request)
      sendBody(request, body, reject)
    })
  }

  close(): void {
    this.agents.http.destroy()
    this.agents.https.destroy()
  }
}

function late(what: string): StoreUnreachable {
  return new StoreUnreachable(`the store ${what}`)
}

function limitConnecting(request: ClientRequest): void {
  request.on('socket', (socket) => {
    if (!socket.connecting) return
    const timer = setTimeout(() => request.destroy(late('could not be connected to in time')), CONNECT_TIMEOUT_MS)
    for (const event of ['connect', 'close'] as const) socket.once(event, () => clearTimeout(timer))
  })
}

function sendBody(
  request: ClientRequest,
  body: readonly (Buffer | Readable)[],
  failed: (error: unknown) => void,
): void {
  if (body.every((piece) => Buffer.isBuffer(piece))) {
    // Head and pieces leave together.
    request.cork()
    for (const piece of body) request.write(piece)
    request.end()
    return
  }
  // Ended early, the request is destroyed with it; why, `failed` has heard before.
  pipeline(Readable.from(inOrder(body, failed), { objectMode: false }), request, () => undefined)
}

async function* inOrder(body: readonly (Buffer | Readable)[], failed: (error: unknown) => void): AsyncIterable<Buffer> {
  try {
    for (const piece of body) {
      if (Buffer.isBuffer(piece)) yield piece
      else yield* piece as AsyncIterable<Buffer>
    }
  } catch (error) {
    failed(error)
    throw error
  }
}

/** The whole body of an answer that is a document. Throws StoreUnreachable if it is larger than any should be. */
export async function readAll(answer: IncomingMessage, maxBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  let bytes = 0
  for await (const piece of answer as AsyncIterable<Buffer>) {
    bytes += piece.length
    if (bytes > maxBytes) throw new StoreUnreachable('the store answered with more than it should')
    pieces.push(piece)
  }
  return Buffer.concat(pieces)
}

/** One value of a header. */
export function headerOf(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}
