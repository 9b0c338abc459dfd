import { Readable } from 'node:stream'
import { CHUNK_BYTES, Corrupt, InvalidInput } from '../../kernel/index.ts'
import type { ByteRange, StoredPart } from '../content-store.ts'
import { Lru } from '../lru.ts'
import type { Content } from '../model/index.ts'
import { keyOf } from './chunk-index.ts'
import { type ChunkReader, kept, type Lent, own } from './chunk-reader.ts'
import { Manifest } from './manifest.ts'

/** Lists of lists: 16,384 entries each, so three levels are more than any object has. Damaged data must not recurse for ever. */
const MAX_DEPTH = 8

/** Also of small ones: parts may have a few bytes each, or none. */
const MAX_CHUNKS_AHEAD = 16

/** A stretch of one chunk or of inline bytes. */
interface Stretch extends ByteRange {
  readonly content: Exclude<Content, { kind: 'manifest' }>
  /** What has to be read for it. */
  readonly wholeBytes: number
}

interface ReadLimits {
  readonly cachedManifestBytes: number
  readonly readAheadBytes: number
  readonly readAheadTotalBytes: number
}

const everything: ByteRange = { start: 0, end: Number.MAX_SAFE_INTEGER }

/** Reads objects by way of their manifests. */
export class ContentReader {
  readonly #chunks: ChunkReader
  readonly #manifests: Lru<string, Manifest>
  readonly #limits: ReadLimits
  #streams = 0

  constructor(chunks: ChunkReader, limits: ReadLimits) {
    this.#chunks = chunks
    this.#limits = limits
    this.#manifests = new Lru(limits.cachedManifestBytes, (manifest) => manifest.memoryBytes)
  }

  read(content: Content, range: ByteRange = everything): Readable {
    return Readable.from(this.#owned(content, range), { objectMode: false })
  }

  /** Each piece is good until the next is asked for. */
  async *lend(content: Content, range: ByteRange = everything): AsyncGenerator<Buffer> {
    for await (const piece of this.#checked(content, range)) {
      yield piece.bytes
      // Not where the consumer left: what it was given may still be on its way.
      piece.giveBack()
    }
  }

  async *#owned(content: Content, range: ByteRange): AsyncGenerator<Buffer> {
    for await (const piece of this.#checked(content, range)) yield own(piece)
  }

  async readBytes(content: Content, range: ByteRange = everything): Promise<Buffer> {
    if (content.kind !== 'manifest') {
      const lent = await this.#stretch({ content, ...range, wholeBytes: 0 })
      if (lent.bytes.length <= CHUNK_BYTES) return own(lent)
      lent.giveBack()
      throw tooMany(lent.bytes.length)
    }
    const { size } = await this.#manifest(content.sha256)
    const length = Math.min(range.end, size) - Math.min(range.start, size)
    if (length > CHUNK_BYTES) throw tooMany(length)
    const stretches: Buffer[] = []
    for await (const bytes of this.#owned(content, range)) stretches.push(bytes)
    return Buffer.concat(stretches)
  }

  async parts(content: Content): Promise<readonly StoredPart[] | undefined> {
    return content.kind === 'manifest' ? (await this.#manifest(content.sha256)).parts() : undefined
  }

  /** Yields what was checked, in order, with a few reads under way ahead of it. */
  async *#checked(content: Content, range: ByteRange): AsyncGenerator<Lent> {
    const ahead: Promise<Lent>[] = []
    const lengths: number[] = []
    let aheadBytes = 0
    const next = () => {
      aheadBytes -= lengths.shift() as number
      return ahead.shift() as Promise<Lent>
    }
    this.#streams++
    try {
      for await (const stretch of this.#stretches(content, range, 0)) {
        const bytes = this.#stretch(stretch)
        bytes.catch(() => {
          // It is thrown where it is awaited; if the consumer leaves before, nobody wants to know.
        })
        ahead.push(bytes)
        lengths.push(stretch.wholeBytes)
        aheadBytes += stretch.wholeBytes
        // Beside the one that is taken next there is always another.
        while (ahead.length > 1 && this.#isFarAhead(ahead.length, aheadBytes - (lengths[0] as number)))
          yield await next()
      }
      while (ahead.length > 0) yield await next()
    } finally {
      this.#streams--
      // Buffers must not be dropped while the thread pool still writes into them.
      for (const left of await Promise.allSettled(ahead)) if (left.status === 'fulfilled') left.value.giveBack()
    }
  }

  #isFarAhead(chunks: number, bytes: number): boolean {
    const { readAheadBytes, readAheadTotalBytes } = this.#limits
    return chunks > MAX_CHUNKS_AHEAD || bytes >= Math.min(readAheadBytes, readAheadTotalBytes / this.#streams)
  }

  async *#stretches(content: Content, range: ByteRange, depth: number): AsyncGenerator<Stretch> {
    if (range.start >= range.end) return
    if (content.kind !== 'manifest') {
      yield { content, ...range, wholeBytes: 0 }
      return
    }
    if (depth === MAX_DEPTH) throw new Corrupt('manifests refer to one another without end')
    const manifest = await this.#manifest(content.sha256)
    for (let i = manifest.indexAt(range.start); i < manifest.count && manifest.startOf(i) < range.end; i++) {
      const { content: inner, size } = manifest.entry(i)
      const start = Math.max(range.start - manifest.startOf(i), 0)
      const end = Math.min(range.end - manifest.startOf(i), size)
      if (inner.kind === 'manifest') yield* this.#stretches(inner, { start, end }, depth + 1)
      else if (start < end) yield { content: inner, start, end, wholeBytes: size }
    }
  }

  async #stretch({ content, start, end }: Stretch): Promise<Lent> {
    const lent = content.kind === 'inline' ? kept(content.bytes) : await this.#chunks.lend(content.sha256)
    if (start === 0 && end >= lent.bytes.length) return lent
    return { bytes: lent.bytes.subarray(start, end), giveBack: lent.giveBack }
  }

  async #manifest(sha256: Buffer): Promise<Manifest> {
    const key = keyOf(sha256)
    const known = this.#manifests.get(key)
    if (known) return known
    const manifest = new Manifest(await this.#chunks.read(sha256))
    this.#manifests.set(key, manifest)
    return manifest
  }
}

function tooMany(bytes: number): InvalidInput {
  return new InvalidInput(`${bytes} bytes are too many to read at once; at most ${CHUNK_BYTES} are, or a stream`)
}
