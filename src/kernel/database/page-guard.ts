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

const datasync = promisify(fs.fdatasync)

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
  #freshCount = 0
  /** A guess from above of the frames that were not counted yet. */
  #guess = 0
  #reading: Promise<void> = Promise.resolve()

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
      if (known) {
        const report = await guard.#inspect(false)
        const replaced = !known.closed && report.damaged.length > 0 && isEmpty(`${file}-wal`)
        if (replaced) {
          // After a crash somebody else has opened it: the log that was there is in the database now, and its sums nobody has.
          log.warn({ file }, 'another program has written to the database since the last crash: its sums are made anew')
          guard.#sums = new PageSums()
          guard.#end = 0
        } else if (!tolerant || report.wal) refuse(file, report)
      }
      guard.#sumsFd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600)
      if (guard.#end > 0) await guard.#append([], false)
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
    await this.#readLog(() => nextTurn())
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
    this.#rewrite()
  }

  /** A transaction that changed about so many rows was committed. Returns true when it is time for a checkpoint. */
  async committed(rows: number): Promise<boolean> {
    this.#guess += 4 + rows * 3
    if (this.#guess < COUNT_FROM) return false
    this.#guess = 0
    await this.#readLog(() => nextTurn())
    return this.#wal.frames >= CHECKPOINT_FRAMES
  }

  /**
   * Writes the log back: the sums first, then what `writeBack` does. Nobody may write meanwhile, in any process. Throws what the
   * system throws; then nothing was written back.
   */
  async checkpoint(writeBack: () => Promise<void>): Promise<void> {
    await this.#readLog()
    if (this.#freshCount > 0) {
      const fresh = this.#fresh
      await this.#append(fresh, false)
      this.#fresh = new Map()
      this.#freshCount = 0
      for (const [page, sum] of fresh) this.#sums.set(page, sum)
    }
    await writeBack()
    if (this.#end > MIN_REWRITE_BYTES && this.#end > MAX_GROWTH * 12 * this.#sums.pageCount) this.#rewrite()
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

  /** The sums can't be kept: the next one to open the database takes it as it is. */
  forget(): void {
    fs.rmSync(sumsFileOf(this.#file), { force: true })
    this.#end = 0
  }

  /** After the last connection was closed. */
  async close(): Promise<void> {
    try {
      if (!this.unknown && isEmpty(`${this.#file}-wal`)) await this.#append([], true)
    } finally {
      if (this.#sumsFd >= 0) fs.closeSync(this.#sumsFd)
      fs.closeSync(this.#fd)
    }
  }

  /** Reads what was committed since; one at a time. */
  #readLog(rest?: () => Promise<void>): Promise<void> {
    const next = this.#reading.then(async () => {
      const { pageCount } = await this.#wal.read(
        (page, data) => {
          this.#inLog.add(page)
          this.#fresh.set(page, sumOfPage(data))
          this.#freshCount++
        },
        () => this.#inLog.clear(),
        rest,
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
      const read = fs.readSync(this.#fd, block, 0, READ_BYTES, at)
      for (let from = 0; from < read; from += this.#pageBytes) {
        onPage((at + from) / this.#pageBytes + 1, block.subarray(from, Math.min(read, from + this.#pageBytes)))
      }
      await nextTurn()
    }
  }

  async #append(pages: Iterable<readonly [number, PageSum]>, closed: boolean): Promise<void> {
    const record = encodeSums(pages, { pageCount: this.#sums.pageCount, closed })
    fs.writeSync(this.#sumsFd, record, 0, record.length, this.#end)
    await datasync(this.#sumsFd)
    this.#end += record.length
  }

  #rewrite(): void {
    const record = encodeSums(this.#sums, { pageCount: this.#sums.pageCount, closed: false })
    const path = sumsFileOf(this.#file)
    rewriteSums(path, record)
    if (this.#sumsFd >= 0) fs.closeSync(this.#sumsFd)
    this.#sumsFd = fs.openSync(path, 'r+')
    this.#end = record.length
  }
}

/** The one bit that makes the page right again, by both sums. */
function flippedBit(data: Buffer, sum: PageSum | undefined): number | undefined {
  if (!sum) return undefined
  const page = Buffer.from(data)
  const wanted = (crc32(page) ^ sum.crc) >>> 0
  const zero = Buffer.alloc(page.length)
  const none = crc32(zero)
  // A CRC is linear: what a flipped bit does to it does not depend on the other bits.
  for (let bit = 0; bit < page.length * 8; bit++) {
    zero[bit >> 3] = 1 << (bit & 7)
    const change = (crc32(zero) ^ none) >>> 0
    zero[bit >> 3] = 0
    if (change !== wanted) continue
    page[bit >> 3] = (page[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    return sumOfPage(page).check === sum.check ? bit : undefined
  }
  return undefined
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

/** Turns single flipped bits back, in the files of a database that nobody has open. Returns what could not be mended. */
export async function mendPages(file: string, report: PageReport): Promise<PageReport> {
  const left: DamagedPage[] = []
  const fd = fs.openSync(file, 'r+')
  try {
    for (const page of report.damaged) {
      if (page.bit === undefined) left.push(page)
      else flipOnDisk(fd, (page.page - 1) * report.pageBytes + (page.bit >> 3), page.bit & 7)
    }
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
  const { wal } = report
  const rest = { checked: report.checked, pageBytes: report.pageBytes, damaged: left }
  if (wal?.flip === undefined) return { ...rest, ...(wal ? { wal } : {}) }
  const log = fs.openSync(`${file}-wal`, 'r+')
  try {
    flipOnDisk(log, wal.flip.byte, wal.flip.bit)
    fs.fsyncSync(log)
  } finally {
    fs.closeSync(log)
  }
  return rest
}

function flipOnDisk(fd: number, position: number, bit: number): void {
  const byte = Buffer.alloc(1)
  fs.readSync(fd, byte, 0, 1, position)
  byte[0] = (byte[0] ?? 0) ^ (1 << bit)
  fs.writeSync(fd, byte, 0, 1, position)
}
