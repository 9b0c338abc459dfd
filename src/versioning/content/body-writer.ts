import type { ChunkPlace, ContentWriter, StagedContent } from '../content-store.ts'
import type { Content } from '../model/index.ts'
import { type ChunkIndex, keyOf } from './chunk-index.ts'
import type { ContentLimits } from './content-limits.ts'
import type { Health } from './health.ts'
import { contentOf, type Piece } from './manifest.ts'
import type { PackRecord } from './record.ts'
import { digestPiece, sha256Of } from './sha256.ts'
import type { Sink } from './sink.ts'
import type { BufferPool, Slots } from './slots.ts'

export interface WriterParts {
  readonly index: ChunkIndex
  readonly health: Health
  readonly limits: ContentLimits
  /** Of all writers together. */
  readonly slots: Slots
  readonly buffers: BufferPool
}

/**
 * Cuts one body into pieces and stores those that are not there yet. A few pieces are hashed and looked up at once; they are appended
 * in order. Errors of pieces are kept and thrown by the next call.
 */
export class BodyWriter implements ContentWriter {
  readonly #with: WriterParts
  readonly #sink: Sink
  readonly #onEnd: (writer: BodyWriter) => void
  #piece: Buffer<SharedArrayBuffer> | undefined
  #filled = 0
  #size = 0
  readonly #pieces: (Piece | undefined)[] = []
  readonly #running = new Set<Promise<void>>()
  /** Resolves when the last piece so far was handed to the sink (or failed). */
  #turn: Promise<void> = Promise.resolve()
  /** Chunks of this body that it has stored itself, by hash: the same piece twice is stored once. */
  readonly #stored = new Map<string, Promise<ChunkPlace>>()
  #error: unknown
  #ended: Promise<void> | undefined

  constructor(parts: WriterParts, sink: Sink, onEnd: (writer: BodyWriter) => void) {
    this.#with = parts
    this.#sink = sink
    this.#onEnd = onEnd
  }

  async write(bytes: Buffer): Promise<void> {
    const { chunkBytes } = this.#with.limits
    for (let at = 0; at < bytes.length; ) {
      this.#check()
      this.#piece ??= this.#with.buffers.take()
      const copied = bytes.copy(this.#piece, this.#filled, at, Math.min(bytes.length, at + chunkBytes - this.#filled))
      at += copied
      this.#filled += copied
      this.#size += copied
      if (this.#filled === chunkBytes) await this.#submit()
    }
  }

  #check(): void {
    if (this.#error !== undefined) throw this.#error
    if (this.#ended) throw new Error('the writer has ended')
    this.#with.health.check()
  }

  /** Starts on the piece; waits while enough others are under way. */
  async #submit(): Promise<void> {
    const piece = this.#piece
    if (!piece) return
    const bytes = piece.subarray(0, this.#filled)
    const number = this.#pieces.push(undefined) - 1
    this.#piece = undefined
    this.#filled = 0
    while (this.#running.size >= this.#with.limits.piecesPerWriter) await Promise.race(this.#running)
    await this.#with.slots.enter()
    if (this.#error !== undefined) {
      this.#with.slots.leave()
      throw this.#error
    }
    const before = this.#turn
    const turn = Promise.withResolvers<void>()
    this.#turn = turn.promise
    const run = this.#store(bytes, number, before, turn.resolve)
      .catch((error: unknown) => {
        this.#error ??= error
      })
      .finally(() => {
        turn.resolve()
        this.#with.slots.leave()
        this.#with.buffers.give(piece)
        this.#running.delete(run)
      })
    this.#running.add(run)
    this.#check()
  }

  async #store(bytes: Buffer, number: number, before: Promise<void>, turn: () => void): Promise<void> {
    const { sha256, dataCrc } = await digestPiece(bytes)
    this.#pieces[number] = { size: bytes.length, content: { kind: 'chunk', sha256 } }
    const published = await this.#with.index.findSound(sha256)
    await before
    if (this.#error !== undefined || published) return
    const stored = this.#append({ kind: 'chunk', sha256, data: bytes, ...(dataCrc !== undefined && { dataCrc }) })
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
    if (!(await this.#with.index.findSound(sha256))) this.#append({ kind: 'manifest', sha256, data })
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
      return { size: this.#size, content, chunks }
    } catch (error) {
      await this.abort()
      throw error
    }
  }

  async #finishContent(): Promise<Content> {
    if (this.#pieces.length === 0 && this.#filled <= this.#with.limits.inlineBytes) {
      const bytes = Buffer.from(this.#piece?.subarray(0, this.#filled) ?? [])
      this.#giveBack()
      return { kind: 'inline', bytes }
    }
    if (this.#filled > 0) await this.#submit()
    this.#giveBack()
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

  #giveBack(): void {
    if (this.#piece) this.#with.buffers.give(this.#piece)
    this.#piece = undefined
  }

  async abort(): Promise<void> {
    this.#ended ??= this.#abandon()
    await this.#ended
  }

  async #abandon(): Promise<void> {
    this.#error ??= new Error('the writer was aborted')
    this.#giveBack()
    await Promise.all(this.#running)
    await this.#sink.abort()
    this.#onEnd(this)
  }
}
