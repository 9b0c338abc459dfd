import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import Router from '@koa/router'
import Koa from 'koa'
import {
  type AccessKey,
  type AccessLog,
  createHttpServer,
  errnoOf,
  InvalidInput,
  type KeyRing,
  KIB,
  type Log,
  noAccessLog,
  type PayloadKind,
  type Place,
  parseRequestUrl,
  type RequestUrl,
  requestIds,
  SignatureError,
  type Tls,
  UnusedConnections,
  verifyRequest,
} from '../kernel/index.ts'
import { arriving, parseJson, readBody } from './body.ts'
import { Caller, nobody } from './caller.ts'
import { LINES_TYPE, MAX_JSON_BYTES } from './contract.ts'
import { describeError, MethodNotAllowed, RouteNotFound, UnsignedBody } from './errors.ts'
import { fieldsOfQuery } from './fields.ts'
import { linesStream } from './lines.ts'
import { carriesToken } from './metrics-token.ts'
import { type Observed, observe } from './observe.ts'
import type { Answer, RawCall, Route, Services } from './route.ts'
import { routes } from './routes.ts'

/** What the API is made of. */
export interface ApiOptions extends Services {
  readonly keys: KeyRing
  readonly log: Log
  readonly accessLog?: AccessLog
  /** The server speaks HTTPS with it. */
  readonly tls?: Tls | undefined
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
/** How often Node looks for them. */
const CONNECTIONS_CHECK_MS = 5_000
/** Longer than the idle time of the usual proxies and clients (60 s), so that it is never us who cuts a connection in use. */
const KEEP_ALIVE_MS = 75_000
/** How long a client may go on sending after it was refused, so that it reads the answer before the connection is cut. */
const LINGER_MS = 5_000
/** How long `close` waits for answers under way. */
const CLOSE_GRACE_MS = 5_000

/** What the middlewares hand on to each other. */
interface State extends Observed {
  url: RequestUrl
  key?: AccessKey
  /** The request carries the token that its route takes in place of a signature. */
  hasToken?: boolean
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
  const { metrics, clock } = options
  const accessLog = options.accessLog ?? noAccessLog
  app.use(observe({ metrics, accessLog, clock, nextId: requestIds() }) as Koa.Middleware<State>)
  app.use(answerErrors(options))
  app.use(authenticate(options))
  const router = new Router<State>()
  for (const route of routes) router.register(route.path, [route.method], serve(route, options, closing.signal))
  app.use(router.routes() as Koa.Middleware<State>)
  app.use((ctx) => {
    const other = router.match(ctx.path, ctx.method).path.length > 0
    throw other ? new MethodNotAllowed(ctx.method, ctx.path) : new RouteNotFound(ctx.method, ctx.path)
  })

  const server = createHttpServer(
    options.tls,
    {
      maxHeaderSize: 64 * KIB,
      headersTimeout: HEADERS_MS,
      connectionsCheckingInterval: CONNECTIONS_CHECK_MS,
      requestTimeout: 0,
    },
    (request, response) => answer(request, response),
  )
  server.keepAliveTimeout = KEEP_ALIVE_MS
  const handle = app.callback()
  const unused = new UnusedConnections(server)
  const answer = (request: IncomingMessage, response: ServerResponse) => {
    unused.used(request)
    void handle(request, response)
  }
  // The client waits for leave to send its body: it gets it when a route begins to read, so that a refusal comes before the body.
  server.on('checkContinue', answer)
  return {
    server,
    close: () => {
      closing.abort()
      return closeServer(server, unused)
    },
  }
}

function closeServer(server: Server, unused: UnusedConnections): Promise<void> {
  if (!server.listening) return Promise.resolve()
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), CLOSE_GRACE_MS)
    server.close(() => {
      clearTimeout(cut)
      resolve()
    })
    server.closeIdleConnections()
    unused.destroy()
  })
}

function answerErrors({ log, clock }: ApiOptions): Koa.Middleware<State> {
  return async (ctx, next) => {
    const startedMs = clock.now()
    ctx.set({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
    try {
      await next()
    } catch (error) {
      const { requestId } = ctx.state
      const { status, body } = describeError(error, log, { where: `${ctx.method} ${ctx.path}`, requestId })
      if (error instanceof SignatureError) ctx.state.refusal = error.code
      ctx.state.errorCode = body.error.code
      ctx.status = status
      ctx.body = body
      if (!ctx.req.complete) ctx.res.once('finish', () => linger(ctx.req))
    }
    // Without the query, which may hold what people search for.
    const { method, path, status } = ctx
    const { requestId } = ctx.state
    log.debug(
      { requestId, method, path, status, key: ctx.state.key?.accessKeyId, ms: clock.now() - startedMs },
      'API request',
    )
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

/** Routes that take a token in place of a signature. */
const tokenRoutes = new Set(
  routes.filter((route) => route.token === 'metrics').map((route) => `${route.method} ${route.path}`),
)

function authenticate({ keys, clock, config }: ApiOptions): Koa.Middleware<State> {
  return async (ctx, next) => {
    const url = parseRequestUrl(ctx.req.url ?? '')
    ctx.state.url = url
    if (openRoutes.has(`${ctx.method === 'HEAD' ? 'GET' : ctx.method} ${ctx.path}`)) return next()
    if (tokenRoutes.has(`${ctx.method} ${ctx.path}`) && carriesToken(ctx.headers.authorization, config.metricsToken)) {
      ctx.state.hasToken = true
      return next()
    }
    const { method, headers, rawHeaders, url: rawUrl = '' } = ctx.req
    const { key, payload, presigned } = await verifyRequest(
      { method: method ?? '', rawUrl, headers, rawHeaders, url },
      { findKey: (id, token) => keys.find(id, token), nowMs: clock.now(), region: config.region },
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
    const { key, hasToken, requestId } = ctx.state
    ctx.state.route = route
    const caller = key === undefined ? nobody : new Caller(key)
    const query = fieldsOfQuery(ctx.state.url.query)
    if (route.needs !== 'none' && !hasToken) {
      caller.authorize(route.needs, ctx.params[route.about ?? 'repo'], placeOf(route, ctx.params, query))
    }
    const gone = new AbortController()
    ctx.res.once('close', () => gone.abort())
    const call: RawCall = {
      params: new Map(Object.entries(ctx.params)),
      query,
      ...(await readIncoming(route, ctx)),
      author: caller.key.name,
      caller,
      signal: AbortSignal.any([gone.signal, closing]),
      services,
    }
    await write(ctx, await route.handle(call), { log: services.log, closing, requestId })
  }
}

/** What part of its repo a request is about. */
function placeOf(route: Route, params: Readonly<Record<string, string>>, query: ReadonlyMap<string, string>): Place {
  const onto = params['branch'] ?? params['revision']
  const branch = route.inTransaction ? `tx-${params['name']}.${onto}` : onto
  return { branch, ...(route.within === undefined ? {} : { path: query.get(route.within) ?? '' }) }
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

async function write(
  ctx: Context,
  answer: Answer,
  { log, closing, requestId }: { log: Log; closing: AbortSignal; requestId: string },
): Promise<void> {
  switch (answer.kind) {
    case 'json':
      ctx.status = answer.status
      ctx.type = 'application/json'
      ctx.body = JSON.stringify(answer.body)
      return
    case 'text':
      ctx.body = answer.body
      ctx.set('content-type', answer.type)
      return
    case 'empty':
      ctx.status = 204
      return
    case 'lines': {
      const errorLine = (error: unknown) => describeError(error, log, { where: ctx.path, requestId }).body
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
