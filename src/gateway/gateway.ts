import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import {
  type AccessLog,
  type Clock,
  type Config,
  createHttpServer,
  type KeyRing,
  KIB,
  type Log,
  Metrics,
  noAccessLog,
  requestIds,
  type Tls,
  UnusedConnections,
  type Users,
} from '../kernel/index.ts'
import type { Pipelines } from '../pipelines/index.ts'
import type { Versioning } from '../versioning/index.ts'
import { FlushRecords } from './control/flush-records.ts'
import { Front } from './front.ts'
import { LeanKoa } from './lean-koa.ts'
import { Observer } from './request-record.ts'
import { BODY_IDLE_MS } from './s3/body/source.ts'
import { SEND_IDLE_MS } from './send.ts'
import { answerUnreadable } from './unreadable.ts'

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

/** What the S3 endpoint is made of. */
export interface GatewayOptions {
  readonly versioning: Versioning
  readonly keys: KeyRing
  readonly config: Pick<Config, 'region' | 'apiPort' | 'logLevel'> & Partial<Pick<Config, 'domains' | 'anonymous'>>
  readonly clock: Clock
  readonly log: Log
  /** For `.sluice/provenance/<path>`: names the input files of a datum. */
  readonly pipelines?: Pick<Pipelines, 'getDatum'>
  /** Names owners; without it only the caller is known by name. */
  readonly people?: Pick<Users, 'person'>
  /** The server speaks HTTPS with it. */
  readonly tls?: Tls | undefined
  readonly metrics?: Metrics
  readonly accessLog?: AccessLog
  /** What slow connections are given; for tests, which can't wait so long. */
  readonly patience?: Partial<Patience>
}

interface Patience {
  readonly keepAliveMs: number
  readonly headersMs: number
  readonly checkEveryMs: number
  readonly bodyIdleMs: number
  readonly sendIdleMs: number
}

/** The S3 endpoint. */
export interface Gateway {
  /** Not listening yet. */
  readonly server: Server
  /** Stops taking requests, lets running ones end (flushes are told to), and cuts off what takes longer than ten seconds. */
  close(): Promise<void>
}

/** The S3 endpoint: what it does is in the registry, how it stands on a socket is here. */
export function createGateway(options: GatewayOptions): Gateway {
  const { versioning, keys, config, clock, log } = options
  const patience: Patience = {
    keepAliveMs: KEEP_ALIVE_MS,
    headersMs: HEADERS_TIMEOUT_MS,
    checkEveryMs: CONNECTIONS_CHECK_MS,
    bodyIdleMs: BODY_IDLE_MS,
    sendIdleMs: SEND_IDLE_MS,
    ...options.patience,
  }
  const stop = new AbortController()
  const metrics = options.metrics ?? new Metrics(log)
  const nextId = requestIds()
  const front = new Front({
    services: {
      versioning,
      clock,
      region: config.region,
      flushRecords: new FlushRecords(clock),
      pipelines: options.pipelines,
      stopSignal: stop.signal,
      people: options.people,
    },
    keys,
    log,
    apiPort: config.apiPort,
    domains: config.domains ?? [],
    anonymous: config.anonymous ?? false,
    logRequests: config.logLevel === 'debug' || config.logLevel === 'trace',
    observer: new Observer({
      metrics,
      accessLog: options.accessLog ?? noAccessLog,
      clock,
    }),
    bodyIdleMs: patience.bodyIdleMs,
    sendIdleMs: patience.sendIdleMs,
    nextId,
  })

  const expectingContinue = new WeakSet<IncomingMessage>()
  const app = new LeanKoa()
  app.use((ctx) => {
    // The front door writes head and body itself, in one go.
    ctx.respond = false
    return front.handle(ctx.req, ctx.res, expectingContinue.has(ctx.req))
  })
  // What goes wrong is answered and logged by the front door; this is a client that left in the middle.
  app.on('error', (error: unknown) => log.debug({ err: error }, 'connection lost'))
  const handle = app.callback()
  const server = createHttpServer(
    options.tls,
    {
      maxHeaderSize: MAX_HEAD_BYTES,
      keepAliveTimeout: patience.keepAliveMs,
      headersTimeout: patience.headersMs,
      connectionsCheckingInterval: patience.checkEveryMs,
      // Parts take as long as they take; a body that stands still is cut off by the one who reads it.
      requestTimeout: 0,
    },
    (request: IncomingMessage, response: ServerResponse) => {
      unused.used(request)
      void handle(request, response)
    },
  )
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    unused.used(request)
    expectingContinue.add(request)
    void handle(request, response)
  })
  // RFC 9110 lets a server refuse what it does not know to expect; AWS does not, and clients send odd things.
  server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    unused.used(request)
    void handle(request, response)
  })
  answerUnreadable(server, { metrics, nextId })
  const unused = new UnusedConnections(server)
  return { server, close: () => close(server, unused, stop) }
}

async function close(server: Server, unused: UnusedConnections, stop: AbortController): Promise<void> {
  stop.abort()
  if (!server.listening) return
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  // A connection whose last answer is out stays open for the next request, which will not be taken.
  const idle = setInterval(() => {
    server.closeIdleConnections()
    unused.destroy()
  }, CLOSE_IDLE_MS)
  const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
  await closed
  clearInterval(idle)
  clearTimeout(cut)
}
