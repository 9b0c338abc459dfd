import { crc32 } from 'node:zlib'
import { MAX_RECORD_BYTES } from './content-limits.ts'

/**
 * The format of packs. A pack is a file header and then records; all integers are little-endian.
 *
 *   file header, 16 bytes   "SluicePk", version u32 = 1, CRC-32 u32 of the 12 bytes before
 *   record header, 48 bytes "SlRc", kind u8, 3 zero bytes, length u32, SHA-256 of the data (32 bytes), CRC-32 u32 of the data and
 *                           then the 44 bytes before
 *   data                    `length` bytes; the next record follows at once
 *
 * Records say everything about themselves, so that the index can be made again from packs alone, and a record that was cut off or
 * mixed up by a crash is recognised by its CRC. Lengths are free: where chunks begin and end is not part of the format.
 */

export type RecordKind = 'chunk' | 'manifest'

export interface PackRecord {
  readonly kind: RecordKind
  readonly sha256: Buffer
  /** In one place, or in several that follow one another. */
  readonly data: Buffer | readonly Buffer[]
  /** CRC-32 of the data, where it was computed along with the hash. */
  readonly dataCrc?: number
}

/** The places that a record's data lies in. */
export function dataOf({ data }: PackRecord): readonly Buffer[] {
  return Buffer.isBuffer(data) ? [data] : data
}

export function lengthOf(record: PackRecord): number {
  return dataOf(record).reduce((sum, { length }) => sum + length, 0)
}

export const FILE_HEADER_BYTES = 16
export const RECORD_HEADER_BYTES = 48
/** What this release writes, and the newest that it reads. */
export const PACK_VERSION = 1
const FILE_MAGIC = Buffer.from('SluicePk')
const RECORD_MAGIC = Buffer.from('SlRc')
const kindCodes: Record<RecordKind, number> = { chunk: 1, manifest: 2 }
const SHA256_AT = 12
const CRC_AT = 44

export function fileHeader(): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES)
  FILE_MAGIC.copy(header)
  header.writeUInt32LE(PACK_VERSION, 8)
  header.writeUInt32LE(crc32(header.subarray(0, 12)), 12)
  return header
}

export function isFileHeader(bytes: Buffer): boolean {
  return bytes.length >= FILE_HEADER_BYTES && bytes.subarray(0, FILE_HEADER_BYTES).equals(fileHeader())
}

/** What the header of a file says, also one of a later version; undefined if it is cut off, damaged or none. */
export function packVersion(bytes: Buffer): number | undefined {
  if (bytes.length < FILE_HEADER_BYTES || !bytes.subarray(0, FILE_MAGIC.length).equals(FILE_MAGIC)) return undefined
  return crc32(bytes.subarray(0, 12)) === bytes.readUInt32LE(12) ? bytes.readUInt32LE(8) : undefined
}

/** Writes the header of a record to `into` at `at`. */
export function writeRecordHeader(record: PackRecord, into: Buffer, at: number): void {
  const header = into.subarray(at, at + RECORD_HEADER_BYTES)
  RECORD_MAGIC.copy(header)
  header.writeUInt32LE(kindCodes[record.kind], 4)
  header.writeUInt32LE(lengthOf(record), 8)
  record.sha256.copy(header, SHA256_AT)
  const dataCrc = record.dataCrc ?? dataOf(record).reduce((crc, bytes) => crc32(bytes, crc), 0)
  header.writeUInt32LE(crc32(header.subarray(0, CRC_AT), dataCrc), CRC_AT)
}

/** What a header says, or undefined if it is none. Whether the data is whole only `isWhole` tells. */
export interface RecordHeader {
  readonly kind: RecordKind
  readonly length: number
  readonly sha256: Buffer
}

export function readRecordHeader(header: Buffer): RecordHeader | undefined {
  if (header.length < RECORD_HEADER_BYTES || !header.subarray(0, 4).equals(RECORD_MAGIC)) return undefined
  const code = header.readUInt32LE(4)
  const length = header.readUInt32LE(8)
  if ((code !== kindCodes.chunk && code !== kindCodes.manifest) || length > MAX_RECORD_BYTES) return undefined
  const kind = code === kindCodes.chunk ? 'chunk' : 'manifest'
  return { kind, length, sha256: header.subarray(SHA256_AT, SHA256_AT + 32) }
}

export function isWhole(header: Buffer, data: Buffer): boolean {
  return crc32(header.subarray(0, CRC_AT), crc32(data)) === header.readUInt32LE(CRC_AT)
}
