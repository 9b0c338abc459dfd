import fs from 'node:fs'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { errnoOf } from '../errors.ts'
import { checksum } from './wal-file.ts'

/**
 * The file of the sums of a database's pages: records, each
 *
 *   "SlPs", number of pages u32, pages of the database u32, flags u32 (1: closed in order), CRC-32 u32 of the 16 bytes before and the rest
 *   for each page: its number, its CRC-32, the two words of its checksum as SQLite's log has it in one; all little-endian
 *
 * A later record wins. A record that is cut short ends the file: what it was to protect was not written yet.
 */
const MAGIC = Buffer.from('SlPs')
const HEADER_BYTES = 20
const PAGE_BYTES = 12
const CLOSED = 1

/** Sums of one page: one that is quick to compare, and one that leaves no doubt where a page was mended. */
export interface PageSum {
  readonly crc: number
  readonly check: number
}

export function sumOfPage(data: Buffer): PageSum {
  const [one, other] = checksum([0, 0], data, 0, data.length, false)
  // Sums of another algebra than the CRC's: what deceives the one does not deceive the other.
  return { crc: crc32(data), check: (one ^ ((other << 13) | (other >>> 19))) >>> 0 }
}

/** Sums by page, in memory: 8 bytes each. A page without sums is not known. */
export class PageSums {
  #words = new Uint32Array(2048)
  /** Pages of the database when it was last written down. */
  pageCount = 0

  get(page: number): PageSum | undefined {
    const crc = this.#words[page * 2] ?? 0
    const check = this.#words[page * 2 + 1] ?? 0
    return crc === 0 && check === 0 ? undefined : { crc, check }
  }

  set(page: number, { crc, check }: PageSum): void {
    if (page * 2 + 1 >= this.#words.length) {
      const grown = new Uint32Array(Math.max(this.#words.length * 2, (page + 1) * 2))
      grown.set(this.#words)
      this.#words = grown
    }
    this.#words[page * 2] = crc
    this.#words[page * 2 + 1] = check
  }

  *[Symbol.iterator](): Generator<[number, PageSum]> {
    for (let page = 1; page * 2 < this.#words.length; page++) {
      const sum = this.get(page)
      if (sum) yield [page, sum]
    }
  }
}

/** What was found in the file. */
export interface LoadedSums {
  readonly sums: PageSums
  /** The database was closed in order, and its log was empty. */
  readonly closed: boolean
  /** Where the next record goes. */
  readonly end: number
}

/** Undefined if there is no file, or none of it can be used. `damaged`: a record in its middle is. */
export function loadSums(path: string): LoadedSums | 'missing' | 'damaged' {
  let bytes: Buffer
  try {
    bytes = fs.readFileSync(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'missing'
    throw error
  }
  const sums = new PageSums()
  let closed = false
  let at = 0
  while (at < bytes.length) {
    const length = recordLength(bytes, at)
    if (length === undefined) {
      // A torn end is shorter than it says, or nothing but the last record.
      return bytes.indexOf(MAGIC, at + 1) >= 0 || at === 0 ? 'damaged' : { sums, closed: false, end: at }
    }
    const count = bytes.readUInt32LE(at + 4)
    sums.pageCount = bytes.readUInt32LE(at + 8)
    closed = (bytes.readUInt32LE(at + 12) & CLOSED) !== 0
    for (let i = 0; i < count; i++) {
      const entry = at + HEADER_BYTES + i * PAGE_BYTES
      const [crc, check] = [bytes.readUInt32LE(entry + 4), bytes.readUInt32LE(entry + 8)]
      sums.set(bytes.readUInt32LE(entry), { crc, check })
    }
    at += length
  }
  return { sums, closed, end: at }
}

/** Of a whole record; undefined if there is none. */
function recordLength(bytes: Buffer, at: number): number | undefined {
  if (at + HEADER_BYTES > bytes.length || !bytes.subarray(at, at + 4).equals(MAGIC)) return undefined
  const length = HEADER_BYTES + bytes.readUInt32LE(at + 4) * PAGE_BYTES
  if (at + length > bytes.length) return undefined
  const crc = crc32(bytes.subarray(at + HEADER_BYTES, at + length), crc32(bytes.subarray(at, at + 16)))
  return crc === bytes.readUInt32LE(at + 16) ? length : undefined
}

export function encodeSums(
  pages: Iterable<readonly [number, PageSum]>,
  { pageCount, closed }: { readonly pageCount: number; readonly closed: boolean },
): Buffer {
  const all = [...pages]
  const record = Buffer.alloc(HEADER_BYTES + all.length * PAGE_BYTES)
  MAGIC.copy(record)
  record.writeUInt32LE(all.length, 4)
  record.writeUInt32LE(pageCount, 8)
  record.writeUInt32LE(closed ? CLOSED : 0, 12)
  for (const [i, [page, { crc, check }]] of all.entries()) {
    const entry = HEADER_BYTES + i * PAGE_BYTES
    record.writeUInt32LE(page, entry)
    record.writeUInt32LE(crc, entry + 4)
    record.writeUInt32LE(check, entry + 8)
  }
  record.writeUInt32LE(crc32(record.subarray(HEADER_BYTES), crc32(record.subarray(0, 16))), 16)
  return record
}

/** Replaces the file by one record, durably. */
export function rewriteSums(path: string, record: Buffer): void {
  const fresh = `${path}.new`
  const fd = fs.openSync(fresh, 'w', 0o600)
  try {
    fs.writeSync(fd, record, 0, record.length, 0)
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
  fs.renameSync(fresh, path)
  const folder = fs.openSync(dirname(path), 'r')
  try {
    fs.fsyncSync(folder)
  } finally {
    fs.closeSync(folder)
  }
}
