import { CHUNK_BYTES, KIB, MAX_INLINE_BYTES, MIB } from '../../kernel/index.ts'

/** Every bound of this folder; tests hand in smaller ones. */
export interface ContentLimits {
  /** Up to this much stands in the entry itself. */
  readonly inlineBytes: number
  /** Pieces that larger bodies are cut into. */
  readonly chunkBytes: number
  /** A shared pack that has grown to this is sealed: small enough to rewrite, large enough that there are few. */
  readonly packBytes: number
  /** An upload of this much gets a pack of its own, so that reading it back is sequential. */
  readonly ownPackBytes: number
  /** A pack of its own is flushed along the way, so that the last flush is short and dirty pages stay few. */
  readonly flushEveryBytes: number
  /** One group commit writes at most this much, so that the first in it do not wait for a whole queue of large pieces. */
  readonly groupBytes: number
  /** Pieces of one upload that are hashed or written at once. */
  readonly piecesPerWriter: number
  /** The same over all uploads: bounds memory whatever the number of connections. */
  readonly piecesInFlight: number
  /** Entries of one manifest; longer lists become a tree of manifests. */
  readonly manifestEntries: number
  /** Places of chunks kept in memory, some 150 bytes each. */
  readonly cachedPlaces: number
  /** Decoded manifests kept in memory. */
  readonly cachedManifestBytes: number
  /** Packs kept open for reading. */
  readonly openPacks: number
  /** Chunks read and checked ahead of what a stream's consumer took, while few streams are open. */
  readonly readAhead: number
  /** The same over all streams; each has one in any case. */
  readonly readAheadTotal: number
  /** Chunks being read and checked at once. */
  readonly readsInFlight: number
}

export const defaultLimits: ContentLimits = {
  inlineBytes: MAX_INLINE_BYTES,
  chunkBytes: CHUNK_BYTES,
  packBytes: 256 * MIB,
  ownPackBytes: 64 * MIB,
  flushEveryBytes: 32 * MIB,
  groupBytes: 16 * MIB,
  piecesPerWriter: 4,
  piecesInFlight: 48,
  manifestEntries: 16_384,
  cachedPlaces: 65_536,
  cachedManifestBytes: 16 * MIB,
  openPacks: 64,
  readAhead: 3,
  readAheadTotal: 48,
  readsInFlight: 32,
}

/**
 * The longest record of the format. Far above the 4 MiB that chunks may have one day: a manifest of 10,000 parts that each
 * carry an inline content takes 7 MiB.
 */
export const MAX_RECORD_BYTES = 16 * MIB

/** From here on SHA-256 is computed by other threads; below, handing it over takes longer than hashing. */
export const HASH_ASIDE_BYTES = 128 * KIB
