/** Stands between Sluice and a store, passes everything on as it is, and keeps what was asked for. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'

export interface RequestLog {
  /** `127.0.0.1:port`. */
  readonly host: string
  /** `PUT /bucket/some key`: requests that change something, and what they name, decoded; from the newest `forget` on. */
  writes(): readonly string[]
  forget(): void
  close(): Promise<void>
}

/** A suite makes some hundred requests; more would be a loop. */
const MAX_KEPT = 100_000
/** Of the part of a body that describes an object. */
const MAX_HEAD_BYTES = 4096

/** In front of `127.0.0.1:port`. The Host header stays that of this proxy: signatures cover it. */
export async function logRequests(port: number): Promise<RequestLog> {
  let kept: string[] = []
  const pass = (from: IncomingMessage, to: ServerResponse) => {
    const { method = '', url = '', headers } = from
    if (!['GET', 'HEAD'].includes(method) && kept.length < MAX_KEPT) {
      const line = kept.push(`${method} ${decoded(url)}`) - 1
      const lines = kept
      onName(from, (name) => {
        lines[line] += ` ${name}`
      })
    }
    const onward = request({ host: '127.0.0.1', port, method, path: url, headers }, (answer) => {
      to.writeHead(answer.statusCode ?? 502, answer.rawHeaders)
      pipeline(answer, to, () => undefined)
    })
    onward.on('error', () => to.destroy())
    to.on('close', () => onward.destroy())
    onward.on('continue', () => to.writeContinue())
    pipeline(from, onward, () => undefined)
  }
  const server = createServer({ requestTimeout: 0 }, pass)
  // Passed on as well, so that the store decides whether it wants the body.
  server.on('checkContinue', pass)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    writes: () => kept,
    forget: () => {
      kept = []
    },
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** Google's uploads of one request name the object in the first part of their body. */
function onName(from: IncomingMessage, say: (name: string) => void): void {
  if (!from.headers['content-type']?.startsWith('multipart/related')) return
  from.once('data', (bytes: Buffer) => {
    const [, name] = /"name":\s*("(?:[^"\\]|\\.)*")/.exec(bytes.subarray(0, MAX_HEAD_BYTES).toString()) ?? []
    if (name) say(JSON.parse(name))
  })
}

function decoded(url: string): string {
  try {
    return decodeURIComponent(url)
  } catch (error) {
    if (error instanceof URIError) return url
    throw error
  }
}
