import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** What a server says to a request, or fails to. */
export interface Reply {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** No length is said, as by servers that end the connection instead. */
  readonly unmeasured?: boolean
  /** The connection is cut, before the head or after half of the body. */
  readonly cut?: 'before' | 'middle'
  /** Nothing more comes, and the connection stays open: before the head, or after half of the body. */
  readonly stalls?: 'before' | 'middle'
}

export interface AskedRequest {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** An HTTP server that answers as a test says, faults and all, and keeps what it was asked. */
export interface ScriptedServer {
  readonly port: number
  readonly asked: readonly AskedRequest[]
  close(): Promise<void>
}

export async function startScriptedServer(
  reply: (request: AskedRequest, number: number) => Reply,
  tls?: { readonly cert: string; readonly key: string },
): Promise<ScriptedServer> {
  const asked: AskedRequest[] = []
  const listener: RequestListener = (request, response) => {
    buffer(request).then(
      (body) => {
        const { method = '', url = '', headers } = request
        asked.push({ method, url, headers, body })
        answer(reply(asked.at(-1)!, asked.length), response)
      },
      // The client has left in the middle.
      () => response.destroy(),
    )
  }
  const server = tls ? createTlsServer(tls, listener) : createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function answer(
  { status = 200, headers = {}, body = '', unmeasured, cut, stalls }: Reply,
  response: ServerResponse,
): void {
  if (cut === 'before') {
    response.destroy()
    return
  }
  if (stalls === 'before') return
  const bytes = Buffer.from(body)
  if (unmeasured) response.useChunkedEncodingByDefault = false
  response.writeHead(status, { ...(unmeasured ? {} : { 'content-length': bytes.length }), ...headers })
  if (!cut && !stalls) {
    response.end(bytes)
    return
  }
  response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => {
    if (cut) response.destroy()
  })
}
