import { createHash, type Hash, hash } from 'node:crypto'
import { Readable, Transform, type TransformCallback } from 'node:stream'
import { bodyDigest } from '../kernel/index.ts'
import { StoreRejected } from './object-store.ts'

/** Passes a body on, counts and hashes it, and fails if it is not as long as was said: a store must never take a torn body for whole. */
export class MeasuredBody extends Transform {
  readonly #expectedBytes: number
  readonly #md5: Hash | undefined
  readonly #known: string | undefined
  #bytes = 0

  /** `md5`, where given, is what the store itself compares the body with: then it is not computed here. */
  constructor(expectedBytes: number, md5?: string) {
    super({ highWaterMark: 256 * 1024 })
    this.#expectedBytes = expectedBytes
    this.#known = md5
    this.#md5 = md5 === undefined ? createHash('md5') : undefined
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: TransformCallback): void {
    this.#bytes += chunk.length
    if (this.#bytes > this.#expectedBytes) {
      callback(this.#wrongLength('more'))
      return
    }
    this.#md5?.update(chunk)
    callback(null, chunk)
  }

  override _flush(callback: TransformCallback): void {
    callback(this.#bytes === this.#expectedBytes ? null : this.#wrongLength(`only ${this.#bytes}`))
  }

  /** Hex; once, after the end. */
  md5(): string {
    return this.#known ?? this.#md5!.digest('hex')
  }

  #wrongLength(got: string): StoreRejected {
    return new StoreRejected(`the body was to have ${this.#expectedBytes} bytes and has ${got}`)
  }
}

export function bodyStream(body: Buffer | Readable): Readable {
  return Buffer.isBuffer(body) ? Readable.from(body.length > 0 ? [body] : [], { objectMode: false }) : body
}

export function md5Hex(bytes: Buffer): string {
  return hash('md5', bytes, 'hex')
}

/** As Content-MD5 has it. */
export function md5Base64(bytes: Buffer): string {
  return hash('md5', bytes, 'base64')
}

/** The same, off this thread where that is worth it: a part of 16 MiB would hold everything else up for 25 ms. */
export async function md5Base64Aside(bytes: Buffer): Promise<string> {
  const digest = bodyDigest(['md5'], { expectedBytes: bytes.length })
  try {
    await digest.update(bytes)
    return (await digest.digest()).get('md5')!.toString('base64')
  } catch (error) {
    digest.abandon()
    throw error
  }
}

/** The ETag that S3 gives a multipart object: the MD5 of the parts' MD5s, and their number. */
export function multipartEtag(partMd5s: readonly string[]): string {
  const joined = Buffer.concat(partMd5s.map((md5) => Buffer.from(md5, 'hex')))
  return `${md5Hex(joined)}-${partMd5s.length}`
}
