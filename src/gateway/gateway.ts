import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import Koa from 'koa'
import { type Clock, type Config, type KeyRing, KIB, type Log, randomHexId } from '../kernel/index.ts'
import type { Pipelines } from '../pipelines/index.ts'
import type { Versioning } from '../versioning/index.ts'
import { FlushRecords } from './control/flush-records.ts'
import { Front } from './front.ts'

/** S3A keeps connections idle for 60 s and does not like to find them closed. */
const KEEP_ALIVE_MS = 75_000
/** A head is a few hundred bytes: who needs longer is holding the connection. */
const HEADERS_TIMEOUT_MS = 30_000
/** How often Node looks for such connections. */
const CONNECTIONS_CHECK_MS = 5_000
/** 2 KB of metadata, 1 KB of key, a presigned query: S3A's heads pass Node's 16 KiB. */
const MAX_HEAD_BYTES = 64 * KIB
/** How long requests that are running may take to end when the server stops. */
const CLOSE_GRACE_MS = 10_000
/** How often connections that have become idle meanwhile are closed. */
const CLOSE_IDLE_MS = 20

export interface GatewayOptions {
  readonly versioning: Versioning
  readonly keys: KeyRing
  readonly config: Pick<Config, 'region' | 'apiPort' | 'logLevel'>
  readonly clock: Clock
  readonly log: Log
  /** For `.sluice/provenance/<path>`: names the input files of a datum. */
  readonly pipelines?: Pick<Pipelines, 'getDatum'>
}

export interface Gateway {
  /** Not listening yet. */
  readonly server: Server
  /** Stops taking requests, lets running ones end (flushes are told to), and cuts off what takes longer than ten seconds. */
  close(): Promise<void>
}

/** The S3 endpoint: what it does is in the registry, how it stands on a socket is here. */
export function createGateway(options: GatewayOptions): Gateway {
  const { versioning, keys, config, clock, log } = options
  const stop = new AbortController()
  const front = new Front({
    services: {
      versioning,
      clock,
      region: config.region,
      flushRecords: new FlushRecords(clock),
      pipelines: options.pipelines,
      stopSignal: stop.signal,
    },
    keys,
    log,
    apiPort: config.apiPort,
    logRequests: config.logLevel === 'debug' || config.logLevel === 'trace',
    nextId: requestIds(),
  })

  // Connections without a first request yet: Node does not count them as idle.
  const unused = new Set<Socket>()
  const expectingContinue = new WeakSet<IncomingMessage>()
  const app = new Koa()
  app.use((ctx) => {
    // The front door writes head and body itself, in one go.
    ctx.respond = false
    return front.handle(ctx.req, ctx.res, expectingContinue.has(ctx.req))
  })
  // What goes wrong is answered and logged by the front door; this is a client that left in the middle.
  app.on('error', (error: unknown) => log.debug({ err: error }, 'connection lost'))
  const handle = app.callback()
  const server = createServer(
    {
      maxHeaderSize: MAX_HEAD_BYTES,
      keepAliveTimeout: KEEP_ALIVE_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
      // Parts take as long as they take; a body that stands still is cut off by the one who reads it.
      requestTimeout: 0,
    },
    (request: IncomingMessage, response: ServerResponse) => {
      unused.delete(request.socket)
      void handle(request, response)
    },
  )
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    unused.delete(request.socket)
    expectingContinue.add(request)
    void handle(request, response)
  })
  server.on('connection', (socket) => {
    unused.add(socket)
    socket.once('close', () => unused.delete(socket))
  })
  return { server, close: () => close(server, unused, stop) }
}

async function close(server: Server, unused: ReadonlySet<Socket>, stop: AbortController): Promise<void> {
  stop.abort()
  if (!server.listening) return
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // A connection whose last answer is out stays open for the next request, which will not be taken.
  const idle = setInterval(() => {
    server.closeIdleConnections()
    for (const socket of unused) socket.destroy()
  }, CLOSE_IDLE_MS)
  const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
  await closed
  clearInterval(idle)
  clearTimeout(cut)
}

/** Sixteen characters: where the process began, and a count. */
function requestIds(): () => string {
  const prefix = randomHexId().slice(0, 8).toUpperCase()
  let count = 0
  return () => {
    count = (count + 1) % 0x1_0000_0000
    return prefix + count.toString(16).toUpperCase().padStart(8, '0')
  }
}
