import type { Readable } from 'node:stream'
import {
  CHUNK_BYTES,
  type Database,
  InvalidInput,
  type Log,
  randomHexId,
  type Transaction,
} from '../../kernel/index.ts'
import type { ByteRange, ChunkPlace, ContentStore, ContentWriter, StagedContent, StoredPart } from '../content-store.ts'
import type { Content as ContentRef } from '../model/index.ts'
import { BodyWriter, type WriterParts } from './body-writer.ts'
import { ChunkIndex } from './chunk-index.ts'
import { ChunkReader } from './chunk-reader.ts'
import { type Claim, Claims } from './claims.ts'
import { type Collecting, ContentCollecting } from './collect.ts'
import { type ContentLimits, defaultLimits, MAX_RECORD_BYTES } from './content-limits.ts'
import { ContentReader } from './content-reader.ts'
import { type FileLayer, nodeFiles } from './files.ts'
import { Health } from './health.ts'
import { encodeParts, type PartPiece } from './manifest.ts'
import { BlockPool, BufferPool } from './memory.ts'
import { refuseNewerPacks } from './newer-packs.ts'
import { Packs } from './packs.ts'
import type { RecordKind } from './record.ts'
import { recover } from './recovery.ts'
import { sha256Of } from './sha256.ts'
import { SharedAppender } from './shared-appender.ts'
import { OwnSink, sharedSink } from './sink.ts'
import { Slots } from './slots.ts'
import { Staged } from './staged.ts'

/** The content store as the rest of this floor uses it. */
export interface Content extends ContentStore {
  /**
   * Makes staged chunks findable, in the transaction that makes something refer to them: bytes first, pointer second. The transaction
   * must commit or roll back as a whole (no savepoint around this alone).
   */
  publish(tx: Transaction, chunks: readonly ChunkPlace[], relies?: readonly Buffer[]): Promise<void>
  /**
   * Makes sure of what a change is about to refer to, in its transaction and before it: what was found unused meanwhile comes back, what
   * is gone is refused with ContentGone. `publish` does it for what it is given; this is for one change among others.
   */
  admit(tx: Transaction, claim: Claim): Promise<void>
  /** Lets staged content go that was refused and will never be published; a large body frees its disk space at once. */
  discard(staged: StagedContent): Promise<void>
  /** The content of a multipart object: refers to what its parts, published or in the same transaction, already are. */
  manifestOfParts(parts: readonly PartPiece[]): Promise<StagedContent>
  /** How what nothing refers to goes. */
  readonly collecting: Collecting
  /** True from a write that failed for want of room until one succeeds. */
  readonly full: boolean
  /** Aborts writers, waits for what is being written, closes all files. */
  close(): Promise<void>
}

/** What the content store is opened on. */
export interface ContentOptions {
  /** Holds the packs; made if its parent is there. */
  readonly folder: string
  readonly db: Database
  readonly log: Log
  readonly files?: FileLayer
  readonly limits?: Partial<ContentLimits>
  /** Called once, when the disk failed under a write or flush: the process must stop. */
  readonly onFatal?: (error: Error) => void
  /** 32 hex digits, never used before. */
  readonly newName?: () => string
}

/**
 * Opens the packs in `folder` whose index is in `db` (tables of `contentSchema`); one process at a time. Packs that were being written
 * when the last process ended are brought into order first. Throws NewerStore.
 */
export async function openContent(options: ContentOptions): Promise<Content> {
  const { folder, db, log, files = nodeFiles, onFatal = () => {}, newName = randomHexId } = options
  const limits = { ...defaultLimits, ...options.limits }
  const health = new Health(log, onFatal)
  const packs = new Packs({ folder, db, files, log, health, newName })
  const index = new ChunkIndex(db, limits.cachedPlaces)
  await refuseNewerPacks(db, folder)
  const open = await packs.load()
  const current = await recover({ db, packs, index, log, packBytes: limits.packBytes }, open)
  const someDoomed = (await db.get('SELECT 1 FROM doomed_chunk LIMIT 1')) !== undefined
  return new PackedContent({
    someDoomed,
    db,
    packs,
    index,
    health,
    limits,
    log,
    shared: new SharedAppender(packs, health, limits, current),
  })
}

interface StoreParts {
  readonly someDoomed: boolean
  readonly db: Database
  readonly packs: Packs
  readonly index: ChunkIndex
  readonly health: Health
  readonly limits: ContentLimits
  readonly log: Log
  readonly shared: SharedAppender
}

class PackedContent implements Content {
  readonly #packs: Packs
  readonly #index: ChunkIndex
  readonly #claims: Claims
  readonly #health: Health
  readonly #limits: ContentLimits
  readonly #shared: SharedAppender
  readonly #chunks: ChunkReader
  readonly #reader: ContentReader
  readonly #writerParts: WriterParts
  readonly collecting: Collecting
  readonly #writers = new Set<BodyWriter>()
  /** What bodies that are being received have in shared packs: not referred to yet, and needed. */
  readonly #staging = new Staged()
  /** Packs of one upload each that are durable, but not published. */
  readonly #ownPacks = new Set<number>()
  #closed = false

  constructor(parts: StoreParts) {
    const { db, packs, index, health, limits, log, shared } = parts
    this.#packs = packs
    this.#index = index
    const claims = new Claims(index, parts.someDoomed)
    this.#claims = claims
    this.#health = health
    this.#limits = limits
    this.#shared = shared
    const buffers = new BufferPool(CHUNK_BYTES, limits.spareBytes)
    const blocks = new BlockPool(limits.blockBytes, limits.spareBytes)
    this.#chunks = new ChunkReader({ index, packs, log, limits, buffers })
    this.#reader = new ContentReader(this.#chunks, limits)
    const isStagedIn = (pack: number) => this.#staging.has(pack)
    this.collecting = new ContentCollecting({ db, index, claims, packs, chunks: this.#chunks, shared, log, isStagedIn })
    this.#writerParts = { index, health, limits, slots: new Slots(limits.bytesInFlight), blocks }
  }

  get full(): boolean {
    return this.#health.full
  }

  async putBytes(bytes: Buffer, sha256?: Buffer): Promise<StagedContent> {
    this.#checkOpen()
    if (bytes.length > this.#limits.chunkBytes)
      throw new InvalidInput(`${bytes.length} bytes are too many for one chunk: use a writer`)
    if (bytes.length <= this.#limits.inlineBytes)
      return { size: bytes.length, content: { kind: 'inline', bytes: Buffer.from(bytes) }, chunks: [], relies: [] }
    return this.#putRecord('chunk', bytes, bytes.length, sha256)
  }

  async #putRecord(kind: RecordKind, data: Buffer, size: number, verified?: Buffer): Promise<StagedContent> {
    const sha256 = verified ?? (await sha256Of(data))
    const published = await this.#index.findSound(sha256)
    const chunks = published ? [] : [await this.#shared.append({ kind, sha256, data })]
    return { size, content: { kind, sha256 }, chunks, relies: published ? [sha256] : [] }
  }

  writer(options: { readonly expectedBytes?: number } = {}): ContentWriter {
    this.#checkOpen()
    const own = (options.expectedBytes ?? 0) >= this.#limits.ownPackBytes
    const sink = own
      ? new OwnSink(this.#packs, this.#health, this.#limits.flushEveryBytes, (pack) => this.#ownPacks.add(pack))
      : this.#staging.track(sharedSink(this.#shared))
    const writer = new BodyWriter(this.#writerParts, sink, (ended) => {
      this.#writers.delete(ended)
      this.#staging.ended(sink)
    })
    this.#writers.add(writer)
    return writer
  }

  async manifestOfParts(parts: readonly PartPiece[]): Promise<StagedContent> {
    this.#checkOpen()
    const manifest = encodeParts(parts)
    if (manifest.length > MAX_RECORD_BYTES)
      throw new InvalidInput(
        `the list of ${parts.length} parts takes ${manifest.length} bytes, more than a manifest may have`,
      )
    const size = parts.reduce((sum, part) => sum + part.size, 0)
    return this.#putRecord('manifest', manifest, size)
  }

  admit(tx: Transaction, claim: Claim): Promise<void> {
    return this.#claims.admit(tx, claim)
  }

  async publish(tx: Transaction, chunks: readonly ChunkPlace[], relies: readonly Buffer[] = []): Promise<void> {
    await this.#claims.admit(tx, { chunks, relies })
    if (chunks.length === 0) return
    await this.#claims.bringBack(
      tx,
      chunks.map(({ sha256 }) => sha256),
    )
    await this.#index.publish(tx, chunks)
    if (this.#ownPacks.size === 0) return
    const own = [...new Set(chunks.map(({ pack }) => pack))].filter((pack) => this.#ownPacks.has(pack))
    for (const pack of own) {
      await tx.run("UPDATE pack SET state = 'sealed' WHERE id = ?", [pack])
      tx.afterCommit(() => this.#ownPacks.delete(pack))
    }
  }

  async discard({ chunks }: StagedContent): Promise<void> {
    for (const id of new Set(chunks.map(({ pack }) => pack))) {
      // A pack of one upload is published whole or not at all; what lies in shared packs is left to gc.
      const name = this.#ownPacks.delete(id) ? this.#packs.nameOf(id) : undefined
      if (name !== undefined) await this.#packs.drop({ id, name })
    }
  }

  read(content: ContentRef, range?: ByteRange): Readable {
    return this.#reader.read(content, range)
  }

  lend(content: ContentRef, range?: ByteRange): AsyncIterable<Buffer> {
    return this.#reader.lend(content, range)
  }

  readBytes(content: ContentRef, range?: ByteRange): Promise<Buffer> {
    return this.#reader.readBytes(content, range)
  }

  parts(content: ContentRef): Promise<readonly StoredPart[] | undefined> {
    return this.#reader.parts(content)
  }

  #checkOpen(): void {
    if (this.#closed) throw new Error('the content store is closed')
    this.#health.check()
  }

  async close(): Promise<void> {
    this.#closed = true
    await Promise.all([...this.#writers].map((writer) => writer.abort()))
    await this.#shared.close()
    await this.#chunks.close()
  }
}
