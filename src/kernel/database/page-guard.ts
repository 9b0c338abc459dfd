import fs from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { promisify } from 'node:util'
import { crc32 } from 'node:zlib'
import { Corrupt, errnoOf } from '../errors.ts'
import type { Log } from '../log.ts'
import { encodeSums, loadSums, type PageSum, PageSums, rewriteSums, sumOfPage } from './sum-log.ts'
import { inspectWal, type WalDamage, WalFile } from './wal-file.ts'

/** Committed frames from which the log is written back into the database, as SQLite does by itself at 1,000. */
const CHECKPOINT_FRAMES = 4000
/** Frames that the transactions since may have made, from which it is worth counting. */
const COUNT_FROM = 4000
/** The file of sums is written anew when it has grown to so many times what it must hold. */
const MAX_GROWTH = 4
const MIN_REWRITE_BYTES = 1_048_576
const READ_BYTES = 1_048_576
const DEFAULT_PAGE_BYTES = 4096
/** Damaged pages that are told. */
const MAX_DAMAGED = 1000

/** How often a start tells how far it is, in ms. */
const TELL_MS = 5000

const datasync = promisify(fs.fdatasync)
const readInto = promisify(fs.read)

/** A page of a database that is not what was written. */
export interface DamagedPage {
  readonly page: number
  /** The bit of it that was flipped, if that is all. */
  readonly bit?: number
}

/** What a look at the files of a closed database has found. */
export interface PageReport {
  readonly checked: number
  readonly pageBytes: number
  readonly damaged: readonly DamagedPage[]
  readonly wal?: WalDamage
}

/** Sums of pages as they were at one moment, and how many pages the database had then. */
export interface TakenSums {
  readonly pages: ReadonlyMap<number, PageSum>
  readonly pageCount: number
}

export function sumsFileOf(file: string): string {
  return `${file}-sums`
}

/**
 * Sums of the pages of one database, kept beside it: SQLite has none in its file, and a bit that flips there would change what is
 * served. The pages that a checkpoint is about to write have their sums written first, and durably; what the log holds is protected by
 * its own checksums until then. So a page that is not in the log must have its sum, whenever the process died.
 *
 * The database must be open for writing here only, with no checkpoint but `checkpoint`. Its file is opened once and stays open: closing
 * any descriptor of it would take the locks of all connections of this process.
 */
export class PageGuard {
  readonly #file: string
  readonly #wal: WalFile
  #sums: PageSums
  readonly #fd: number
  #sumsFd: number
  #end: number
  readonly #pageBytes: number
  /** Pages whose newest version is in the log, with their sums once they are known. */
  readonly #inLog = new Set<number>()
  #fresh = new Map<number, PageSum>()
  /** A guess from above of the frames that were not counted yet. */
  #guess = 0
  #reading: Promise<void> = Promise.resolve()
  /** What writes to the file of sums, one after the other. */
  #writing: Promise<unknown> = Promise.resolve()
  /** The log was written to since the database was opened, and the file of sums says so. */
  #logged = false
  /** Behind the end of the file of sums may be what could not be written to its end. */
  #torn = false
  #tell: ((bytes: number, of: number) => void) | undefined

  private constructor(file: string, fds: { fd: number; sumsFd: number }, sums: PageSums, end: number) {
    this.#file = file
    this.#wal = new WalFile(`${file}-wal`)
    this.#sums = sums
    this.#fd = fds.fd
    this.#pageBytes = pageBytesOf(fds.fd)
    this.#sumsFd = fds.sumsFd
    this.#end = end
  }

  /**
   * Before the database is opened. Throws Corrupt if its files are not what was written: nothing of them is served then. A database
   * without sums gets them by `adopt`. `tolerant`: a check opens it all the same, unless its log is damaged, of which opening would cut off the rest.
   */
  static async open(file: string, log: Log, tolerant = false): Promise<PageGuard> {
    const path = sumsFileOf(file)
    const fd = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_CREAT, 0o600)
    try {
      const loaded = loadSums(path)
      if (loaded === 'damaged') log.warn({ file: path }, 'the sums of the database are damaged and are made anew')
      const known = typeof loaded === 'string' ? undefined : loaded
      const guard = new PageGuard(file, { fd, sumsFd: -1 }, known?.sums ?? new PageSums(), known?.end ?? 0)
      guard.#tell = nowAndThen((bytes, of) => log.info({ file, bytes, of }, 'reading the metadata against its sums'))
      if (known) {
        const report = await guard.#inspect(false)
        const replaced = known.logged && report.damaged.length > 0 && isEmpty(`${file}-wal`)
        if (replaced) {
          // After a crash there was a log. Somebody else has opened it: the log is in the database now, and its sums nobody has.
          log.warn({ file }, 'another program has written to the database since the last crash: its sums are made anew')
          guard.#sums = new PageSums()
          guard.#end = 0
        } else if (!tolerant || report.wal) refuse(file, report)
      }
      guard.#sumsFd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600)
      // Who has none yet is read for them next.
      if (!guard.unknown) guard.#tell = undefined
      guard.#logged = !isEmpty(`${file}-wal`)
      if (guard.#end > 0) await guard.#append(new Map(), false)
      return guard
    } catch (error) {
      fs.closeSync(fd)
      throw error
    }
  }

  /** Looks at the files of a database that nobody has open, and changes nothing. Without sums nothing can be said of the pages. */
  static async inspect(file: string): Promise<PageReport> {
    const loaded = loadSums(sumsFileOf(file))
    const wal = inspectWal(`${file}-wal`)
    if (typeof loaded === 'string') {
      return { checked: 0, pageBytes: DEFAULT_PAGE_BYTES, damaged: [], ...(wal ? { wal } : {}) }
    }
    const fd = fs.openSync(file, 'r')
    try {
      const guard = new PageGuard(file, { fd, sumsFd: -1 }, loaded.sums, loaded.end)
      return await guard.#inspect(true)
    } finally {
      fs.closeSync(fd)
    }
  }

  /** `bits`: also which bit of a page was flipped, which takes a while for each. */
  async #inspect(bits: boolean): Promise<PageReport> {
    const wal = inspectWal(`${this.#file}-wal`)
    await this.#readLog()
    const report = await this.#compare(bits)
    return wal ? { ...report, wal } : report
  }

  /** True until the pages of a database that came without sums have them. */
  get unknown(): boolean {
    return this.#end === 0
  }

  /** Takes the database as it is. Nobody may write meanwhile, and the log must have been written back. */
  async adopt(): Promise<void> {
    await this.#pages((page, data) => this.#sums.set(page, sumOfPage(data)))
    this.#sums.pageCount = Math.floor(fs.fstatSync(this.#fd).size / this.#pageBytes)
    await this.#rewrite()
    this.#tell = undefined
  }

  /** A transaction that changed about so many rows was committed. Returns true when it is time for a checkpoint. */
  async committed(rows: number): Promise<boolean> {
    this.#guess += 4 + rows * 3
    if (!this.#logged && !this.unknown) {
      this.#logged = true
      await this.#append(new Map(), false)
    }
    if (this.#guess < COUNT_FROM) return false
    this.#guess = 0
    await this.#readLog()
    return this.#wal.frames >= CHECKPOINT_FRAMES
  }

  /**
   * The sums of what the log holds, to be handed to `keep`. Nobody may write while it is called: what was read of a transaction whose flush
   * did not end might be gone after a crash, and its sums must not be there then.
   */
  async take(): Promise<TakenSums> {
    await this.#readLog()
    const taken = { pages: this.#fresh, pageCount: this.#sums.pageCount }
    this.#fresh = new Map()
    return taken
  }

  /**
   * Makes them durable: the pages may be written back then, in the state in which they were taken, while others write. The log must not begin
   * anew before that. Throws what the system throws; then they are taken again the next time.
   */
  async keep({ pages, pageCount }: TakenSums): Promise<void> {
    if (pages.size === 0) return
    try {
      await this.#append(pages, false, pageCount)
    } catch (error) {
      for (const [page, sum] of pages) if (!this.#fresh.has(page)) this.#fresh.set(page, sum)
      throw error
    }
    for (const [page, sum] of pages) this.#sums.set(page, sum)
  }

  /**
   * Writes the log back: the sums first, then what `writeBack` does. Nobody may write meanwhile, in any process. Throws what the
   * system throws; then nothing was written back.
   */
  async checkpoint(writeBack: () => Promise<void>): Promise<void> {
    await this.keep(await this.take())
    await writeBack()
    if (!this.#logged || !isEmpty(`${this.#file}-wal`)) return
    // It was cut off, and an empty log must not be taken for one that somebody else has written back.
    this.#logged = false
    await this.#append(new Map(), false)
  }

  /** Writes the file of sums anew if it has grown too long. Transactions go on meanwhile, and no checkpoint may. */
  async compact(): Promise<void> {
    if (this.#end > MIN_REWRITE_BYTES && this.#end > MAX_GROWTH * 12 * this.#sums.pageCount) await this.#rewrite()
  }

  /** Compares the pages on the disk with their sums, while the database is used; `frozen` runs its work while nobody writes. */
  async check(frozen: <Result>(work: () => Promise<Result>) => Promise<Result>): Promise<PageReport> {
    const report = await this.#compare(false)
    if (report.damaged.length === 0) return report
    // A checkpoint may have come between.
    return frozen(async () => {
      await this.#readLog()
      const damaged = report.damaged.filter(({ page }) => this.#isDamaged(page, this.#readPage(page)))
      return { ...report, damaged }
    })
  }

  /** After the last connection was closed. */
  async close(): Promise<void> {
    try {
      if (!this.unknown && isEmpty(`${this.#file}-wal`)) await this.#append(new Map(), true)
    } finally {
      if (this.#sumsFd >= 0) fs.closeSync(this.#sumsFd)
      fs.closeSync(this.#fd)
    }
  }

  /** Reads what was committed since; one at a time. */
  #readLog(): Promise<void> {
    const next = this.#reading.then(async () => {
      const { pageCount } = await this.#wal.read(
        (page, data) => {
          this.#inLog.add(page)
          this.#fresh.set(page, sumOfPage(data))
        },
        () => this.#inLog.clear(),
        () => nextTurn(),
      )
      if (pageCount !== undefined) this.#sums.pageCount = pageCount
    })
    this.#reading = next.catch(() => {
      // Whoever asked has the error.
    })
    return next
  }

  async #compare(bits: boolean): Promise<PageReport> {
    const damaged: DamagedPage[] = []
    let checked = 0
    await this.#pages((page, data) => {
      checked++
      if (this.#inLog.has(page) || damaged.length >= MAX_DAMAGED || !this.#isDamaged(page, data)) return
      const bit = bits ? flippedBit(data, this.#sums.get(page)) : undefined
      damaged.push(bit === undefined ? { page } : { page, bit })
    })
    for (let page = checked + 1; page <= this.#sums.pageCount && damaged.length < MAX_DAMAGED; page++) {
      if (!this.#inLog.has(page) && this.#sums.get(page)) damaged.push({ page })
    }
    return { checked, pageBytes: this.#pageBytes, damaged }
  }

  #isDamaged(page: number, data: Buffer): boolean {
    if (this.#inLog.has(page)) return false
    const sum = this.#sums.get(page)
    return sum !== undefined && crc32(data) !== sum.crc
  }

  #readPage(page: number): Buffer {
    const data = Buffer.alloc(this.#pageBytes)
    fs.readSync(this.#fd, data, 0, data.length, (page - 1) * this.#pageBytes)
    return data
  }

  async #pages(onPage: (page: number, data: Buffer) => void): Promise<void> {
    const { size } = fs.fstatSync(this.#fd)
    const block = Buffer.alloc(READ_BYTES)
    for (let at = 0; at < size; at += READ_BYTES) {
      const { bytesRead: read } = await readInto(this.#fd, block, 0, READ_BYTES, at)
      for (let from = 0; from < read; from += this.#pageBytes) {
        onPage((at + from) / this.#pageBytes + 1, block.subarray(from, Math.min(read, from + this.#pageBytes)))
      }
      this.#tell?.(at + read, size)
    }
  }

  #append(pages: ReadonlyMap<number, PageSum>, closed: boolean, pageCount = this.#sums.pageCount): Promise<void> {
    return this.#alone(async () => {
      const record = await encodeSums(pages, {
        pageCount,
        closed,
        logged: this.#logged && !closed,
      })
      // What is left of a longer record would be taken for damage.
      if (this.#torn) fs.ftruncateSync(this.#sumsFd, this.#end)
      this.#torn = true
      for (let at = 0; at < record.length; ) {
        at += fs.writeSync(this.#sumsFd, record, at, record.length - at, this.#end + at)
      }
      await datasync(this.#sumsFd)
      this.#torn = false
      this.#end += record.length
    })
  }

  #rewrite(): Promise<void> {
    return this.#alone(async () => {
      const { pageCount } = this.#sums
      const record = await encodeSums(this.#sums, { pageCount, closed: false, logged: this.#logged })
      const path = sumsFileOf(this.#file)
      await rewriteSums(path, record)
      if (this.#sumsFd >= 0) fs.closeSync(this.#sumsFd)
      this.#sumsFd = fs.openSync(path, 'r+')
      this.#torn = false
      this.#end = record.length
    })
  }

  #alone(work: () => Promise<void>): Promise<void> {
    const next = this.#writing.then(work)
    this.#writing = next.catch(() => {
      // Whoever asked has the error.
    })
    return next
  }
}

/** The one bit that makes the page right again, by both sums. */
function flippedBit(data: Buffer, sum: PageSum | undefined): number | undefined {
  if (!sum) return undefined
  const wanted = (crc32(data) ^ sum.crc) >>> 0
  // A CRC is linear: what a flipped bit does to it does not depend on the other bits, and shifts with each byte behind it.
  const none = crc32(Buffer.of(0))
  const changes = Uint32Array.from({ length: 256 }, (_, byte) => crc32(Buffer.of(byte)) ^ none)
  const ofBits = Uint32Array.from({ length: 8 }, (_, bit) => changes[1 << bit] ?? 0)
  for (let byte = data.length - 1; byte >= 0; byte--) {
    const bit = ofBits.indexOf(wanted)
    if (bit >= 0) {
      const page = Buffer.from(data)
      page[byte] = (page[byte] ?? 0) ^ (1 << bit)
      return sumOfPage(page).check === sum.check ? byte * 8 + bit : undefined
    }
    for (const [at, change] of ofBits.entries()) ofBits[at] = (change >>> 8) ^ (changes[change & 255] ?? 0)
  }
  return undefined
}

function nowAndThen(tell: (bytes: number, of: number) => void): (bytes: number, of: number) => void {
  let told = performance.now()
  return (bytes, of) => {
    if (performance.now() - told < TELL_MS) return
    told = performance.now()
    tell(bytes, of)
  }
}

function pageBytesOf(fd: number): number {
  const header = Buffer.alloc(18)
  if (fs.readSync(fd, header, 0, header.length, 0) < header.length) return DEFAULT_PAGE_BYTES
  const bytes = header.readUInt16BE(16)
  // SQLite has powers of two only, and 1 for 65,536: another number is damage, which the page's sum tells.
  return bytes >= 512 && (bytes & (bytes - 1)) === 0 ? bytes : DEFAULT_PAGE_BYTES
}

function refuse(file: string, { damaged, wal }: PageReport): void {
  if (damaged.length === 0 && !wal) return
  const pages = damaged.slice(0, 10).map(({ page }) => page)
  const what = wal ? 'the log of the metadata database' : `${damaged.length} page(s) of the metadata database`
  throw new Corrupt(
    `${what} are not what was written (${file}${pages.length > 0 ? `, page ${pages.join(', ')}` : '-wal'}). Nothing of it is served: run \`sluice fsck --repair --data <folder>\`, or restore a backup. If another program has written to it, and rightly so, remove ${sumsFileOf(file)}`,
    { file, pages, ...(wal ? { frame: wal.frame } : {}) },
  )
}

function isEmpty(path: string): boolean {
  try {
    return fs.statSync(path).size === 0
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return true
    throw error
  }
}
