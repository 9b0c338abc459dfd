import type { Readable } from 'node:stream'
import type { Content } from './model/index.ts'

/** `end` is exclusive. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** Bytes that are durable but that nothing refers to yet. Whoever holds one hands it to a change or lets it go: no clean-up. */
export interface StagedContent {
  readonly size: number
  readonly content: Content
  /** What the transaction that uses it must publish; opaque outside `content/`. */
  readonly chunks: readonly ChunkPlace[]
  /** SHA-256 of the chunks and manifests that were found published, and so not stored again: they must be there still when it is used. */
  readonly relies: readonly Buffer[]
  /** True if the content was taken over from another object as it is: what its manifest refers to is not in `relies`. */
  readonly copied?: boolean
}

/** Where the bytes of a chunk lie. */
export interface ChunkPlace {
  readonly sha256: Buffer
  readonly pack: number
  readonly offset: number
  readonly length: number
}

/** Takes one body of any size in constant memory. Exactly one of `finish` and `abort` ends it. */
export interface ContentWriter {
  /** Keeps the buffer until the promise resolves; waits while the disk is behind. Throws StorageFull. */
  write(bytes: Buffer): Promise<void>
  /** Resolves when all is durable. */
  finish(): Promise<StagedContent>
  abort(): Promise<void>
}

/** Bytes by their hashes. What is written here is durable when it resolves, and refers to nothing. */
export interface ContentStore {
  /** Stores a whole body of at most 1 MiB; `sha256` saves hashing it again where the caller has verified it. */
  putBytes(bytes: Buffer, sha256?: Buffer): Promise<StagedContent>
  /** `expectedBytes` (from Content-Length) decides whether it gets a pack of its own. */
  writer(options?: { readonly expectedBytes?: number }): ContentWriter
  /** Every chunk is checked against its hash before any byte of it is passed on; Corrupt otherwise. */
  read(content: Content, range?: ByteRange): Readable
  /** As `read`, without copying: a piece is the caller's only until it asks for the next one, and is not to be written to. */
  lend(content: Content, range?: ByteRange): AsyncIterable<Buffer>
  /** For bodies known to be small (at most 1 MiB is read at once). */
  readBytes(content: Content, range?: ByteRange): Promise<Buffer>
  /** Sizes and checksums of the parts of a multipart object, in order of number; undefined if it is not one. */
  parts(content: Content): Promise<readonly StoredPart[] | undefined>
}

/** A part of a multipart object; `md5` in hex, `checksum` in base64 by the object's algorithm. */
export interface StoredPart {
  readonly number: number
  readonly size: number
  readonly md5: string
  readonly checksum?: string
}
