import { createHash, hash } from 'node:crypto'
import { crc32, crc32c } from '@node-rs/crc32'
import { crc64nvme } from './crc64.ts'

/** The digests that S3 knows, by one name each. CRCs come out as big-endian bytes, as S3 shows them. */
export type DigestName = 'md5' | 'sha256' | 'sha1' | 'crc32' | 'crc32c' | 'crc64nvme'

/** One running digest. `digest` ends it. */
export interface Hasher {
  update(bytes: Uint8Array): void
  digest(): Buffer
}

function bytesOf32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function bytesOf64(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

function crcHasher<Value>(
  start: Value,
  step: (bytes: Uint8Array, crc: Value) => Value,
  toBytes: (crc: Value) => Buffer,
): Hasher {
  let crc = start
  return {
    update: (bytes) => {
      crc = step(bytes, crc)
    },
    digest: () => toBytes(crc),
  }
}

export function createHasher(name: DigestName): Hasher {
  switch (name) {
    case 'crc32':
      return crcHasher(0, crc32, bytesOf32)
    case 'crc32c':
      return crcHasher(0, crc32c, bytesOf32)
    case 'crc64nvme':
      return crcHasher(0n, crc64nvme, bytesOf64)
    default:
      return createHash(name)
  }
}

function digestOne(name: DigestName, bytes: Buffer): Buffer {
  switch (name) {
    case 'crc32':
      return bytesOf32(crc32(bytes))
    case 'crc32c':
      return bytesOf32(crc32c(bytes))
    case 'crc64nvme':
      return bytesOf64(crc64nvme(bytes))
    default:
      return hash(name, bytes, 'buffer')
  }
}

/** Digests of bytes that lie in several places, one after the other. */
export function digestAll(
  names: readonly DigestName[],
  segments: readonly Buffer[],
): readonly (readonly [DigestName, Buffer])[] {
  const [first] = segments
  if (first && segments.length === 1) return names.map((name) => [name, digestOne(name, first)] as const)
  return names.map((name) => {
    const hasher = createHasher(name)
    for (const segment of segments) hasher.update(segment)
    return [name, hasher.digest()] as const
  })
}

/** Digests of a whole small body, at once and in this thread: 1 KiB takes about 2 µs each. */
export function digestOnce<Name extends DigestName>(names: readonly Name[], bytes: Buffer): Record<Name, Buffer> {
  const result = {} as Record<Name, Buffer>
  for (const name of names) result[name] = digestOne(name, bytes)
  return result
}
