import type Koa from 'koa'
import type { AccessKey, AccessLog, Clock, Metrics } from '../kernel/index.ts'
import type { Route } from './route.ts'

/** Longer ones say no more about who it was. */
const MAX_USER_AGENT = 256
const MAX_PATH_CHARACTERS = 2_048
/** A client that takes nothing of its answer for so long is gone; what follows something says now and then that it is still there. */
const SEND_IDLE_MS = 300_000

/** What the other middlewares note for the log. */
export interface Observed {
  requestId: string
  key?: AccessKey
  route?: Route
  errorCode?: string
  /** Why its signature was not believed. */
  refusal?: string
}

/**
 * Counts each request of the API, notes it in the access log when its answer has ended, and gives it its id. The outermost of the
 * middlewares.
 */
export function observe(options: {
  readonly metrics: Metrics
  readonly accessLog: AccessLog
  readonly clock: Clock
  nextId(): string
}): Koa.Middleware<Observed> {
  const { metrics, accessLog, clock, nextId } = options
  let underWay = 0
  const requests = metrics.counter('sluice_api_requests_total', 'Requests that were answered.', ['route', 'status'])
  const seconds = metrics.histogram(
    'sluice_api_request_duration_seconds',
    'From the head of a request to the end of its answer; what follows (flush, logs) takes as long as it is watched.',
    ['route'],
  )
  const authFailures = metrics.counter(
    'sluice_api_auth_failures_total',
    'Requests whose signature was not believed, by why.',
    ['reason'],
  )
  metrics.read('sluice_api_requests_in_flight', 'Requests that are not answered yet.', () => underWay)
  return async (ctx, next) => {
    const startedMs = performance.now()
    const { state, req, res } = ctx
    state.requestId = nextId()
    ctx.set('x-request-id', state.requestId)
    underWay++
    const began = accessLog.enabled
      ? { time: new Date(clock.now()).toISOString(), remote: req.socket.remoteAddress ?? '', written: written(req) }
      : undefined
    res.once('close', () => {
      underWay--
      const ms = performance.now() - startedMs
      const operation = state.route ? `${state.route.method} ${state.route.path}` : 'Unknown'
      requests(operation, String(res.statusCode)).add()
      if (state.refusal !== undefined) authFailures(state.refusal).add()
      seconds(operation).observe(ms / 1000)
      if (!began) return
      const userAgent = req.headers['user-agent']?.slice(0, MAX_USER_AGENT)
      accessLog.write({
        time: began.time,
        door: 'api',
        requestId: state.requestId,
        remote: began.remote,
        ...(state.key && { user: state.key.name, accessKeyId: state.key.accessKeyId }),
        method: req.method ?? '',
        operation,
        path: (req.url ?? '').split('?', 1)[0]!.slice(0, MAX_PATH_CHARACTERS),
        status: res.statusCode,
        ...(state.errorCode !== undefined && { error: state.errorCode }),
        bytesIn: Number(req.headers['content-length'] ?? 0) || 0,
        bytesOut: Math.max(0, written(req) - began.written),
        ms: Math.round(ms * 1000) / 1000,
        ...(!res.writableFinished && { cut: true as const }),
        ...(userAgent !== undefined && { userAgent }),
      })
    })
    await next()
    req.socket.setTimeout(SEND_IDLE_MS)
  }
}

/** By the socket: most answers of the API are streams, whose length nobody knows before. Heads count too. */
function written(request: { readonly socket: { readonly bytesWritten?: number } }): number {
  return request.socket.bytesWritten ?? 0
}
