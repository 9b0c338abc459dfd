import { once } from 'node:events'
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** What becomes of a request. */
export type Fault =
  /** Answered by an error, without being passed on. */
  | { readonly kind: 'answer'; readonly status: number; readonly code: string }
  /** The connection is reset, without anything being passed on. */
  | { readonly kind: 'reset' }
  /** The connection is cut after so many bytes of the body; what was passed on is cut too. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** The server does what it was asked for, and its answer is lost. */
  | { readonly kind: 'lose answer' }

/** A request that came, as far as it came. */
export interface Seen {
  readonly method: string
  /** With its query. */
  readonly url: string
  /** Of the body; how many have come. */
  bytes: number
  /** The server's answer has gone back whole. */
  answered: boolean
}

export interface FaultyProxy {
  readonly port: number
  /** Where requests go on to; a server that was started again has another port. */
  upstream: string
  /** Asked for every request. */
  fault: (seen: Seen) => Fault | undefined
  /** All requests since the start, or since it was emptied. */
  readonly seen: Seen[]
  /** Nobody gets through: what is open is cut, what comes is refused. */
  goDown(): Promise<void>
  /** On the same port again. */
  comeBack(): Promise<void>
  close(): Promise<void>
}

/** Stands before a server of ours, counts what is asked of it, and does what networks and servers do. Passes on whole requests. */
export async function startFaultyProxy(upstream: string): Promise<FaultyProxy> {
  const agent = new Agent({ keepAlive: true })
  const sockets = new Set<Socket>()
  let server: Server
  const listen = async (port: number) => {
    server = createServer((incoming, answer) => serve(proxy, agent, incoming, answer))
    server.on('connection', (socket) => {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    })
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return address.port
  }
  const shut = async () => {
    if (!server.listening) return
    server.close()
    for (const socket of sockets) socket.resetAndDestroy()
    await once(server, 'close')
  }
  const proxy: FaultyProxy = {
    port: 0,
    upstream,
    fault: () => undefined,
    seen: [],
    goDown: shut,
    comeBack: async () => {
      await listen(proxy.port)
    },
    close: async () => {
      await shut()
      agent.destroy()
    },
  }
  return Object.assign(proxy, { port: await listen(0) })
}

function serve(proxy: FaultyProxy, agent: Agent, incoming: IncomingMessage, answer: ServerResponse): void {
  const seen: Seen = { method: incoming.method ?? '', url: incoming.url ?? '', bytes: 0, answered: false }
  proxy.seen.push(seen)
  const fault = proxy.fault(seen)
  const reset = () => incoming.socket.resetAndDestroy()
  if (fault?.kind === 'reset') {
    reset()
    return
  }
  if (fault?.kind === 'answer') {
    incoming.on('data', (piece: Buffer) => {
      seen.bytes += piece.length
    })
    incoming.on('end', () => {
      answer.writeHead(fault.status, { 'content-type': 'application/xml' })
      answer.end(
        `<?xml version="1.0"?><Error><Code>${fault.code}</Code><Message>a fault was asked for</Message></Error>`,
      )
    })
    return
  }
  const { hostname, port } = new URL(proxy.upstream)
  // The signature is for the host that the client knows.
  const outgoing = request({ agent, hostname, port, method: seen.method, path: seen.url, headers: incoming.headers })
  outgoing.on('error', reset)
  outgoing.on('response', (response) => {
    if (fault?.kind === 'lose answer') {
      response.resume().on('end', reset).on('error', reset)
      return
    }
    answer.writeHead(response.statusCode ?? 502, response.headers)
    answer.on('finish', () => {
      seen.answered = true
    })
    response.on('error', reset)
    response.pipe(answer)
  })
  incoming.on('data', (piece: Buffer) => {
    seen.bytes += piece.length
    if (fault?.kind === 'cut' && seen.bytes > fault.afterBytes) {
      outgoing.destroy()
      reset()
    }
  })
  incoming.on('error', () => outgoing.destroy())
  incoming.pipe(outgoing)
}
