import { createHash, type Hash } from 'node:crypto'
import { type ChunkChain, signaturesEqual } from '../../../kernel/index.ts'
import { S3Error } from '../codes.ts'

/** A chunk's head is at most 16 digits and a signature; the limit is for those that never end their line. */
const MAX_HEAD_BYTES = 256
const MAX_TRAILER_LINE_BYTES = 1024
const MAX_TRAILER_LINES = 10
/** AWS: "Only the last chunk is allowed to have a size less than 8192 bytes". */
const MIN_CHUNK_BYTES = 8192

const LINE_FEED = 0x0a
const signedHead = /^([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})$/
const unsignedHead = /^([0-9a-fA-F]{1,16})$/

export interface DecoderOptions {
  /** `x-amz-decoded-content-length`: exactly this many bytes must come. */
  readonly decodedBytes: number
  /** The signatures of the chunks; without it they are unsigned. */
  readonly chain?: ChunkChain
  /** Whether trailers follow the last chunk; these are the names that were announced. */
  readonly trailers?: readonly string[]
}

type State = 'head' | 'data' | 'dataEnd' | 'trailer' | 'lastLine' | 'done'

/**
 * Takes aws-chunked framing off a body that comes in slices of any size, and checks each chunk's signature as soon as its last byte is
 * there. What it has given out counts only when `end` has returned: the caller keeps it invisible until then.
 */
export class AwsChunkedDecoder {
  readonly #options: DecoderOptions
  #state: State = 'head'
  #line = ''
  #left = 0
  #received = 0
  #smallChunk = false
  #signature = ''
  #hash: Hash | undefined
  #trailerLines = 0
  #signedTrailers = ''
  #trailerSignature: string | undefined
  readonly #trailers = new Map<string, string>()

  constructor(options: DecoderOptions) {
    this.#options = options
  }

  /** The content in this slice, without copying it. */
  push(input: Buffer): Buffer[] {
    const pieces: Buffer[] = []
    let at = 0
    while (at < input.length) {
      if (this.#state === 'data') {
        const piece = input.subarray(at, at + Math.min(this.#left, input.length - at))
        this.#hash?.update(piece)
        pieces.push(piece)
        at += piece.length
        this.#left -= piece.length
        if (this.#left === 0) this.#endChunk()
        continue
      }
      if (this.#state === 'done') throw incomplete('there are bytes after its end')
      const end = input.indexOf(LINE_FEED, at)
      const until = end < 0 ? input.length : end
      this.#addToLine(input, at, until)
      at = until + 1
      if (end >= 0) this.#takeLine()
    }
    return pieces
  }

  /** The body is over. Returns the trailers; throws if anything of it is missing. */
  end(): ReadonlyMap<string, string> {
    // Some clients leave the empty line at the very end out.
    if (this.#line === '' && this.#state === 'lastLine') this.#state = 'done'
    if (this.#line === '' && this.#state === 'trailer') this.#endTrailers()
    if (this.#state !== 'done') throw incomplete('it ends before its last chunk')
    return this.#trailers
  }

  #addToLine(input: Buffer, from: number, until: number): void {
    const limit = this.#state === 'trailer' ? MAX_TRAILER_LINE_BYTES : MAX_HEAD_BYTES
    if (this.#line.length + until - from > limit) {
      if (this.#state === 'trailer') throw malformedTrailer('a line is too long')
      throw invalidHead('its head is too long')
    }
    this.#line += input.toString('latin1', from, until)
  }

  #takeLine(): void {
    const hasReturn = this.#line.endsWith('\r')
    const line = hasReturn ? this.#line.slice(0, -1) : this.#line
    this.#line = ''
    switch (this.#state) {
      case 'head':
        if (!hasReturn) throw invalidHead('its head does not end with CR LF')
        this.#beginChunk(line)
        return
      case 'dataEnd':
        if (!hasReturn || line !== '') throw incomplete('a chunk is longer than its head says')
        this.#state = 'head'
        return
      case 'lastLine':
        if (line !== '') throw incomplete('there are bytes after its last chunk')
        this.#state = 'done'
        return
      case 'trailer':
        if (line === '') this.#endTrailers()
        else this.#takeTrailer(line)
    }
  }

  #beginChunk(line: string): void {
    const match = (this.#options.chain ? signedHead : unsignedHead).exec(line)
    if (!match)
      throw invalidHead(this.#options.chain ? 'expecting <size>;chunk-signature=<signature>' : 'expecting <size>')
    const size = Number.parseInt(match[1]!, 16)
    if (size > 0 && this.#smallChunk) {
      throw new S3Error('InvalidChunkSizeError', 'Only the last chunk is allowed to have a size less than 8192 bytes')
    }
    this.#smallChunk = size < MIN_CHUNK_BYTES
    if (this.#received + size > this.#options.decodedBytes)
      throw incomplete('it is longer than x-amz-decoded-content-length')
    this.#received += size
    this.#left = size
    if (this.#options.chain) {
      this.#signature = match[2]!
      this.#hash = createHash('sha256')
    }
    if (size > 0) {
      this.#state = 'data'
      return
    }
    this.#checkChunk()
    if (this.#received !== this.#options.decodedBytes)
      throw incomplete('it is shorter than x-amz-decoded-content-length')
    this.#state = this.#options.trailers ? 'trailer' : 'lastLine'
  }

  #endChunk(): void {
    this.#checkChunk()
    this.#state = 'dataEnd'
  }

  #checkChunk(): void {
    if (!this.#options.chain || !this.#hash) return
    const expected = this.#options.chain.chunk(this.#hash.digest('hex'))
    if (!signaturesEqual(expected, this.#signature)) throw badSignature('the signature of a chunk')
    this.#hash = undefined
  }

  #takeTrailer(line: string): void {
    if (++this.#trailerLines > MAX_TRAILER_LINES) throw malformedTrailer('there are too many')
    const colon = line.indexOf(':')
    if (colon <= 0) throw malformedTrailer('expecting <name>:<value>')
    const name = line.slice(0, colon).trim().toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (this.#trailerSignature !== undefined) throw malformedTrailer('there is one after x-amz-trailer-signature')
    if (name === 'x-amz-trailer-signature') {
      this.#trailerSignature = value
      return
    }
    if (!this.#options.trailers?.includes(name)) throw malformedTrailer(`${name} was not announced in x-amz-trailer`)
    if (this.#trailers.has(name)) throw malformedTrailer(`${name} is there twice`)
    this.#trailers.set(name, value)
    this.#signedTrailers += `${name}:${value}\n`
  }

  #endTrailers(): void {
    const missing = this.#options.trailers?.filter((name) => !this.#trailers.has(name)) ?? []
    if (missing.length > 0) throw malformedTrailer(`${missing.join(', ')} is missing`)
    if (this.#options.chain) {
      const hash = createHash('sha256').update(this.#signedTrailers, 'latin1').digest('hex')
      const expected = this.#options.chain.trailer(hash)
      if (!signaturesEqual(expected, this.#trailerSignature ?? '')) throw badSignature('the signature of the trailers')
    }
    this.#state = 'done'
  }
}

function incomplete(why: string): S3Error {
  return new S3Error('IncompleteBody', `The body is not as its head says: ${why}`)
}

function invalidHead(why: string): S3Error {
  return new S3Error('InvalidChunkSizeError', `A chunk of the body is malformed: ${why}`)
}

function malformedTrailer(why: string): S3Error {
  return new S3Error('MalformedTrailerError', `The request contained trailing data that was not well-formed: ${why}`)
}

function badSignature(what: string): S3Error {
  return new S3Error(
    'SignatureDoesNotMatch',
    `The request signature we calculated does not match the signature you provided: ${what} is wrong`,
  )
}
