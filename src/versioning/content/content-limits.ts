import { CHUNK_BYTES, KIB, MAX_INLINE_BYTES, MIB } from '../../kernel/index.ts'

/** Every bound of this folder; tests hand in smaller ones. */
export interface ContentLimits {
  /** Up to this much stands in the entry itself. */
  readonly inlineBytes: number
  /** Up to this a body is one chunk; larger ones are cut into chunks of this length on average. */
  readonly chunkBytes: number
  /** Bodies are gathered in pieces of memory of this length. */
  readonly blockBytes: number
  /** A shared pack that has grown to this is sealed: small enough to rewrite, large enough that there are few. */
  readonly packBytes: number
  /** An upload of this much gets a pack of its own, so that reading it back is sequential. */
  readonly ownPackBytes: number
  /** A pack of its own is flushed along the way, so that the last flush is short and dirty pages stay few. */
  readonly flushEveryBytes: number
  /** One group commit writes at most this much, so that the first in it do not wait for a whole queue of large pieces. */
  readonly groupBytes: number
  /** Chunks of one upload that are hashed or written at once. */
  readonly piecesPerWriter: number
  /** Bytes of chunks of all uploads that are hashed or written at once: bounds memory whatever the number of connections. */
  readonly bytesInFlight: number
  /** Memory that is kept for the next upload, and as much again for the next read. */
  readonly spareBytes: number
  /** Entries of one manifest; longer lists become a tree of manifests. */
  readonly manifestEntries: number
  /** Places of chunks kept in memory, some 150 bytes each. */
  readonly cachedPlaces: number
  /** Decoded manifests kept in memory. */
  readonly cachedManifestBytes: number
  /** Packs kept open for reading. */
  readonly openPacks: number
  /** Bytes of chunks read and checked ahead of what a stream's consumer took, while few streams are open. */
  readonly readAheadBytes: number
  /** The same over all streams; each has one chunk in any case. */
  readonly readAheadTotalBytes: number
  /** Chunks being read and checked at once. */
  readonly readsInFlight: number
}

export const defaultLimits: ContentLimits = {
  inlineBytes: MAX_INLINE_BYTES,
  chunkBytes: CHUNK_BYTES,
  blockBytes: 256 * KIB,
  packBytes: 256 * MIB,
  ownPackBytes: 64 * MIB,
  flushEveryBytes: 32 * MIB,
  groupBytes: 16 * MIB,
  piecesPerWriter: 4,
  bytesInFlight: 48 * MIB,
  spareBytes: 32 * MIB,
  manifestEntries: 16_384,
  cachedPlaces: 65_536,
  cachedManifestBytes: 16 * MIB,
  openPacks: 64,
  readAheadBytes: 3 * MIB,
  readAheadTotalBytes: 48 * MIB,
  readsInFlight: 32,
}

/**
 * The longest record of the format. Far above the 4 MiB that a chunk may have: a manifest of 10,000 parts that each
 * carry an inline content takes 7 MiB.
 */
export const MAX_RECORD_BYTES = 16 * MIB

/** From here on SHA-256 is computed by other threads; below, handing it over takes longer than hashing. */
export const HASH_ASIDE_BYTES = 128 * KIB
