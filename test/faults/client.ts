/** A plain S3 client for the fault suites: it never tries again, so that every acknowledgement is the server's own. */
import { createHash } from 'node:crypto'
import { Agent, type IncomingMessage, request } from 'node:http'
import type { Credentials } from '../../conformance/server.ts'
import { signRequest } from '../../src/kernel/index.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export interface Send {
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
  /** A function is asked for one piece after the other; `size` is the length of all. */
  readonly body?: Buffer | { readonly size: number; pieces(): Iterable<Buffer> }
  /** Takes the body of the answer piece by piece instead of keeping it. */
  readonly onData?: (piece: Buffer) => void
}

export interface Client {
  /** `path` is `/bucket/key`, already encoded. Rejects if the connection breaks. */
  send(method: string, path: string, options?: Send): Promise<Answer>
  close(): void
}

export function createClient(s3Url: string, credentials: Credentials, connections = 32): Client {
  const agent = new Agent({ keepAlive: true, maxSockets: connections })
  const send = (method: string, path: string, options: Send = {}) =>
    new Promise<Answer>((resolve, reject) => {
      const target = `${path}${options.query ? `?${options.query}` : ''}`
      const { body } = options
      const length = Buffer.isBuffer(body) ? body.length : (body?.size ?? 0)
      const headers = signRequest({
        method,
        url: `${s3Url}${target}`,
        headers: { ...options.headers, ...(body ? { 'content-length': String(length) } : {}) },
        bodySha256: Buffer.isBuffer(body)
          ? createHash('sha256').update(body).digest('hex')
          : body
            ? 'UNSIGNED-PAYLOAD'
            : createHash('sha256').digest('hex'),
        ...credentials,
        region: 'us-east-1',
        service: 's3',
        now: new Date(),
      })
      const { hostname, port } = new URL(s3Url)
      const outgoing = request({ agent, hostname, port, method, path: target, headers }, (incoming) => {
        const kept: Buffer[] = []
        incoming.on('data', options.onData ?? ((piece: Buffer) => kept.push(piece)))
        incoming.on('error', reject)
        incoming.on('end', () => {
          if (!incoming.complete) reject(new Error('the answer was cut off'))
          else resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: Buffer.concat(kept) })
        })
      })
      outgoing.on('error', reject)
      if (Buffer.isBuffer(body)) outgoing.end(body)
      else if (body) pour(body.pieces()[Symbol.iterator](), outgoing)
      else outgoing.end()
    })
  return { send, close: () => agent.destroy() }
}

function pour(pieces: Iterator<Buffer>, into: ReturnType<typeof request>): void {
  for (;;) {
    const piece = pieces.next()
    if (piece.done) {
      into.end()
      return
    }
    if (!into.write(piece.value)) break
  }
  into.once('drain', () => pour(pieces, into))
}
