import type { ChunkPlace, ContentWriter, StagedContent } from '../content-store.ts'
import type { Content } from '../model/index.ts'
import { type ChunkIndex, keyOf } from './chunk-index.ts'
import type { ContentLimits } from './content-limits.ts'
import { type CutChunk, Cutter } from './cutter.ts'
import type { Health } from './health.ts'
import { contentOf, type Piece } from './manifest.ts'
import type { BlockPool } from './memory.ts'
import type { PackRecord } from './record.ts'
import { sha256Of } from './sha256.ts'
import type { Sink } from './sink.ts'
import type { Slots } from './slots.ts'

export interface WriterParts {
  readonly index: ChunkIndex
  readonly health: Health
  readonly limits: ContentLimits
  /** Bytes of chunks under way, of all writers together. */
  readonly slots: Slots
  readonly blocks: BlockPool
}

/**
 * Cuts one body into chunks and stores those that are not there yet. A few chunks are hashed and looked up at once; they are appended
 * in order. Errors of chunks are kept and thrown by the next call.
 */
export class BodyWriter implements ContentWriter {
  readonly #with: WriterParts
  readonly #sink: Sink
  readonly #onEnd: (writer: BodyWriter) => void
  readonly #cutter: Cutter
  #size = 0
  readonly #pieces: (Piece | undefined)[] = []
  readonly #running = new Set<Promise<void>>()
  /** Resolves when the last piece so far was handed to the sink (or failed). */
  #turn: Promise<void> = Promise.resolve()
  /** Chunks of this body that it has stored itself, by hash: the same piece twice is stored once. */
  readonly #stored = new Map<string, Promise<ChunkPlace>>()
  /** What was found published, by hash. */
  readonly #relies = new Map<string, Buffer>()
  #error: unknown
  #ended: Promise<void> | undefined

  constructor(parts: WriterParts, sink: Sink, onEnd: (writer: BodyWriter) => void) {
    this.#with = parts
    this.#sink = sink
    this.#onEnd = onEnd
    this.#cutter = new Cutter(parts.blocks, parts.limits, (chunk) => this.#submit(chunk))
  }

  async write(bytes: Buffer): Promise<void> {
    this.#check()
    this.#size += bytes.length
    await this.#cutter.write(bytes)
  }

  #check(): void {
    if (this.#error !== undefined) throw this.#error
    if (this.#ended) throw new Error('the writer has ended')
    this.#with.health.check()
  }

  /** Starts on the chunk; waits while enough others are under way. */
  async #submit(chunk: CutChunk): Promise<void> {
    const number = this.#pieces.push(undefined) - 1
    while (this.#running.size >= this.#with.limits.piecesPerWriter) await Promise.race(this.#running)
    const weight = await this.#with.slots.enter(chunk.bytes)
    if (this.#error !== undefined) {
      this.#with.slots.leave(weight)
      chunk.release()
      throw this.#error
    }
    const before = this.#turn
    const turn = Promise.withResolvers<void>()
    this.#turn = turn.promise
    const run = this.#store(chunk, number, before, turn.resolve)
      .catch((error: unknown) => {
        this.#error ??= error
      })
      .finally(() => {
        turn.resolve()
        this.#with.slots.leave(weight)
        chunk.release()
        this.#running.delete(run)
      })
    this.#running.add(run)
  }

  async #store({ bytes, segments, digests }: CutChunk, number: number, before: Promise<void>, turn: () => void) {
    const { sha256, crc32 } = await digests
    this.#pieces[number] = { size: bytes, content: { kind: 'chunk', sha256 } }
    const published = await this.#with.index.findSound(sha256)
    if (published) this.#relies.set(keyOf(sha256), sha256)
    await before
    if (this.#error !== undefined || published) return
    const stored = this.#append({
      kind: 'chunk',
      sha256,
      data: segments,
      ...(crc32 && { dataCrc: crc32.readUInt32BE() }),
    })
    turn()
    await stored
  }

  #append(record: PackRecord): Promise<ChunkPlace> {
    const key = keyOf(record.sha256)
    const same = this.#stored.get(key)
    if (same) return same
    const stored = this.#sink.append(record)
    stored.catch((error: unknown) => {
      this.#error ??= error
    })
    this.#stored.set(key, stored)
    return stored
  }

  /** Hands a manifest to the sink; `finish` waits for it. */
  async #putManifest(data: Buffer): Promise<Content> {
    const sha256 = await sha256Of(data)
    if (await this.#with.index.findSound(sha256)) this.#relies.set(keyOf(sha256), sha256)
    else this.#append({ kind: 'manifest', sha256, data })
    return { kind: 'manifest', sha256 }
  }

  async finish(): Promise<StagedContent> {
    try {
      this.#check()
      const content = await this.#finishContent()
      const chunks = await Promise.all(this.#stored.values())
      await this.#sink.finish()
      this.#ended = Promise.resolve()
      this.#onEnd(this)
      return { size: this.#size, content, chunks, relies: [...this.#relies.values()] }
    } catch (error) {
      await this.abort()
      throw error
    }
  }

  async #finishContent(): Promise<Content> {
    const inline = this.#cutter.takeSmall(this.#with.limits.inlineBytes)
    if (inline) return { kind: 'inline', bytes: inline }
    await this.#cutter.finish()
    // All pieces are handed over then and their hashes known: the manifest joins the last ones' group.
    await this.#turn
    this.#check()
    const content = await contentOf(this.#pieces as Piece[], this.#with.limits.manifestEntries, (data) =>
      this.#putManifest(data),
    )
    await Promise.all(this.#running)
    this.#check()
    return content
  }

  async abort(): Promise<void> {
    this.#ended ??= this.#abandon()
    await this.#ended
  }

  async #abandon(): Promise<void> {
    this.#error ??= new Error('the writer was aborted')
    await this.#cutter.abandon()
    await Promise.all(this.#running)
    await this.#sink.abort()
    this.#onEnd(this)
  }
}
