import type { IncomingMessage, ServerResponse } from 'node:http'
import { S3Error } from '../codes.ts'

/** A client that sends nothing of its body for so long is gone. S3A's slowest parts take 15 minutes, but they do move. */
export const BODY_IDLE_MS = 60_000

/** The body of one request, read at most once. The client is told to go on (100-continue) only when somebody starts to read. */
export class RequestBody {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #expectsContinue: boolean
  readonly #idleMs: number
  #started = false
  /** Bytes that have come and were read, with their framing. */
  received = 0

  constructor(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean, idleMs = BODY_IDLE_MS) {
    this.#request = request
    this.#response = response
    this.#expectsContinue = expectsContinue
    this.#idleMs = idleMs
  }

  /** True if the client still waits for a 100 and may never send its body: the connection can't be used again. */
  get isWithheld(): boolean {
    return this.#expectsContinue && !this.#started
  }

  /** Hands over each slice as it comes, without backpressure: for bodies whose size the caller has bounded. */
  consume(take: (bytes: Buffer) => void): Promise<void> {
    this.#start()
    const request = this.#request
    return new Promise((resolve, reject) => {
      // What comes after a refusal still flows, and is dropped.
      let refused = false
      let ended = false
      request.on('data', (bytes: Buffer) => {
        if (refused) return
        this.received += bytes.length
        try {
          take(bytes)
        } catch (error) {
          refused = true
          reject(error)
        }
      })
      request.on('end', () => {
        ended = true
        this.#end()
        resolve()
      })
      request.on('error', (error) => reject(cutOff(error)))
      // It closes after its end as well, and an error that nobody wants costs more than the body did.
      request.on('close', () => ended || reject(cutOff(undefined)))
    })
  }

  /**
   * The slices with backpressure: nothing more is read from the socket than what is asked for. A slice is the caller's until it asks
   * for the next one; its memory is free then.
   */
  async *slices(): AsyncGenerator<Buffer> {
    this.#start()
    try {
      for await (const bytes of this.#request.iterator({ destroyOnReturn: false })) {
        this.received += (bytes as Buffer).length
        yield bytes as Buffer
        free(bytes as Buffer)
      }
    } catch (error) {
      throw cutOff(error)
    }
    this.#end()
  }

  #start(): void {
    if (this.#started) throw new Error('the body of a request is read only once')
    this.#started = true
    if (this.#request.destroyed) throw cutOff(undefined)
    if (this.#expectsContinue) this.#response.writeContinue()
    // Without a listener for it, Node destroys the socket when the time is over; reading then fails as cut off.
    if (!this.#request.complete) this.#request.socket.setTimeout(this.#idleMs)
  }

  #end(): void {
    this.#request.socket.setTimeout(0)
  }
}

/**
 * Gives the memory of a slice back at once. Left to the garbage collector, each 64 MiB of a body would cost a collection of the whole
 * heap, which takes longer than everything else that is done with them.
 */
function free({ buffer, byteLength }: Buffer): void {
  // Node's parser makes a buffer for each slice; one that is shared with anything else is not ours to take.
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}

function cutOff(cause: unknown): S3Error {
  return new S3Error(
    'IncompleteBody',
    'You did not provide the number of bytes specified by the Content-Length HTTP header.',
    {},
    {},
    cause,
  )
}
