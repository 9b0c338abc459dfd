import { createHash, type Hash, hash } from 'node:crypto'
import { PassThrough, pipeline, Readable, Transform, type TransformCallback } from 'node:stream'
import { bodyDigest, KIB } from '../kernel/index.ts'
import { StoreRejected } from './object-store.ts'

/** Held of a body between a store and whoever reads or writes it. */
const BUFFER_BYTES = 256 * KIB

/** Passes a body on, counts and hashes it, and fails if it is not as long as was said: a store must never take a torn body for whole. */
export class MeasuredBody extends Transform {
  readonly #expectedBytes: number
  readonly #md5: Hash | undefined
  readonly #known: string | undefined
  #bytes = 0

  /** `md5`, where given, is what the store itself compares the body with: then it is not computed here. */
  constructor(expectedBytes: number, md5?: string) {
    super({ highWaterMark: BUFFER_BYTES })
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
    return wrongLength(this.#expectedBytes, got)
  }
}

/** Throws StoreRejected unless the body is as long as was said. */
export function checkLength(body: Buffer, expectedBytes: number): void {
  if (body.length !== expectedBytes) throw wrongLength(expectedBytes, `${body.length}`)
}

function wrongLength(expectedBytes: number, got: string): StoreRejected {
  return new StoreRejected(`the body was to have ${expectedBytes} bytes and has ${got}`)
}

/** A body of a store's: a connection that breaks in the middle of it is told in the stores' vocabulary too, by `translate`. */
export function translatedBody(body: Readable, translate: (error: unknown) => unknown): Readable {
  const out = new PassThrough({ highWaterMark: BUFFER_BYTES })
  body.on('error', (error) => out.destroy(translate(error) as Error))
  // The error of `body` has reached `out` by the line above; this one only ends the pair together.
  pipeline(body, out, () => undefined)
  return out
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
