import fs from 'node:fs'
import { endianness } from 'node:os'
import { errnoOf } from '../errors.ts'

/**
 * Reads SQLite's write-ahead log by itself, as https://www.sqlite.org/fileformat2.html#the_write_ahead_log says it is: a header of 32
 * bytes, and frames of 24 bytes and a page. Checksums run on from frame to frame.
 */
const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24
const MAGIC = 0x377f0682
/** Frames read at a time: some 260 KiB. */
const FRAMES_AT_ONCE = 64
const LITTLE_ENDIAN = endianness() === 'LE'

/** The running checksum: two words. */
type Sum = readonly [number, number]

/** A page that a committed transaction has written. */
export type OnPage = (page: number, data: Buffer) => void

/** Where the log stops making sense although what follows shows that it was written to its end. */
export interface WalDamage {
  readonly frame: number
  /** The byte of the file and the bit of it that were flipped, where that explains everything. */
  readonly flip?: { readonly byte: number; readonly bit: number }
}

interface Header {
  readonly bigEndian: boolean
  readonly pageBytes: number
  readonly salts: Buffer
  readonly sum: Sum
}

/** The log of one database, read as far as transactions were committed to it. */
export class WalFile {
  readonly #path: string
  #header: Header | undefined
  /** Frames up to here belong to committed transactions. */
  #frames = 0
  #sum: Sum = [0, 0]

  constructor(path: string) {
    this.#path = path
  }

  /** How many committed frames were read since the log began anew. */
  get frames(): number {
    return this.#frames
  }

  /**
   * Hands over the pages of all transactions that were committed since the last call, the newest version of each (good until the call
   * returns), and the number of pages of the database by then. `restarted`: the log began anew since. `rest` is awaited now and then.
   */
  async read(
    onPage: OnPage,
    onRestart: () => void = () => {},
    rest: () => Promise<void> = async () => {},
  ): Promise<{ readonly pageCount: number | undefined }> {
    let fd: number
    try {
      fd = fs.openSync(this.#path, 'r')
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return { pageCount: undefined }
      throw error
    }
    try {
      const header = readHeader(fd)
      if (!header) return { pageCount: undefined }
      if (!this.#header?.salts.equals(header.salts)) {
        this.#header = header
        this.#frames = 0
        this.#sum = header.sum
        onRestart()
      }
      return { pageCount: await this.#readFrames(fd, header, onPage, rest) }
    } finally {
      fs.closeSync(fd)
    }
  }

  async #readFrames(
    fd: number,
    header: Header,
    onPage: OnPage,
    rest: () => Promise<void>,
  ): Promise<number | undefined> {
    const frameBytes = FRAME_HEADER_BYTES + header.pageBytes
    const block = Buffer.alloc(FRAMES_AT_ONCE * frameBytes)
    // Pages by their newest frame: some are written by every transaction, and are handed over once.
    const newest = new Map<number, number>()
    let pageCount: number | undefined
    let sum = this.#sum
    let frame = this.#frames
    // Only a commit makes them count.
    let pending: [page: number, frame: number][] = []
    for (let ended = false; !ended; ) {
      const whole = Math.floor(readFully(fd, block, HEADER_BYTES + frame * frameBytes) / frameBytes)
      for (let i = 0; i < whole && !ended; i++) {
        const bytes = block.subarray(i * frameBytes, (i + 1) * frameBytes)
        const next = nextSum(header, sum, bytes)
        ended = next === undefined
        if (next === undefined) break
        sum = next
        pending.push([bytes.readUInt32BE(0), frame])
        frame++
        const size = bytes.readUInt32BE(4)
        if (size === 0) continue
        for (const [page, at] of pending) newest.set(page, at)
        pending = []
        pageCount = size
        this.#frames = frame
        this.#sum = sum
      }
      ended ||= whole < FRAMES_AT_ONCE
      if (!ended) await rest()
    }
    const data = Buffer.alloc(header.pageBytes)
    let handed = 0
    for (const [page, at] of newest) {
      readFully(fd, data, HEADER_BYTES + at * frameBytes + FRAME_HEADER_BYTES)
      onPage(page, data)
      if (++handed % FRAMES_AT_ONCE === 0) await rest()
    }
    return pageCount
  }
}

/** Whether a log that no process writes to was cut short by damage, and not by the end of what was being written. */
export function inspectWal(path: string): WalDamage | undefined {
  let fd: number
  try {
    fd = fs.openSync(path, 'r')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const { size } = fs.fstatSync(fd)
    if (size <= HEADER_BYTES) return undefined
    const header = readHeader(fd)
    return header ? inspectFrames(fd, header, size) : inspectHeader(fd)
  } finally {
    fs.closeSync(fd)
  }
}

function inspectFrames(fd: number, header: Header, size: number): WalDamage | undefined {
  const frameBytes = FRAME_HEADER_BYTES + header.pageBytes
  const bytes = Buffer.alloc(frameBytes)
  let sum = header.sum
  const frames = Math.floor((size - HEADER_BYTES) / frameBytes)
  for (let frame = 0; frame < frames; frame++) {
    readFully(fd, bytes, HEADER_BYTES + frame * frameBytes)
    const next = nextSum(header, sum, bytes)
    if (next) {
      sum = next
      continue
    }
    const flips = flippedBits(header, sum, bytes)
    if (flips.length === 0) return isFollowed(fd, header, frame, frames) ? { frame } : undefined
    // Several can make a frame right, but only one what follows it.
    const [flip, ...others] = flips.length === 1 ? flips : flips.filter((bit) => leadsOn(fd, header, sum, frame, bit))
    if (flip === undefined || others.length > 0) return { frame }
    return { frame, flip: { byte: HEADER_BYTES + frame * frameBytes + (flip >> 3), bit: flip & 7 } }
  }
  return undefined
}

/** Whether the frame after this one follows from it once this bit of it is turned back. */
function leadsOn(fd: number, header: Header, before: Sum, frame: number, bit: number): boolean {
  const frameBytes = FRAME_HEADER_BYTES + header.pageBytes
  const bytes = Buffer.alloc(frameBytes)
  readFully(fd, bytes, HEADER_BYTES + frame * frameBytes)
  flip(bytes, bit)
  const sum = nextSum(header, before, bytes)
  const read = readFully(fd, bytes, HEADER_BYTES + (frame + 1) * frameBytes)
  return sum !== undefined && read === frameBytes && nextSum(header, sum, bytes) !== undefined
}

/** What comes after a broken frame follows from it up to a commit, and goes on: then it was on the disk before, and whole. */
function isFollowed(fd: number, header: Header, broken: number, frames: number): boolean {
  const frameBytes = FRAME_HEADER_BYTES + header.pageBytes
  const bytes = Buffer.alloc(frameBytes)
  readFully(fd, bytes, HEADER_BYTES + broken * frameBytes)
  let sum: Sum = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
  let committed = bytes.readUInt32BE(4) !== 0
  for (let frame = broken + 1; frame < frames; frame++) {
    readFully(fd, bytes, HEADER_BYTES + frame * frameBytes)
    const next = nextSum(header, sum, bytes)
    if (!next) return false
    if (committed) return true
    committed = bytes.readUInt32BE(4) !== 0
    sum = next
  }
  return false
}

/** A header that does not check is damaged if one bit of it makes it right, or the first frame follows from it. */
function inspectHeader(fd: number): WalDamage | undefined {
  const bytes = Buffer.alloc(HEADER_BYTES)
  readFully(fd, bytes, 0)
  for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
    flip(bytes, bit)
    const header = headerOf(bytes)
    flip(bytes, bit)
    if (header && beginsWith(fd, header)) return { frame: -1, flip: { byte: bit >> 3, bit: bit & 7 } }
  }
  return undefined
}

/** The checksum of a header is short: its salts and its sum must be those of the first frame as well. */
function beginsWith(fd: number, header: Header): boolean {
  if (header.pageBytes < 512 || header.pageBytes > 65_536) return false
  const bytes = Buffer.alloc(FRAME_HEADER_BYTES + header.pageBytes)
  return readFully(fd, bytes, HEADER_BYTES) === bytes.length && nextSum(header, header.sum, bytes) !== undefined
}

function readHeader(fd: number): Header | undefined {
  const bytes = Buffer.alloc(HEADER_BYTES)
  return readFully(fd, bytes, 0) < HEADER_BYTES ? undefined : headerOf(bytes)
}

function headerOf(bytes: Buffer): Header | undefined {
  const magic = bytes.readUInt32BE(0)
  if ((magic & 0xfffffffe) >>> 0 !== MAGIC) return undefined
  const bigEndian = (magic & 1) === 1
  const sum = checksum([0, 0], bytes, 0, 24, bigEndian)
  if (sum[0] !== bytes.readUInt32BE(24) || sum[1] !== bytes.readUInt32BE(28)) return undefined
  return { bigEndian, pageBytes: bytes.readUInt32BE(8), salts: Buffer.from(bytes.subarray(16, 24)), sum }
}

/** The checksum behind a frame; undefined if it is not the next one of this log. */
function nextSum(header: Header, before: Sum, bytes: Buffer): Sum | undefined {
  if (bytes.compare(header.salts, 0, 8, 8, 16) !== 0 || bytes.readUInt32BE(0) === 0) return undefined
  const sum = sumOf(header, before, bytes)
  return sum[0] === bytes.readUInt32BE(16) && sum[1] === bytes.readUInt32BE(20) ? sum : undefined
}

function sumOf(header: Header, before: Sum, bytes: Buffer): Sum {
  const first = checksum(before, bytes, 0, 8, header.bigEndian)
  return checksum(first, bytes, FRAME_HEADER_BYTES, bytes.length, header.bigEndian)
}

/** The checksum of SQLite's log: two running sums of words, each added to the other. */
export function checksum(before: Sum, bytes: Buffer, start: number, end: number, bigEndian: boolean): Sum {
  const from = bytes.byteOffset + start
  if (bigEndian || from % 4 !== 0 || !LITTLE_ENDIAN) return checksumByView(before, bytes, start, end, bigEndian)
  const words = new Int32Array(bytes.buffer, from, (end - start) / 4)
  let s0 = before[0] | 0
  let s1 = before[1] | 0
  for (let at = 0; at < words.length; at += 2) {
    s0 = (s0 + (words[at] as number) + s1) | 0
    s1 = (s1 + (words[at + 1] as number) + s0) | 0
  }
  return [s0 >>> 0, s1 >>> 0]
}

function checksumByView([a, b]: Sum, bytes: Buffer, start: number, end: number, bigEndian: boolean): Sum {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, end - start)
  let s0 = a
  let s1 = b
  for (let at = 0; at < end - start; at += 8) {
    s0 = (s0 + view.getUint32(at, !bigEndian) + s1) >>> 0
    s1 = (s1 + view.getUint32(at + 4, !bigEndian) + s0) >>> 0
  }
  return [s0, s1]
}

/** The bits of a frame of which one, turned over, makes it the next one of the log. */
function flippedBits(header: Header, before: Sum, bytes: Buffer): readonly number[] {
  // What is left of the log before, or was never written, differs in many bits of the salts: most starts after a crash end here.
  let different = 0
  for (let i = 0; i < 8; i++) different += ones((header.salts[i] ?? 0) ^ (bytes[8 + i] ?? 0))
  const found: number[] = []
  if (different > 1) return found
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    // What is not under the checksum must be right by itself.
    flip(bytes, bit)
    const right = nextSum(header, before, bytes) !== undefined
    flip(bytes, bit)
    if (right) found.push(bit)
  }
  return found
}

function ones(byte: number): number {
  let count = 0
  for (let rest = byte; rest !== 0; rest &= rest - 1) count++
  return count
}

function flip(bytes: Buffer, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
}

function readFully(fd: number, into: Buffer, position: number): number {
  let read = 0
  while (read < into.length) {
    const more = fs.readSync(fd, into, read, into.length - read, position + read)
    if (more === 0) break
    read += more
  }
  return read
}
