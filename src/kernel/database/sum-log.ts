import fs from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { crc32 } from 'node:zlib'
import { errnoOf } from '../errors.ts'
import { checksum } from './wal-file.ts'

/**
 * The file of the sums of a database's pages: records, each
 *
 *   "SlPs", number of pages u32, pages of the database u32, flags u32 (1: closed in order, 2: its log was written to since it was opened),
 *   CRC-32 u32 of the 16 bytes before and the rest
 *   for each page: its number, its CRC-32, the two words of its checksum as SQLite's log has it in one; all little-endian
 *
 * A later record wins. A record that is cut short ends the file: what it was to protect was not written yet.
 */
const MAGIC = Buffer.from('SlPs')
const HEADER_BYTES = 20
const PAGE_BYTES = 12
const CLOSED = 1
const LOGGED = 2
/** Sums encoded between two rests: some ms. */
const ENCODED_AT_ONCE = 16_384

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

  /** How many pages have sums. */
  get size(): number {
    let size = 0
    for (let at = 0; at < this.#words.length; at += 2) if (this.#words[at] !== 0 || this.#words[at + 1] !== 0) size++
    return size
  }

  *[Symbol.iterator](): Generator<[number, PageSum]> {
    for (let page = 1; page * 2 < this.#words.length; page++) {
      const sum = this.get(page)
      if (sum) yield [page, sum]
    }
  }
}

/** What else a record says. */
export interface SumsState {
  readonly pageCount: number
  /** The database was closed in order, and its log was empty. */
  readonly closed: boolean
  /** Its log was written to since it was opened. */
  readonly logged: boolean
}

/** What was found in the file. */
export interface LoadedSums {
  readonly sums: PageSums
  /** As the last record says. */
  readonly logged: boolean
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
  let logged = false
  let at = 0
  while (at < bytes.length) {
    const length = recordLength(bytes, at)
    if (length === undefined) {
      // A torn end is shorter than it says, or nothing but the last record.
      return bytes.indexOf(MAGIC, at + 1) >= 0 || at === 0 ? 'damaged' : { sums, logged, end: at }
    }
    const count = bytes.readUInt32LE(at + 4)
    sums.pageCount = bytes.readUInt32LE(at + 8)
    logged = (bytes.readUInt32LE(at + 12) & LOGGED) !== 0
    for (let i = 0; i < count; i++) {
      const entry = at + HEADER_BYTES + i * PAGE_BYTES
      const [crc, check] = [bytes.readUInt32LE(entry + 4), bytes.readUInt32LE(entry + 8)]
      sums.set(bytes.readUInt32LE(entry), { crc, check })
    }
    at += length
  }
  return { sums, logged, end: at }
}

/** Of a whole record; undefined if there is none. */
function recordLength(bytes: Buffer, at: number): number | undefined {
  if (at + HEADER_BYTES > bytes.length || !bytes.subarray(at, at + 4).equals(MAGIC)) return undefined
  const length = HEADER_BYTES + bytes.readUInt32LE(at + 4) * PAGE_BYTES
  if (at + length > bytes.length) return undefined
  const crc = crc32(bytes.subarray(at + HEADER_BYTES, at + length), crc32(bytes.subarray(at, at + 16)))
  return crc === bytes.readUInt32LE(at + 16) ? length : undefined
}

export async function encodeSums(
  pages: Iterable<readonly [number, PageSum]> & { readonly size: number },
  { pageCount, closed, logged }: SumsState,
): Promise<Buffer> {
  const { size } = pages
  const record = Buffer.alloc(HEADER_BYTES + size * PAGE_BYTES)
  MAGIC.copy(record)
  record.writeUInt32LE(size, 4)
  record.writeUInt32LE(pageCount, 8)
  record.writeUInt32LE((closed ? CLOSED : 0) | (logged ? LOGGED : 0), 12)
  let at = HEADER_BYTES
  for (const [page, { crc, check }] of pages) {
    record.writeUInt32LE(page, at)
    record.writeUInt32LE(crc, at + 4)
    record.writeUInt32LE(check, at + 8)
    at += PAGE_BYTES
    if ((at - HEADER_BYTES) % (ENCODED_AT_ONCE * PAGE_BYTES) === 0) await nextTurn()
  }
  record.writeUInt32LE(crc32(record.subarray(HEADER_BYTES), crc32(record.subarray(0, 16))), 16)
  return record
}

/** Replaces the file by one record, durably. */
export async function rewriteSums(path: string, record: Buffer): Promise<void> {
  const fresh = `${path}.new`
  const file = await open(fresh, 'w', 0o600)
  try {
    await file.writeFile(record)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(fresh, path)
  const folder = await open(dirname(path), 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
