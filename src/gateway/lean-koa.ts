import Koa from 'koa'

/**
 * Koa for middleware that answers by itself, in every case (`ctx.respond = false`). Koa's own way to handle a request listens on response
 * and socket for how it ends, in order to call `onerror`: with small objects that alone was a fifth of a GET. If a later Koa no longer
 * calls this method, its own way comes back, and all stays right.
 */
export class LeanKoa extends Koa {
  handleRequest(context: Koa.Context, middleware: (context: Koa.Context) => Promise<void>): Promise<void> {
    return middleware(context).catch((error: Error) => context.onerror(error))
  }
}
