import { contentTypeOf, MIB } from '../../kernel/index.ts'
import type { HistoryContext } from '../history/index.ts'
import type { ImportOptions, SkippedMember } from '../imports.ts'
import { type Attributes, type CommitId, InvalidArchive, type Path } from '../model/index.ts'
import { encodeEntry, encodeLeaf } from '../tree/index.ts'
import { decompressed } from './decompress.ts'
import { FileStore, type StoredFile } from './files.ts'
import { placeMember } from './paths.ts'
import { recordBytes, writeRecord } from './records.ts'
import { type TarEvent, type TarMember, TarParser } from './tar.ts'
import type { ImportWork } from './work.ts'

/** Files up to this size are stored as one piece, many at a time. */
const SMALL_BYTES = MIB
/** Entries cross to the worker in pieces of this. */
const BATCH_BYTES = MIB
/** Left out members that are named; the first few say enough. */
const MAX_NAMED = 20
/** The number of a record has 32 bits. */
const MAX_FILES = 2 ** 32 - 1

/** What came out of an archive. */
export interface Received {
  readonly files: number
  readonly bytes: number
  readonly skipped: readonly SkippedMember[]
  readonly skippedTotal: number
}

interface LargeFile {
  readonly path: Path
  readonly member: TarMember
  readonly number: number
}

const noMetadata = Object.freeze({})

/** Takes an archive apart: content to the store, entries to the worker. */
export class ArchiveReceiver {
  readonly #work: ImportWork
  readonly #store: FileStore
  readonly #options: ImportOptions
  readonly #commit: CommitId
  readonly #modifiedMs: number
  readonly #parser = new TarParser(SMALL_BYTES)
  #batch = Buffer.allocUnsafeSlow(BATCH_BYTES)
  #filled = 0
  #number = 0
  #bytes = 0
  readonly #skipped: SkippedMember[] = []
  #skippedTotal = 0
  /** The large file that is coming, if there is a place for it. */
  #open: LargeFile | undefined
  #full: Buffer<ArrayBuffer>[] = []

  constructor(context: HistoryContext, work: ImportWork, commit: CommitId, options: ImportOptions) {
    this.#work = work
    this.#commit = commit
    this.#options = options
    this.#store = new FileStore(context)
    this.#modifiedMs = context.clock.now()
  }

  /** All content is durable and published when it resolves. Throws InvalidArchive, StorageFull, what the archive's source throws. */
  async receive(archive: AsyncIterable<Buffer>): Promise<Received> {
    try {
      for await (const piece of decompressed(archive)) {
        for (const event of this.#parser.push(piece)) {
          const wait = this.#take(event)
          if (wait) await wait
        }
        if (this.#full.length > 0) await this.#send()
      }
      this.#parser.end()
      await this.#store.finish()
      this.#turn()
      await this.#send()
    } catch (error) {
      await this.#store.abandon()
      throw error
    }
    if (this.#number === 0) throw new InvalidArchive('there is no file in the archive that could be imported')
    const { files, bytes } = { files: this.#number, bytes: this.#bytes }
    return { files, bytes, skipped: this.#skipped, skippedTotal: this.#skippedTotal }
  }

  /** Most events are done with at once: awaiting each would take longer than they do. */
  #take(event: TarEvent): Promise<void> | undefined {
    switch (event.kind) {
      case 'file': {
        const path = this.#place(event.member)
        if (path === undefined) return undefined
        const { member, bytes } = event
        const number = this.#count(member)
        const inline = this.#store.inline(bytes)
        if (inline) return this.#add(path, member, number, inline)
        // The piece that it came in is the connection's again after this.
        return this.#store.small(Buffer.from(bytes), (file) => this.#add(path, member, number, file))
      }
      case 'begin': {
        const path = this.#place(event.member)
        if (path === undefined) return undefined
        this.#open = { path, member: event.member, number: this.#count(event.member) }
        this.#store.begin(event.member.size)
        return undefined
      }
      case 'piece':
        return this.#open && this.#store.piece(event.bytes)
      case 'end':
        return this.#open && this.#end(this.#open)
      case 'other':
        this.#place(event.member)
        return undefined
    }
  }

  async #end({ path, member, number }: LargeFile): Promise<void> {
    const file = await this.#store.end()
    this.#open = undefined
    this.#add(path, member, number, file)
  }

  /** Undefined: there is no place for it, and that is no reason to stop. Throws InvalidArchive. */
  #place(member: TarMember): Path | undefined {
    const placed = placeMember(member, this.#options.prefix ?? '')
    if (placed.kind === 'file') return placed.path
    if (placed.kind === 'folder') return undefined
    const name = member.name ?? '(not UTF-8)'
    if (!this.#options.skip) {
      throw new InvalidArchive(`${JSON.stringify(name)} in the archive ${placed.why}`, { name, why: placed.why })
    }
    this.#skippedTotal++
    if (this.#skipped.length < MAX_NAMED) this.#skipped.push({ name, why: placed.why })
    return undefined
  }

  #count(member: TarMember): number {
    if (this.#number >= MAX_FILES) throw new InvalidArchive(`an archive may have at most ${MAX_FILES} files`)
    this.#bytes += member.size
    return ++this.#number
  }

  #add(path: Path, member: TarMember, number: number, { staged, etag }: StoredFile): undefined {
    const entry = {
      size: staged.size,
      etag,
      content: staged.content,
      modifiedMs: this.#modifiedMs,
      attributes: this.#attributesOf(path, member),
    }
    const key = Buffer.from(path)
    const value = encodeLeaf({ commit: this.#commit, seq: number }, encodeEntry(entry))
    if (this.#filled + recordBytes(key, value) > this.#batch.length) this.#turn()
    this.#filled = writeRecord(this.#batch, this.#filled, number, { key, size: staged.size, value })
  }

  #attributesOf(path: Path, member: TarMember): Attributes {
    const contentType = contentTypeOf(path)
    const metadata = this.#options.keepTimes ? { mtime: String(member.mtime) } : noMetadata
    return contentType === undefined ? { metadata } : { contentType, metadata }
  }

  #turn(): void {
    this.#full.push(this.#batch.subarray(0, this.#filled))
    this.#batch = Buffer.allocUnsafeSlow(BATCH_BYTES)
    this.#filled = 0
  }

  async #send(): Promise<void> {
    while (this.#full.length > 0) await this.#work.add(this.#full.shift()!)
  }
}
