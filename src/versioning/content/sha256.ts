import { hash, webcrypto } from 'node:crypto'
import { digestShared } from '../../kernel/index.ts'
import { HASH_ASIDE_BYTES } from './content-limits.ts'

/** By another thread where that is worth it. The bytes must stay as they are until it resolves. */
export async function sha256Of(bytes: Buffer): Promise<Buffer> {
  if (bytes.length < HASH_ASIDE_BYTES) return hash('sha256', bytes, 'buffer')
  if (isShared(bytes)) return (await digestShared(['sha256'], bytes)).sha256
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes as Buffer<ArrayBuffer>))
}

/** The hash, and the CRC-32 that the record will need, where it comes along. */
export async function digestPiece(bytes: Buffer): Promise<{ readonly sha256: Buffer; readonly dataCrc?: number }> {
  if (bytes.length < HASH_ASIDE_BYTES || !isShared(bytes)) return { sha256: await sha256Of(bytes) }
  const { sha256, crc32 } = await digestShared(['sha256', 'crc32'], bytes)
  return { sha256, dataCrc: crc32.readUInt32BE() }
}

function isShared(bytes: Buffer): bytes is Buffer<SharedArrayBuffer> {
  return bytes.buffer instanceof SharedArrayBuffer
}
