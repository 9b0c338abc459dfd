import { Corrupt } from '../../kernel/index.ts'
import type {
  Attributes,
  Checksum,
  ChecksumAlgorithm,
  CommitId,
  Content,
  Entry,
  FileEntry,
  Path,
  VersionId,
} from '../model/index.ts'
import { ByteReader, ByteWriter } from './bytes.ts'

const ENTRY_FORMAT = 1
const COMMIT_BYTES = 16
const SHA256_BYTES = 32

// The stored numbers are indexes into these lists: append only.
const contentKinds = ['inline', 'chunk', 'manifest'] as const
const algorithms: readonly ChecksumAlgorithm[] = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256']
const headers = [
  'contentType',
  'cacheControl',
  'contentDisposition',
  'contentEncoding',
  'contentLanguage',
  'expires',
] as const

const HAS_METADATA = 1 << 2
const HAS_CHECKSUM = 1 << 3
const HAS_PARTS = 1 << 4
const HAS_ORIGIN = 1 << 5

type Writable<T> = { -readonly [Field in keyof T]: T[Field] }

const noMetadata: Attributes['metadata'] = Object.freeze(Object.create(null))

/**
 * An entry in bytes, without its path and version. The first byte is the format's version. Entries that are equal have equal bytes,
 * in whatever order their metadata came.
 */
export function encodeEntry(entry: Entry): Buffer {
  const { attributes, content } = entry
  const names = Object.keys(attributes.metadata).sort()
  let flags = contentKinds.indexOf(content.kind)
  if (names.length > 0) flags |= HAS_METADATA
  if (entry.checksum) flags |= HAS_CHECKSUM
  if (entry.parts !== undefined) flags |= HAS_PARTS
  if (entry.origin) flags |= HAS_ORIGIN
  let present = 0
  headers.forEach((name, bit) => {
    if (attributes[name] !== undefined) present |= 1 << bit
  })

  const out = new ByteWriter(256)
  out.byte(ENTRY_FORMAT)
  out.byte(flags)
  out.byte(present)
  out.varint(entry.size)
  out.varint(entry.modifiedMs)
  out.hexText(entry.etag)
  writeContent(out, content)
  for (const name of headers) {
    const value = attributes[name]
    if (value !== undefined) out.text(value)
  }
  if (names.length > 0) {
    out.varint(names.length)
    for (const name of names) {
      out.text(name)
      out.text(attributes.metadata[name] ?? '')
    }
  }
  if (entry.checksum) writeChecksum(out, entry.checksum)
  if (entry.parts !== undefined) out.varint(entry.parts)
  if (entry.origin) {
    out.hexText(entry.origin.job)
    out.hexText(entry.origin.datum)
  }
  return Buffer.from(out.bytes.subarray(0, out.length))
}

/** The entry that `encodeEntry` was given. Throws Corrupt. */
export function decodeEntry(body: Buffer): Entry {
  return readEntry(new ByteReader(body))
}

/** What a leaf holds under a path: the version and the entry's bytes. */
export function encodeLeaf(version: VersionId, entryBody: Buffer): Buffer {
  const out = new ByteWriter(COMMIT_BYTES + 8 + entryBody.length)
  if (out.bytes.write(version.commit, 0, COMMIT_BYTES, 'hex') !== COMMIT_BYTES || version.commit.length !== 32) {
    throw new RangeError(`not a commit id: ${version.commit}`)
  }
  out.length = COMMIT_BYTES
  out.varint(version.seq)
  out.raw(entryBody)
  return out.bytes.subarray(0, out.length)
}

/** The entry in its place. Throws Corrupt. */
export function decodeLeaf(key: Buffer, value: Buffer): FileEntry {
  const input = new ByteReader(value)
  const commit = value.toString('hex', input.skip(COMMIT_BYTES), COMMIT_BYTES) as CommitId
  const seq = input.varint()
  const entry = readEntry(input) as Writable<FileEntry>
  entry.path = key.toString('utf8') as Path
  entry.version = { commit, seq }
  return entry
}

function readEntry(input: ByteReader): Writable<Entry> {
  const format = input.byte()
  if (format !== ENTRY_FORMAT) throw new Corrupt(`an entry has the unknown format ${format}`)
  const flags = input.byte()
  const present = input.byte()
  const size = input.varint()
  const modifiedMs = input.varint()
  const etag = input.hexText()
  const content = readContent(input, contentKinds[flags & 3])
  const attributes: Writable<Attributes> = { metadata: noMetadata }
  for (let bit = 0; present >> bit; bit++) {
    const name = headers[bit]
    if (name === undefined) throw new Corrupt('an entry has an unknown header')
    if (present & (1 << bit)) attributes[name] = input.text()
  }
  if (flags & HAS_METADATA) attributes.metadata = readMetadata(input)
  const entry: Writable<Entry> = { size, etag, content, modifiedMs, attributes }
  if (flags & HAS_CHECKSUM) entry.checksum = readChecksum(input)
  if (flags & HAS_PARTS) entry.parts = input.varint()
  if (flags & HAS_ORIGIN) entry.origin = { job: input.hexText(), datum: input.hexText() }
  if (input.at !== input.bytes.length) throw new Corrupt('an entry has bytes after its end')
  return entry
}

function writeContent(out: ByteWriter, content: Content): void {
  if (content.kind === 'inline') {
    out.varint(content.bytes.length)
    out.raw(content.bytes)
    return
  }
  if (content.sha256.length !== SHA256_BYTES) throw new RangeError('a SHA-256 has 32 bytes')
  out.raw(content.sha256)
}

function readContent(input: ByteReader, kind: (typeof contentKinds)[number] | undefined): Content {
  if (kind === undefined) throw new Corrupt('an entry has an unknown kind of content')
  if (kind === 'inline') return { kind, bytes: input.raw(input.varint()) }
  return { kind, sha256: input.raw(SHA256_BYTES) }
}

function readMetadata(input: ByteReader): Attributes['metadata'] {
  // Without a prototype: a client may name a field `__proto__`.
  const metadata: Record<string, string> = Object.create(null)
  for (let left = input.varint(); left > 0; left--) {
    const name = input.text()
    metadata[name] = input.text()
  }
  return metadata
}

function writeChecksum(out: ByteWriter, checksum: Checksum): void {
  const algorithm = algorithms.indexOf(checksum.algorithm)
  if (algorithm < 0) throw new RangeError(`not a checksum algorithm: ${checksum.algorithm}`)
  out.byte(algorithm * 2 + (checksum.type === 'COMPOSITE' ? 1 : 0))
  out.text(checksum.value)
}

function readChecksum(input: ByteReader): Checksum {
  const head = input.byte()
  const algorithm = algorithms[head >> 1]
  if (algorithm === undefined) throw new Corrupt('an entry has an unknown checksum')
  return { algorithm, type: head & 1 ? 'COMPOSITE' : 'FULL_OBJECT', value: input.text() }
}
