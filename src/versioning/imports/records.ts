import { Corrupt, MAX_PATH_BYTES } from '../../kernel/index.ts'
import type { LeafItem } from '../tree/index.ts'

/**
 * An entry on its way into a tree: key length, number, object size (8 bytes), value length, key, value. The number is its place in the
 * archive: of two under one key the later wins, as where tar unpacks.
 */
export const RECORD_HEAD_BYTES = 20

/** A value is an encoded leaf, which a tree bounds too. */
export const MAX_RECORD_BYTES = RECORD_HEAD_BYTES + MAX_PATH_BYTES + 64 * 1024

export function recordBytes(key: Buffer, value: Buffer): number {
  return RECORD_HEAD_BYTES + key.length + value.length
}

/** Returns where the next one goes. */
export function writeRecord(into: Buffer, at: number, number: number, item: LeafItem): number {
  const { key, size, value } = item
  into.writeUInt32LE(key.length, at)
  into.writeUInt32LE(number, at + 4)
  into.writeUIntLE(size % 0x1_0000_0000, at + 8, 4)
  into.writeUInt32LE(Math.floor(size / 0x1_0000_0000), at + 12)
  into.writeUInt32LE(value.length, at + 16)
  const keyEnd = at + RECORD_HEAD_BYTES + key.length
  key.copy(into, at + RECORD_HEAD_BYTES)
  value.copy(into, keyEnd)
  return keyEnd + value.length
}

/** A record where it stands. */
export interface RecordView {
  readonly number: number
  readonly item: LeafItem
  readonly end: number
}

/** How long the record at `at` is; undefined if not even that is there. Throws Corrupt. */
export function recordLength(bytes: Buffer, at: number, end: number): number | undefined {
  if (end - at < RECORD_HEAD_BYTES) return undefined
  const length = RECORD_HEAD_BYTES + bytes.readUInt32LE(at) + bytes.readUInt32LE(at + 16)
  if (length > MAX_RECORD_BYTES) throw new Corrupt('a temporary file of an import')
  return length
}

export function readRecord(bytes: Buffer, at: number): RecordView {
  const keyEnd = at + RECORD_HEAD_BYTES + bytes.readUInt32LE(at)
  const end = keyEnd + bytes.readUInt32LE(at + 16)
  const size = bytes.readUInt32LE(at + 8) + bytes.readUInt32LE(at + 12) * 0x1_0000_0000
  const item = { key: bytes.subarray(at + RECORD_HEAD_BYTES, keyEnd), size, value: bytes.subarray(keyEnd, end) }
  return { number: bytes.readUInt32LE(at + 4), item, end }
}
