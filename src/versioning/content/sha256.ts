import { createHash, hash, webcrypto } from 'node:crypto'
import { digestShared, type SharedBytes } from '../../kernel/index.ts'
import { HASH_ASIDE_BYTES } from './content-limits.ts'

/** What a record says of its data. */
export interface ChunkDigests {
  readonly sha256: Buffer
  /** Four bytes, big-endian; left out where the hash was computed without it. */
  readonly crc32?: Buffer
}

/** By another thread where that is worth it. The bytes must stay as they are until it resolves. */
export async function sha256Of(bytes: Buffer): Promise<Buffer> {
  if (bytes.length < HASH_ASIDE_BYTES) return hash('sha256', bytes, 'buffer')
  if (isShared(bytes)) return (await digestShared(['sha256'], [bytes])).sha256
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes as Buffer<ArrayBuffer>))
}

/** The hash, and the CRC-32 that the record will need, where it comes along. */
export async function digestSegments(segments: readonly SharedBytes[]): Promise<ChunkDigests> {
  const bytes = segments.reduce((sum, segment) => sum + segment.length, 0)
  if (bytes >= HASH_ASIDE_BYTES) return digestShared(['sha256', 'crc32'], segments)
  const sum = createHash('sha256')
  for (const segment of segments) sum.update(segment)
  return { sha256: sum.digest() }
}

function isShared(bytes: Buffer): bytes is SharedBytes {
  return bytes.buffer instanceof SharedArrayBuffer
}
