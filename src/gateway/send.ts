import type { IncomingMessage, ServerResponse } from 'node:http'
import { HOST_ID } from './s3/error-document.ts'
import type { Reply } from './s3/operation.ts'

/** A client that takes nothing of its answer for so long is gone. */
const SEND_IDLE_MS = 300_000
/** How much of a refused body is taken and dropped so that the connection can go on; past it the connection is cut. */
const MAX_DISCARD_BYTES = 16 * 1024 * 1024
/** The client has its answer: one that stops sending is not waited for. */
const DISCARD_IDLE_MS = 1_000

/** Sends an answer, head and body in one write where that can be. Rejects if it was cut off; the socket is then destroyed. */
export async function sendReply(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
  id: string,
): Promise<void> {
  const { status, headers, body } = reply
  headers['x-amz-request-id'] = id
  headers['x-amz-id-2'] = HOST_ID
  const bodiless = request.method === 'HEAD' || status === 204 || status === 304
  if (body === undefined || bodiless) {
    if (!bodiless) headers['Content-Length'] ??= 0
    response.writeHead(status, headers)
    response.end()
    return
  }
  if (typeof body === 'string' || Buffer.isBuffer(body)) {
    headers['Content-Length'] = Buffer.byteLength(body)
    response.writeHead(status, headers)
    response.end(body)
    return
  }
  response.writeHead(status, headers)
  response.flushHeaders()
  await pump(response, body, headers['Content-Length'])
}

async function pump(
  response: ServerResponse,
  body: AsyncIterable<string | Buffer>,
  announced: string | number | undefined,
): Promise<void> {
  const { socket } = response
  socket?.setTimeout(SEND_IDLE_MS)
  let sent = 0
  try {
    for await (const piece of body) {
      if (response.destroyed) return
      sent += piece.length
      if (!response.write(piece)) await drained(response)
    }
    if (announced !== undefined && Number(announced) !== sent) {
      throw new Error(`the content has ${sent} bytes, ${announced} were announced`)
    }
  } catch (error) {
    // The head says 200: cutting the connection is the only way left to say that it went wrong.
    response.destroy()
    throw error
  } finally {
    socket?.setTimeout(0)
  }
  response.end()
}

/** When there is room again, or nobody any more who could take it. */
function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    if (response.destroyed) return resolve()
    const done = () => {
      response.off('drain', done)
      response.off('close', done)
      resolve()
    }
    response.on('drain', done)
    response.on('close', done)
  })
}

/**
 * Lets a body that was refused run out, within bounds: a client that still sends would otherwise see a reset connection in place of the
 * answer. To be called before the answer is sent: Node takes what nobody listens to, without end.
 */
export function discardRest(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return
  const { socket } = request
  let discarded = 0
  socket.setTimeout(DISCARD_IDLE_MS)
  request.on('data', (bytes: Buffer) => {
    discarded += bytes.length
    if (discarded > MAX_DISCARD_BYTES) socket.destroy()
  })
  request.on('end', () => socket.setTimeout(0))
  request.resume()
}
