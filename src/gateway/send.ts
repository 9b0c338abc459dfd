import type { IncomingMessage, ServerResponse } from 'node:http'
import { HOST_ID } from './s3/error-document.ts'
import type { Reply } from './s3/operation.ts'

/** A client that takes nothing of its answer for so long is gone. */
export const SEND_IDLE_MS = 300_000
/** Up to this a text goes out with the head as one string. */
const MAX_TEXT_CHARACTERS = 8_192
/** How much of a refused body is taken and dropped so that the connection can go on; past it the connection is cut. */
const MAX_DISCARD_BYTES = 16 * 1024 * 1024
/** The client has its answer: one that stops sending is not waited for. */
const DISCARD_IDLE_MS = 1_000
/** Nor one that goes on sending a little now and then: nobody needs to be known here to get that far. */
const MAX_DISCARD_MS = 30_000

/**
 * Sends an answer, head and body in one write where that can be, and counts the body's bytes in `record`. Rejects if it was cut off; the
 * socket is then destroyed.
 */
export async function sendReply(
  request: IncomingMessage,
  response: ServerResponse,
  reply: Reply,
  id: string,
  record: { bytesOut: number } = { bytesOut: 0 },
  idleMs = SEND_IDLE_MS,
): Promise<void> {
  const { status, headers, body } = reply
  // Without a listener for it, Node destroys the socket when the time is over. When the answer is out, it sets the time that an idle
  // connection has.
  request.socket.setTimeout(idleMs)
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
    // Node would measure a long text once more, and set three times its length aside to write it.
    const bytes = typeof body === 'string' && body.length > MAX_TEXT_CHARACTERS ? Buffer.from(body) : body
    record.bytesOut = Buffer.byteLength(bytes)
    headers['Content-Length'] = record.bytesOut
    response.writeHead(status, headers)
    response.end(bytes)
    return
  }
  response.writeHead(status, headers)
  response.flushHeaders()
  await pump(response, body, headers['Content-Length'], record)
}

async function pump(
  response: ServerResponse,
  body: AsyncIterable<string | Buffer>,
  announced: string | number | undefined,
  record: { bytesOut: number },
): Promise<void> {
  try {
    for await (const piece of body) {
      if (response.destroyed) return
      record.bytesOut += Buffer.byteLength(piece)
      await written(response, piece)
      // What is lent must not be given back while a connection that was cut may still hold it.
      if (response.destroyed) return
    }
    if (announced !== undefined && Number(announced) !== record.bytesOut) {
      throw new Error(`the content has ${record.bytesOut} bytes, ${announced} were announced`)
    }
  } catch (error) {
    // The head says 200: cutting the connection is the only way left to say that it went wrong.
    response.destroy()
    throw error
  }
  response.end()
}

/** When the system has taken all of it (a piece may be lent, and is used again after that), or nobody will any more. */
function written(response: ServerResponse, piece: string | Buffer): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off('close', done)
      resolve()
    }
    response.on('close', done)
    response.write(piece, done)
  })
}

/**
 * Lets a body that was refused run out, within bounds: a client that still sends would otherwise see a reset connection in place of the
 * answer. To be called before the answer is sent: Node takes what nobody listens to, without end.
 */
export function discardRest(
  request: IncomingMessage,
  limits = { idleMs: DISCARD_IDLE_MS, totalMs: MAX_DISCARD_MS },
): void {
  if (request.complete || request.destroyed) return
  const { socket } = request
  let discarded = 0
  const cut = () => socket.destroy()
  // Timers of its own: that of the socket is the answer's, and then the idle connection's.
  const idle = setTimeout(cut, limits.idleMs)
  const total = setTimeout(cut, limits.totalMs)
  request.on('data', (bytes: Buffer) => {
    discarded += bytes.length
    if (discarded > MAX_DISCARD_BYTES) cut()
    else idle.refresh()
  })
  const done = () => {
    clearTimeout(idle)
    clearTimeout(total)
    socket.off('close', done)
  }
  // A request whose answer was out before its body does not say `close` of itself.
  request.on('end', done)
  socket.on('close', done)
  request.resume()
}
