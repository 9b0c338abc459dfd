import type { IncomingMessage, ServerResponse } from 'node:http'
import { S3Error } from '../codes.ts'

/** A client that sends nothing of its body for so long is gone. S3A's slowest parts take 15 minutes, but they do move. */
const BODY_IDLE_MS = 60_000

/** The body of one request, read at most once. The client is told to go on (100-continue) only when somebody starts to read. */
export class RequestBody {
  readonly #request: IncomingMessage
  readonly #response: ServerResponse
  readonly #expectsContinue: boolean
  #started = false

  constructor(request: IncomingMessage, response: ServerResponse, expectsContinue: boolean) {
    this.#request = request
    this.#response = response
    this.#expectsContinue = expectsContinue
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
      request.on('data', (bytes: Buffer) => {
        if (refused) return
        try {
          take(bytes)
        } catch (error) {
          refused = true
          reject(error)
        }
      })
      request.on('end', () => {
        this.#end()
        resolve()
      })
      request.on('error', (error) => reject(cutOff(error)))
      request.on('close', () => reject(cutOff(undefined)))
    })
  }

  /** The slices with backpressure: nothing more is read from the socket than what is asked for. */
  async *slices(): AsyncGenerator<Buffer> {
    this.#start()
    try {
      for await (const bytes of this.#request.iterator({ destroyOnReturn: false })) yield bytes as Buffer
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
    if (!this.#request.complete) this.#request.socket.setTimeout(BODY_IDLE_MS)
  }

  #end(): void {
    this.#request.socket.setTimeout(0)
  }
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
