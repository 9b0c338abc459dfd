/**
 * HTTP/1.1 on a bare socket, as little of it as the bench needs: a generator that costs a fraction of what the server costs,
 * so that a second core is enough to load it.
 */
import { connect, type Socket } from 'node:net'

export interface Reply {
  readonly status: number
  readonly bodyBytes: number
  /** Of an answer that is not 2xx: its beginning, for the message. */
  readonly text: string
}

const headEnd = Buffer.from('\r\n\r\n')
const KEPT_TEXT_BYTES = 2_000

/** One keep-alive connection: one request at a time. */
export class Wire {
  readonly #socket: Socket
  #head: Buffer = Buffer.alloc(0)
  #status = 0
  /** Of the body under way: bytes still to come; -1 in the head, -2 chunked. */
  #left = -1
  #bodyBytes = 0
  #text = ''
  #tail: Buffer = Buffer.alloc(0)
  #done: ((reply: Reply) => void) | undefined
  #failed: ((error: Error) => void) | undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', (bytes) => this.#take(bytes))
    socket.on('error', (error) => this.#failed?.(error))
    socket.on('close', () => this.#failed?.(new Error('the server closed the connection')))
  }

  static async open(url: string): Promise<Wire> {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port) })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new Wire(socket)
  }

  /** Sends a whole request; calls `done` when the answer is complete. No promise: this is the inner loop. */
  send(request: Buffer, done: (reply: Reply) => void, failed: (error: Error) => void): void {
    this.#done = done
    this.#failed = failed
    this.#socket.write(request)
  }

  /** Sends a head and then the pieces, waiting while the socket is full. */
  async stream(head: Buffer, pieces: Iterable<Buffer>): Promise<Reply> {
    const reply = new Promise<Reply>((resolve, reject) => {
      this.#done = resolve
      this.#failed = reject
    })
    // The answer may be an error long before the body has ended.
    let answered = false
    const settled = reply.finally(() => {
      answered = true
    })
    settled.catch(() => undefined)
    this.#socket.write(head)
    for (const piece of pieces) {
      if (answered) break
      if (!this.#socket.write(piece))
        await Promise.race([new Promise((resolve) => this.#socket.once('drain', resolve)), settled])
    }
    return reply
  }

  close(): void {
    this.#failed = undefined
    this.#socket.destroy()
  }

  #take(bytes: Buffer): void {
    let rest = bytes
    if (this.#left === -1) {
      this.#head = this.#head.length === 0 ? bytes : Buffer.concat([this.#head, bytes])
      const end = this.#head.indexOf(headEnd)
      if (end < 0) return
      const head = this.#head.toString('latin1', 0, end)
      rest = this.#head.subarray(end + headEnd.length)
      this.#head = Buffer.alloc(0)
      this.#status = Number(head.slice(9, 12))
      if (this.#status === 100) {
        this.#take(rest)
        return
      }
      const length = /\r\ncontent-length: *(\d+)/i.exec(head)?.[1]
      this.#left = length !== undefined ? Number(length) : this.#status === 204 || this.#status === 304 ? 0 : -2
      this.#bodyBytes = 0
      this.#text = ''
      this.#tail = Buffer.alloc(0)
    }
    if (this.#status >= 300 && this.#text.length < KEPT_TEXT_BYTES)
      this.#text += rest.subarray(0, KEPT_TEXT_BYTES).toString('latin1')
    this.#bodyBytes += rest.length
    if (this.#left === -2) {
      this.#tail = Buffer.concat([this.#tail, rest]).subarray(-7)
      if (!this.#tail.toString('latin1').endsWith('0\r\n\r\n')) return
    } else {
      this.#left -= rest.length
      if (this.#left > 0) return
    }
    this.#left = -1
    const done = this.#done
    this.#done = undefined
    done?.({ status: this.#status, bodyBytes: this.#bodyBytes, text: this.#text })
  }
}
