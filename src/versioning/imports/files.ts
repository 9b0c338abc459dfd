import { hash } from 'node:crypto'
import { bodyDigest, MAX_INLINE_BYTES, MIB } from '../../kernel/index.ts'
import type { ChunkPlace, ContentWriter, StagedContent } from '../content-store.ts'
import type { HistoryContext } from '../history/index.ts'

/** Bodies that are being made durable at once: they share the flushes of their pack. */
const MAX_STORING = 1_000
const MAX_STORING_BYTES = 32 * MIB
/** Chunks that one transaction publishes, or makes sure of. */
const PUBLISH_AT_ONCE = 250

/** A file whose bytes are durable. */
export interface StoredFile {
  readonly staged: StagedContent
  readonly etag: string
}

/**
 * Stores the content of an archive's files, many small ones at once, and publishes it bit by bit: a transaction for all of it would
 * hold up every writer. Nothing refers to it until the tree of the import does.
 */
export class FileStore {
  readonly #context: HistoryContext
  readonly #running = new Set<Promise<void>>()
  #storingBytes = 0
  #unpublished: StagedContent[] = []
  #chunks = 0
  #error: unknown
  #large: { writer: ContentWriter; digest: ReturnType<typeof bodyDigest> } | undefined

  constructor(context: HistoryContext) {
    this.#context = context
  }

  /** At once, if nothing has to be stored for it. The bytes are copied. */
  inline(bytes: Buffer): StoredFile | undefined {
    if (bytes.length > MAX_INLINE_BYTES) return undefined
    const staged: StagedContent = { size: bytes.length, content: { kind: 'inline', bytes }, chunks: [], relies: [] }
    return { staged, etag: hash('md5', bytes) }
  }

  /** `use` is called once it is durable; waits only while too many others are under way. The buffer is kept until then. */
  async small(bytes: Buffer, use: (file: StoredFile) => void): Promise<void> {
    while (this.#running.size >= MAX_STORING || this.#storingBytes > MAX_STORING_BYTES)
      await Promise.race(this.#running)
    this.#check()
    this.#storingBytes += bytes.length
    const etag = hash('md5', bytes)
    const run: Promise<void> = this.#context.content
      .putBytes(bytes)
      .then((staged) => {
        this.#note(staged)
        use({ staged, etag })
      })
      .catch((error: unknown) => {
        this.#error ??= error
      })
      .finally(() => {
        this.#storingBytes -= bytes.length
        this.#running.delete(run)
      })
    this.#running.add(run)
    if (this.#chunks >= PUBLISH_AT_ONCE) await this.publish()
  }

  begin(size: number): void {
    this.#large = {
      writer: this.#context.content.writer({ expectedBytes: size }),
      digest: bodyDigest(['md5'], { expectedBytes: size }),
    }
  }

  async piece(bytes: Buffer): Promise<void> {
    const { writer, digest } = this.#large!
    await digest.update(bytes)
    await writer.write(bytes)
  }

  async end(): Promise<StoredFile> {
    const { writer, digest } = this.#large!
    const etag = (await digest.digest()).get('md5')!.toString('hex')
    const staged = await writer.finish()
    this.#large = undefined
    this.#note(staged)
    if (this.#chunks >= PUBLISH_AT_ONCE) await this.publish()
    return { staged, etag }
  }

  /** Waits for all of it, and makes it findable. */
  async finish(): Promise<void> {
    await Promise.all(this.#running)
    this.#check()
    await this.publish()
  }

  async publish(): Promise<void> {
    const staged = this.#unpublished
    this.#unpublished = []
    this.#chunks = 0
    for (let at = 0; at < staged.length; ) {
      const chunks: ChunkPlace[] = []
      const relies: Buffer[] = []
      for (; at < staged.length && chunks.length + relies.length < PUBLISH_AT_ONCE; at++) {
        for (const chunk of staged[at]!.chunks) chunks.push(chunk)
        for (const sha256 of staged[at]!.relies) relies.push(sha256)
      }
      await this.#context.db.write((tx) => this.#context.content.publish(tx, chunks, relies))
    }
  }

  /** Lets go of what was not published; what was is nobody's, and goes with the next collection of garbage. */
  async abandon(): Promise<void> {
    this.#large?.digest.abandon()
    await this.#large?.writer.abort()
    await Promise.all(this.#running)
    for (const staged of this.#unpublished.splice(0)) await this.#context.content.discard(staged)
  }

  #note(staged: StagedContent): void {
    this.#unpublished.push(staged)
    this.#chunks += staged.chunks.length + staged.relies.length
  }

  #check(): void {
    if (this.#error !== undefined) throw this.#error
  }
}
