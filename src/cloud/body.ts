import { createHash } from 'node:crypto'
import { Readable, Transform, type TransformCallback } from 'node:stream'
import { StoreRejected } from './object-store.ts'

/** Passes a body on, counts and hashes it, and fails if it is not as long as was said: a store must never take a torn body for whole. */
export class MeasuredBody extends Transform {
  readonly #expectedBytes: number
  readonly #md5 = createHash('md5')
  #bytes = 0

  constructor(expectedBytes: number) {
    super({ highWaterMark: 256 * 1024 })
    this.#expectedBytes = expectedBytes
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#bytes += chunk.length
    if (this.#bytes > this.#expectedBytes) {
      callback(this.#wrongLength('more'))
      return
    }
    this.#md5.update(chunk)
    callback(null, chunk)
  }

  override _flush(callback: TransformCallback): void {
    callback(this.#bytes === this.#expectedBytes ? null : this.#wrongLength(`only ${this.#bytes}`))
  }

  /** Hex; once, after the end. */
  md5(): string {
    return this.#md5.digest('hex')
  }

  #wrongLength(got: string): StoreRejected {
    return new StoreRejected(`the body was to have ${this.#expectedBytes} bytes and has ${got}`)
  }
}

export function bodyStream(body: Buffer | Readable): Readable {
  return Buffer.isBuffer(body) ? Readable.from(body.length > 0 ? [body] : [], { objectMode: false }) : body
}

export function md5Hex(bytes: Buffer): string {
  return createHash('md5').update(bytes).digest('hex')
}

/** The ETag that S3 gives a multipart object: the MD5 of the parts' MD5s, and their number. */
export function multipartEtag(partMd5s: readonly string[]): string {
  const joined = Buffer.concat(partMd5s.map((md5) => Buffer.from(md5, 'hex')))
  return `${md5Hex(joined)}-${partMd5s.length}`
}
