import { MIB } from '../../kernel/index.ts'
import { InvalidArchive } from '../model/index.ts'
import { readTarHeader, TAR_BLOCK, type TarHeader, textOf } from './tar-header.ts'
import { readPax, refuseGlobalPax } from './tar-pax.ts'

/** What stands before a file and says more of it: long names, pax records. Far above what archivers write. */
const MAX_META_BYTES = 64 * 1024

/** Archives are filled up to whole records, of 10 KiB mostly and 1 MiB at most. Compressed, zeros without end cost their sender nothing. */
const MAX_END_BYTES = 16 * MIB

/** One member of an archive, with what was said of it before its header. */
export interface TarMember {
  /** As in a header: `0` file, `5` folder, `1` and `2` links, `3`, `4` and `6` devices and pipes. */
  readonly type: string
  /** Undefined if it is not UTF-8. */
  readonly name: string | undefined
  readonly size: number
  /** Seconds since 1970, with a fraction where the archive has one. */
  readonly mtime: number
  /** A file with holes: its bytes in the archive are not its content. */
  readonly sparse: boolean
}

/** What comes out of an archive, in its order. Bytes are only lent until the next `push`. */
export type TarEvent =
  /** A file that is there as a whole. */
  | { readonly kind: 'file'; readonly member: TarMember; readonly bytes: Buffer }
  /** A larger one: its pieces follow, then its end. */
  | { readonly kind: 'begin'; readonly member: TarMember }
  | { readonly kind: 'piece'; readonly bytes: Buffer }
  | { readonly kind: 'end' }
  /** Anything that is not a file. */
  | { readonly kind: 'other'; readonly member: TarMember }

type Body = 'whole' | 'stream' | 'skip' | 'pax' | 'global' | 'longName' | 'longLink'

/**
 * Reads a tar archive (ustar, pax, GNU, and those before) as it comes, in constant memory. An archive that stops before its end
 * marker, or goes on behind it, is InvalidArchive: half of it must not pass for the whole.
 */
export class TarParser {
  /** Files up to this size are handed over as a whole. */
  readonly #wholeBytes: number
  readonly #block = Buffer.alloc(TAR_BLOCK)
  #blockFilled = 0
  #member: TarMember | undefined
  #body: Body = 'skip'
  /** Of the body that is being read, and of the padding behind it. */
  #left = 0
  #padding = 0
  #whole: Buffer | undefined
  #wholeFilled = 0
  /** What was said before the header it is about. */
  #next: { name?: string | undefined; size?: number; mtime?: number; sparse?: boolean; hasName?: boolean } = {}
  #at = 0
  #ended = false
  /** Bytes of its end. */
  #zeros = 0

  constructor(wholeBytes: number) {
    this.#wholeBytes = wholeBytes
  }

  /** Throws InvalidArchive. */
  push(chunk: Buffer): TarEvent[] {
    const events: TarEvent[] = []
    let at = 0
    while (at < chunk.length) {
      const start = at
      if (this.#left > 0) at = this.#takeBody(chunk, at, events)
      else if (this.#padding > 0) {
        at = Math.min(chunk.length, at + this.#padding)
        this.#padding -= at - start
      } else at = this.#takeBlock(chunk, at, events)
      this.#at += at - start
    }
    return events
  }

  /** Throws InvalidArchive if there is more to come. */
  end(): void {
    if (this.#ended && this.#blockFilled === 0) return
    throw new InvalidArchive(`the archive ends early, at byte ${this.#at}: the rest of it is missing`, { at: this.#at })
  }

  #takeBlock(chunk: Buffer, at: number, events: TarEvent[]): number {
    if (this.#blockFilled === 0 && chunk.length - at >= TAR_BLOCK) {
      this.#readBlock(chunk.subarray(at, at + TAR_BLOCK), this.#at, events)
      return at + TAR_BLOCK
    }
    const copied = chunk.copy(this.#block, this.#blockFilled, at)
    this.#blockFilled += copied
    if (this.#blockFilled === TAR_BLOCK) {
      this.#blockFilled = 0
      this.#readBlock(this.#block, this.#at + copied - TAR_BLOCK, events)
    }
    return at + copied
  }

  #readBlock(block: Buffer, at: number, events: TarEvent[]): void {
    if (isZero(block)) {
      if (Object.keys(this.#next).length > 0) {
        throw new InvalidArchive('the archive is damaged: it ends where a file was announced', { at })
      }
      this.#ended = true
      this.#zeros += TAR_BLOCK
      if (this.#zeros <= MAX_END_BYTES) return
      throw new InvalidArchive(`the archive is damaged: it ends with more than ${MAX_END_BYTES} zeros`, { at })
    }
    if (this.#ended) {
      throw new InvalidArchive(
        `the archive goes on behind its end, at byte ${at}: archives that were joined are imported one by one`,
        { at },
      )
    }
    const header = readTarHeader(block, at)
    this.#left = header.size
    const meta = metaOf(header.type)
    if (meta) {
      if (header.size > MAX_META_BYTES) {
        throw new InvalidArchive(`the archive is damaged: what is said of a file takes ${header.size} bytes`, { at })
      }
      this.#begin(meta, header.size)
    } else this.#open(header, events)
    if (this.#left === 0 && this.#body !== 'skip') this.#endBody(events)
  }

  #open(header: TarHeader, events: TarEvent[]): void {
    const { name, size = header.size, mtime = header.mtime, sparse = false, hasName = false } = this.#next
    this.#next = {}
    const { type } = header
    const member = { type, name: hasName ? name : header.name, size, mtime, sparse: sparse || type === 'S' }
    this.#member = member
    if (type === '0' || type === '7') {
      this.#begin(size <= this.#wholeBytes ? 'whole' : 'stream', size)
      if (this.#body === 'stream') events.push({ kind: 'begin', member })
      return
    }
    events.push({ kind: 'other', member })
    // Links and devices have no content, whatever their size says; what is unknown has what it says.
    this.#begin('skip', '12346'.includes(type) ? 0 : size)
  }

  #begin(body: Body, size: number): void {
    this.#body = body
    this.#left = size
    this.#padding = (TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK
  }

  #takeBody(chunk: Buffer, at: number, events: TarEvent[]): number {
    const end = Math.min(chunk.length, at + this.#left)
    const taken = end - at
    const isAll = taken === this.#left
    if (this.#body === 'stream') events.push({ kind: 'piece', bytes: chunk.subarray(at, end) })
    else if (this.#body !== 'skip') {
      // Most files lie in one chunk as a whole; only those that do not are copied.
      if (isAll && this.#whole === undefined) this.#whole = chunk.subarray(at, end)
      else {
        this.#whole ??= Buffer.allocUnsafe(this.#left)
        this.#wholeFilled += chunk.copy(this.#whole, this.#wholeFilled, at, end)
      }
    }
    this.#left -= taken
    if (this.#left === 0) this.#endBody(events)
    return end
  }

  #endBody(events: TarEvent[]): void {
    const bytes = this.#whole ?? Buffer.alloc(0)
    this.#whole = undefined
    this.#wholeFilled = 0
    switch (this.#body) {
      case 'whole':
        events.push({ kind: 'file', member: this.#member!, bytes })
        return
      case 'stream':
        events.push({ kind: 'end' })
        return
      case 'pax':
        // What pax says is meant to win, whichever of the two comes first.
        this.#next = { ...this.#next, ...readPax(bytes) }
        return
      case 'global':
        refuseGlobalPax(bytes)
        return
      case 'longName':
        if (!this.#next.hasName) this.#next = { ...this.#next, name: textOf(bytes), hasName: true }
        return
      default:
    }
  }
}

function metaOf(type: string): Body | undefined {
  switch (type) {
    case 'x':
    case 'X':
      return 'pax'
    case 'g':
      return 'global'
    case 'L':
      return 'longName'
    case 'K':
      return 'longLink'
    default:
      return undefined
  }
}

const zeros = Buffer.alloc(TAR_BLOCK)
const isZero = (block: Buffer) => block[0] === 0 && block.equals(zeros)
