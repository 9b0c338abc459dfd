import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import Router from '@koa/router'
import Koa from 'koa'
import {
  type AccessKey,
  authorize,
  errnoOf,
  InvalidInput,
  type KeyRing,
  KIB,
  type Log,
  type PayloadKind,
  parseRequestUrl,
  type RequestUrl,
  verifyRequest,
} from '../kernel/index.ts'
import { arriving, parseJson, readBody } from './body.ts'
import { LINES_TYPE, MAX_JSON_BYTES } from './contract.ts'
import { describeError, MethodNotAllowed, RouteNotFound, UnsignedBody } from './errors.ts'
import { fieldsOfQuery } from './fields.ts'
import { linesStream } from './lines.ts'
import type { Answer, RawCall, Route, Services } from './route.ts'
import { routes } from './routes.ts'

export interface ApiOptions extends Services {
  readonly keys: KeyRing
  readonly log: Log
}

/** The HTTP server of the API. */
export interface Api {
  /** Not listening yet. */
  readonly server: Server
  /** Takes no new request, ends streams, and waits a moment for the others. */
  close(): Promise<void>
}

/** A client has so long for its headers: slow ones would hold connections. */
const HEADERS_MS = 20_000
/** Longer than the idle time of the usual proxies and clients (60 s), so that it is never us who cuts a connection in use. */
const KEEP_ALIVE_MS = 75_000
/** How long a client may go on sending after it was refused, so that it reads the answer before the connection is cut. */
const LINGER_MS = 5_000
/** How long `close` waits for answers under way. */
const CLOSE_GRACE_MS = 5_000

/** What the middlewares hand on to each other. */
interface State {
  url: RequestUrl
  key?: AccessKey
  payload?: PayloadKind
}
type Context = Koa.ParameterizedContext<State>

/**
 * Makes the API server. Every request but those of routes that need nothing must carry a valid SigV4 signature in its headers before
 * anything else is looked at; the fields of a request are checked before anything is done.
 */
export function createApi(options: ApiOptions): Api {
  const closing = new AbortController()
  const app = new Koa<State>()
  app.on('error', (error: unknown) => {
    // The client went away in the middle of an answer: its own affair.
    if (!['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE'].includes(errnoOf(error) ?? '')) {
      options.log.error({ err: error }, 'an answer of the API was cut off')
    }
  })
  app.use(answerErrors(options))
  app.use(authenticate(options))
  const router = new Router<State>()
  for (const route of routes) router.register(route.path, [route.method], serve(route, options, closing.signal))
  app.use(router.routes() as Koa.Middleware<State>)
  app.use((ctx) => {
    const other = router.match(ctx.path, ctx.method).path.length > 0
    throw other ? new MethodNotAllowed(ctx.method, ctx.path) : new RouteNotFound(ctx.method, ctx.path)
  })

  const server = createServer(
    { maxHeaderSize: 64 * KIB, headersTimeout: HEADERS_MS, requestTimeout: 0 },
    app.callback(),
  )
  server.keepAliveTimeout = KEEP_ALIVE_MS
  const handle = app.callback()
  // The client waits for leave to send its body: it gets it when a route begins to read, so that a refusal comes before the body.
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => void handle(request, response))
  return {
    server,
    close: () => {
      closing.abort()
      return closeServer(server)
    },
  }
}

function closeServer(server: Server): Promise<void> {
  if (!server.listening) return Promise.resolve()
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
    server.close(() => {
      clearTimeout(cut)
      resolve()
    })
    server.closeIdleConnections()
  })
}

function answerErrors({ log, clock }: ApiOptions): Koa.Middleware<State> {
  return async (ctx, next) => {
    const startedMs = clock.now()
    ctx.set({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    try {
      await next()
    } catch (error) {
      const { status, body } = describeError(error, log, `${ctx.method} ${ctx.path}`)
      ctx.status = status
      ctx.body = body
      if (!ctx.req.complete) ctx.res.once('finish', () => linger(ctx.req))
    }
    // Without the query, which may hold what people search for.
    const { method, path, status } = ctx
    log.debug({ method, path, status, key: ctx.state.key?.accessKeyId, ms: clock.now() - startedMs }, 'API request')
  }
}

function linger(request: IncomingMessage): void {
  setTimeout(() => {
    if (!request.complete) request.destroy()
  }, LINGER_MS).unref()
}

/** Routes that need no signature, by method and path. */
const openRoutes = new Set(
  routes.filter((route) => route.needs === 'none').map((route) => `${route.method} ${route.path}`),
)

function authenticate({ keys, clock, config }: ApiOptions): Koa.Middleware<State> {
  return async (ctx, next) => {
    const url = parseRequestUrl(ctx.req.url ?? '')
    ctx.state.url = url
    if (openRoutes.has(`${ctx.method === 'HEAD' ? 'GET' : ctx.method} ${ctx.path}`)) return next()
    const { method, headers, rawHeaders, url: rawUrl = '' } = ctx.req
    const { key, payload, presigned } = await verifyRequest(
      { method: method ?? '', rawUrl, headers, rawHeaders, url },
      { findKey: (id) => keys.find(id), nowMs: clock.now(), region: config.region },
    )
    if (presigned) throw new InvalidInput('the API takes no presigned URLs: sign the request in its headers')
    // The signature is over the decoded path; a slash that the router would not see must not slip through it.
    if (/%2f/i.test(ctx.path)) throw new InvalidInput('a name in the path may hold no slash')
    ctx.state.key = key
    ctx.state.payload = payload
    return next()
  }
}

function serve(route: Route, services: Services & { log: Log }, closing: AbortSignal) {
  return async (ctx: Context & { params: Record<string, string> }): Promise<void> => {
    // HEAD is only routed where leaving the body away costs nothing: a stream would go on for nobody.
    if (ctx.method === 'HEAD' && route.answer.kind !== 'json') throw new MethodNotAllowed(ctx.method, ctx.path)
    const { key } = ctx.state
    if (route.needs !== 'none') authorize(key!, route.needs, ctx.params['repo'])
    const gone = new AbortController()
    ctx.res.once('close', () => gone.abort())
    const call: RawCall = {
      params: new Map(Object.entries(ctx.params)),
      query: fieldsOfQuery(ctx.state.url.query),
      ...(await readIncoming(route, ctx)),
      author: key?.name ?? '',
      signal: AbortSignal.any([gone.signal, closing]),
      services,
    }
    await write(ctx, await route.handle(call), services.log, closing)
  }
}

async function readIncoming(route: Route, ctx: Context): Promise<Pick<RawCall, 'json' | 'content'>> {
  const { req: request, res: response } = ctx
  const nothing = { json: undefined, content: undefined }
  const payload = ctx.state.payload ?? { kind: 'unsigned' }
  if (payload.kind === 'chunked')
    throw new UnsignedBody('the API takes no aws-chunked bodies: sign the hash of the body')
  const signedSha256 = payload.kind === 'sha256' ? payload.hex : undefined
  const hasBody =
    request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length'] ?? 0) > 0
  const begin = () => {
    if (hasBody && request.headers.expect !== undefined) response.writeContinue()
  }
  if (route.body === 'content') {
    const length = request.headers['content-length']
    const stream = (async function* () {
      begin()
      yield* arriving(request)
    })()
    const contentType = request.headers['content-type']
    return {
      ...nothing,
      content: { stream, expectedBytes: length === undefined ? undefined : Number(length), signedSha256, contentType },
    }
  }
  if (route.body !== 'none' && signedSha256 === undefined) {
    throw new UnsignedBody('a JSON body must be signed: send its SHA-256 as x-amz-content-sha256')
  }
  begin()
  const body = await readBody(request, route.body === 'none' ? 0 : MAX_JSON_BYTES, signedSha256)
  return route.body === 'none' ? nothing : { ...nothing, json: parseJson(body) }
}

async function write(ctx: Context, answer: Answer, log: Log, closing: AbortSignal): Promise<void> {
  switch (answer.kind) {
    case 'json':
      ctx.status = answer.status
      ctx.type = 'application/json'
      ctx.body = JSON.stringify(answer.body)
      return
    case 'empty':
      ctx.status = 204
      return
    case 'lines': {
      const errorLine = (error: unknown) => describeError(error, log, ctx.path).body
      const stream = await linesStream(answer.lines, { errorLine, closing })
      ctx.type = LINES_TYPE
      ctx.body = stream
      return
    }
    case 'content':
      // Stored bytes are never shown as a page of this origin.
      ctx.set({ 'content-disposition': 'attachment', 'content-security-policy': 'sandbox', ...answer.headers })
      ctx.type = 'application/octet-stream'
      ctx.body = answer.stream
      ctx.length = answer.size
  }
}
