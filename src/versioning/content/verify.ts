import { hash } from 'node:crypto'
import fs from 'node:fs'
import { crc32 } from 'node:zlib'
import { errnoOf, KIB, MIB } from '../../kernel/index.ts'
import { MAX_RECORD_BYTES } from './content-limits.ts'
import {
  FILE_HEADER_BYTES,
  fileHeader,
  isFileHeader,
  isWhole,
  PACK_VERSION,
  packVersion,
  RECORD_HEADER_BYTES,
  readRecordHeader,
} from './record.ts'

/** Read at once when one record follows the other; */
const WINDOW_BYTES = 4 * MIB
/** when only headers are looked at and records are small, */
const HEADERS_WINDOW_BYTES = 256 * KIB
/** and when records are large. */
const HEADER_WINDOW_BYTES = 4 * KIB
/** How far the beginning of the next record is searched for at a time. */
const SEARCH_BYTES = MIB
const MAGIC = Buffer.from('SlRc')
const CRC_AT = 44

/** Where the data of a record is said to lie. */
export interface RecordPlace {
  readonly sha256: Buffer
  readonly offset: number
  readonly length: number
}

/** A record that was found whole, with its data hashed. */
export interface FoundRecord extends RecordPlace {
  readonly kind: 'chunk' | 'manifest'
}

/** The file of a pack for checking: read in large windows by calls that block, so only in a thread of its own. */
export class PackInspector {
  readonly #fd: number
  readonly #path: string
  #bytes: number
  #window = Buffer.alloc(0)
  #windowAt = 0

  private constructor(fd: number, path: string) {
    this.#fd = fd
    this.#path = path
    this.#bytes = fs.fstatSync(fd).size
  }

  /** Undefined if there is no such file. */
  static open(path: string): PackInspector | undefined {
    try {
      return new PackInspector(fs.openSync(path, 'r'), path)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  close(): void {
    fs.closeSync(this.#fd)
  }

  hasHeader(): boolean {
    return isFileHeader(this.#read(0, FILE_HEADER_BYTES, HEADER_WINDOW_BYTES))
  }

  /** It is whole, and of a later version than this release knows. */
  isNewer(): boolean {
    return (packVersion(this.#read(0, FILE_HEADER_BYTES, HEADER_WINDOW_BYTES)) ?? 0) > PACK_VERSION
  }

  /** The header of the file is the same in all packs. */
  mendHeader(): void {
    const fd = fs.openSync(this.#path, 'r+')
    try {
      fs.writeSync(fd, fileHeader(), 0, FILE_HEADER_BYTES, 0)
      fs.fdatasyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
  }

  /** Why this is not the record that it should be, by its header alone; undefined if it is. */
  headerFault(place: RecordPlace): string | undefined {
    const window = place.length > HEADERS_WINDOW_BYTES / 8 ? HEADER_WINDOW_BYTES : HEADERS_WINDOW_BYTES
    return this.#headerFault(place, window)
  }

  /** The same, with every byte of it: the data against its SHA-256, header and data against their CRC. */
  recordFault(place: RecordPlace): string | undefined {
    const fault = this.#headerFault(place, WINDOW_BYTES)
    if (fault !== undefined) return fault
    const start = place.offset - RECORD_HEADER_BYTES
    const record = this.#read(start, RECORD_HEADER_BYTES + place.length, WINDOW_BYTES)
    const data = record.subarray(RECORD_HEADER_BYTES)
    if (!hash('sha256', data, 'buffer').equals(place.sha256)) return 'its bytes have changed'
    return isWhole(record, data) ? undefined : 'the header before it has changed'
  }

  /** The data, if its hash is right. */
  data(place: RecordPlace): Buffer | undefined {
    if (!this.#reaches(place)) return undefined
    const data = this.#read(place.offset, place.length, HEADER_WINDOW_BYTES)
    if (data.length < place.length || !hash('sha256', data, 'buffer').equals(place.sha256)) return undefined
    return Buffer.from(data)
  }

  /**
   * Turns the one bit back by which this record differs from what it was, if that is all, and says which. The data must come to its SHA-256,
   * or be right already and the header come to its CRC.
   */
  mend(place: RecordPlace): { readonly byte: number; readonly bit: number } | undefined {
    const start = place.offset - RECORD_HEADER_BYTES
    if (start < FILE_HEADER_BYTES || !this.#reaches(place)) return undefined
    const record = Buffer.from(this.#read(start, RECORD_HEADER_BYTES + place.length, WINDOW_BYTES))
    if (record.length < RECORD_HEADER_BYTES + place.length) return undefined
    const at = flippedBit(record, place.sha256)
    if (at === undefined) return undefined
    const flip = { byte: start + (at >> 3), bit: at & 7 }
    const fd = fs.openSync(this.#path, 'r+')
    try {
      fs.writeSync(fd, record, at >> 3, 1, flip.byte)
      fs.fdatasyncSync(fd)
    } finally {
      fs.closeSync(fd)
    }
    return flip
  }

  #headerFault(place: RecordPlace, window: number): string | undefined {
    const start = place.offset - RECORD_HEADER_BYTES
    if (start < FILE_HEADER_BYTES || place.length > MAX_RECORD_BYTES) return 'no record can be at its place'
    if (!this.#reaches(place)) return 'its pack ends before it'
    const header = readRecordHeader(this.#read(start, RECORD_HEADER_BYTES, window))
    if (header === undefined) return 'there is no record at its place'
    if (header.length !== place.length || !header.sha256.equals(place.sha256)) return 'another record is at its place'
    return undefined
  }

  /** The file may have grown since it was opened. */
  #reaches({ offset, length }: RecordPlace): boolean {
    if (offset + length > this.#bytes) this.#bytes = fs.fstatSync(this.#fd).size
    return offset + length <= this.#bytes
  }

  /** All whole records, wherever the file is sound: what is damaged between them is stepped over. */
  *records(): Generator<FoundRecord> {
    let at = FILE_HEADER_BYTES
    while (at + RECORD_HEADER_BYTES <= this.#bytes) {
      const head = this.#read(at, RECORD_HEADER_BYTES, WINDOW_BYTES)
      const header = readRecordHeader(head)
      if (header !== undefined) {
        const { kind, length } = header
        const record = this.#read(at, RECORD_HEADER_BYTES + length, WINDOW_BYTES)
        const data = record.subarray(RECORD_HEADER_BYTES)
        const sha256 = Buffer.from(record.subarray(12, 44))
        if (data.length === length && hash('sha256', data, 'buffer').equals(sha256)) {
          yield { kind, sha256, offset: at + RECORD_HEADER_BYTES, length }
          at += RECORD_HEADER_BYTES + length
          continue
        }
      }
      const next = this.#nextMagic(at + 1)
      if (next === undefined) return
      at = next
    }
  }

  #nextMagic(from: number): number | undefined {
    for (let at = from; at < this.#bytes; at += SEARCH_BYTES - MAGIC.length + 1) {
      const found = this.#read(at, SEARCH_BYTES, WINDOW_BYTES).indexOf(MAGIC)
      if (found >= 0) return at + found
    }
    return undefined
  }

  /** Up to `length` bytes; good until the next call. */
  #read(at: number, length: number, window: number): Buffer {
    const from = at - this.#windowAt
    if (from >= 0 && from + length <= this.#window.length) return this.#window.subarray(from, from + length)
    const wanted = Math.min(Math.max(length, window), Math.max(0, this.#bytes - at))
    if (this.#window.buffer.byteLength < wanted || this.#window.length === 0) {
      this.#window = Buffer.from(new ArrayBuffer(Math.max(wanted, HEADERS_WINDOW_BYTES)))
    }
    const whole = Buffer.from(this.#window.buffer, 0, wanted)
    let read = 0
    while (read < wanted) {
      const more = fs.readSync(this.#fd, whole, read, wanted - read, at + read)
      if (more === 0) break
      read += more
    }
    this.#window = whole.subarray(0, read)
    this.#windowAt = at
    return this.#window.subarray(0, Math.min(length, read))
  }
}

/** Finds the bit, and turns it over in `record`. */
function flippedBit(record: Buffer, sha256: Buffer): number | undefined {
  const data = record.subarray(RECORD_HEADER_BYTES)
  if (hash('sha256', data, 'buffer').equals(sha256)) return flippedInHeader(record, data, sha256)
  const header = readRecordHeader(record)
  if (!header || header.length !== data.length || !header.sha256.equals(sha256)) return undefined
  const wanted = (crc32(record.subarray(0, CRC_AT), crc32(data)) ^ record.readUInt32LE(CRC_AT)) >>> 0
  // A CRC is linear: what a bit does to it depends on how many bytes follow, and on nothing else. From the last byte to the first.
  const effects = Array.from({ length: 8 }, (_, bit) => crcTable[1 << bit] ?? 0)
  for (let n = 0; n < CRC_AT; n++) step(effects)
  for (let byte = data.length - 1; byte >= 0; byte--) {
    for (let bit = 0; bit < 8; bit++) {
      if (effects[bit] !== wanted) continue
      data[byte] = (data[byte] ?? 0) ^ (1 << bit)
      if (hash('sha256', data, 'buffer').equals(sha256)) return (RECORD_HEADER_BYTES + byte) * 8 + bit
      data[byte] = (data[byte] ?? 0) ^ (1 << bit)
    }
    step(effects)
  }
  return undefined
}

function flippedInHeader(record: Buffer, data: Buffer, sha256: Buffer): number | undefined {
  const crc = crc32(data)
  for (let bit = 0; bit < RECORD_HEADER_BYTES * 8; bit++) {
    record[bit >> 3] = (record[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const header = readRecordHeader(record)
    const right = header?.length === data.length && header.sha256.equals(sha256)
    if (right && crc32(record.subarray(0, CRC_AT), crc) === record.readUInt32LE(CRC_AT)) return bit
    record[bit >> 3] = (record[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  }
  return undefined
}

/** One more byte of zeroes behind what was changed. */
function step(effects: number[]): void {
  for (let bit = 0; bit < 8; bit++) {
    const effect = effects[bit] ?? 0
    effects[bit] = ((crcTable[effect & 0xff] ?? 0) ^ (effect >>> 8)) >>> 0
  }
}

/** Of the CRC-32 of zlib, by byte. */
const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let n = 0; n < 8; n++) value = value & 1 ? (0xedb88320 ^ (value >>> 1)) >>> 0 : value >>> 1
  return value
})
