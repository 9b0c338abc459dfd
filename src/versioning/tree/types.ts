import type { TreeHash } from '../model/index.ts'

/** One entry of a tree. `key` is the path in UTF-8, `size` the object's bytes, `value` what `encodeLeaf` made. Not to be written to. */
export interface LeafItem {
  readonly key: Buffer
  readonly size: number
  readonly value: Buffer
}

/** What is to become of a key; `null` deletes it. `item.key` equals `key`. */
export interface TreeChange {
  readonly key: Buffer
  readonly item: LeafItem | null
}

/** A node of a tree as it is kept: its hash is that of its body. */
export interface StoredNode {
  readonly hash: TreeHash
  readonly level: number
  readonly body: Buffer
}

/** Where nodes are kept, by the SHA-256 of their body. Bodies are shared with a cache: they are never written to. */
export interface NodeStore {
  /** Verified against its hash. Throws Corrupt if it is missing or damaged. */
  get(hash: TreeHash): Promise<Buffer>
  /** Idempotent; durable when it resolves. */
  put(nodes: readonly StoredNode[]): Promise<void>
  /** A hint that these are wanted next: brings them nearer in one read. Missing or damaged ones are left for `get` to report. */
  warm?(hashes: readonly TreeHash[]): Promise<void>
}

/**
 * Says where the nodes of a level end, by nothing but the items since the last cut: whether after the one whose key is `keys[start..end]`,
 * and which is `items[before..after]` of the node's bytes.
 */
export interface BoundaryRule {
  cutsAfter(before: number, after: number, keys: Buffer, start: number, end: number, items: Buffer): boolean
}

/** What decides the shape of all trees of a store. */
export interface TreeSettings {
  /** Secret, random, at least 16 bytes, and never changed: trees made with another salt share no nodes with these. */
  readonly salt: Buffer
  /** Another rule than the store's own: for the benchmark that compares them, and nothing else. */
  readonly boundary?: (level: number) => BoundaryRule
}
