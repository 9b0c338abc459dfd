import { hash } from 'node:crypto'
import { Corrupt, MAX_PATH_BYTES } from '../../kernel/index.ts'
import type { TreeHash } from '../model/index.ts'
import { ByteReader, ByteWriter } from './bytes.ts'
import type { LeafItem, NodeStore } from './types.ts'

const NODE_FORMAT = 1
export const HASH_BYTES = 32
/** Even where every node had only two children, 2^48 leaves would be more than a store can hold. */
export const MAX_LEVELS = 48

export function hashNode(body: Buffer): TreeHash {
  return hash('sha256', body, 'hex') as TreeHash
}

/** Format, level and number of items. Behind it the items: shared prefix, rest of the key, and what the level has. */
export function nodeHeader(level: number, count: number): Buffer {
  const out = new ByteWriter(16)
  out.byte(NODE_FORMAT)
  out.byte(level)
  out.varint(count)
  return out.bytes.subarray(0, out.length)
}

/**
 * A node taken apart once: keys without compression in one buffer, the rest as positions in the body. Level 0 holds entries, all
 * others hold children under their last key.
 */
export class TreeNode {
  readonly level: number
  readonly count: number
  readonly body: Buffer
  /** All keys one after the other; key `i` is `keys[keyEnds[i - 1]..keyEnds[i]]`. */
  readonly keys: Buffer
  readonly #keyEnds: readonly number[]
  /** Where in the body an entry's value or a child's hash begins, */
  readonly #starts: readonly number[]
  /** and, of an entry, ends. Of a child: the number of objects. */
  readonly #ends: readonly number[]
  readonly #sizes: readonly number[]

  constructor(body: Buffer) {
    const input = new ByteReader(body)
    const format = input.byte()
    if (format !== NODE_FORMAT) throw new Corrupt(`a tree node has the unknown format ${format}`)
    this.body = body
    this.level = input.byte()
    this.count = input.varint()
    // Every item takes 4 bytes at least; a wild count must not cost memory.
    if (this.count > body.length || this.level >= MAX_LEVELS) throw new Corrupt('a tree node has an impossible header')
    const { keys, keyEnds, starts, ends, sizes } = readItems(input, this.level, this.count)
    this.keys = keys
    this.#keyEnds = keyEnds
    this.#starts = starts
    this.#ends = ends
    this.#sizes = sizes
  }

  /** What it takes in memory, roughly. */
  get memoryBytes(): number {
    return this.body.length + this.keys.length + this.count * 32 + 400
  }

  keyStart(index: number): number {
    return index === 0 ? 0 : (this.#keyEnds[index - 1] ?? 0)
  }

  keyEnd(index: number): number {
    return this.#keyEnds[index] ?? 0
  }

  key(index: number): Buffer {
    return this.keys.subarray(this.keyStart(index), this.keyEnd(index))
  }

  /** Below, at or above 0, as key `index` is less than, equal to or greater than `key`. */
  compare(index: number, key: Buffer): number {
    return this.keys.compare(key, 0, key.length, this.keyStart(index), this.keyEnd(index))
  }

  /** The first index from `from` whose key is not less than `key`; `count` if there is none. */
  lowerBound(key: Buffer, from = 0): number {
    let low = from
    let high = this.count
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.compare(middle, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Of an entry its value's place in the body; of a child its hash's. */
  valueStart(index: number): number {
    return this.#starts[index] ?? 0
  }

  valueEnd(index: number): number {
    return this.level === 0 ? (this.#ends[index] ?? 0) : this.valueStart(index) + HASH_BYTES
  }

  /** Of an entry its object's bytes; of a child the sum below it. */
  size(index: number): number {
    return this.#sizes[index] ?? 0
  }

  /** The number of entries at or below an item. */
  objects(index: number): number {
    return this.level === 0 ? 1 : (this.#ends[index] ?? 0)
  }

  item(index: number): LeafItem {
    return {
      key: this.key(index),
      size: this.size(index),
      value: this.body.subarray(this.valueStart(index), this.valueEnd(index)),
    }
  }

  childHash(index: number): TreeHash {
    return this.body.toString('hex', this.valueStart(index), this.valueEnd(index)) as TreeHash
  }
}

function readItems(input: ByteReader, level: number, count: number) {
  const suffixStarts = new Array<number>(count)
  const shared = new Array<number>(count)
  const keyEnds = new Array<number>(count)
  const starts = new Array<number>(count)
  const ends = new Array<number>(count)
  const sizes = new Array<number>(count)
  let keyEnd = 0
  let previous = 0
  for (let i = 0; i < count; i++) {
    const prefix = input.varint()
    const suffix = input.varint()
    const length = prefix + suffix
    if (prefix > previous || length > MAX_PATH_BYTES) throw new Corrupt('a tree node has an impossible key')
    shared[i] = prefix
    suffixStarts[i] = input.skip(suffix)
    previous = length
    keyEnd += length
    keyEnds[i] = keyEnd
    if (level === 0) {
      sizes[i] = input.varint()
      const bytes = input.varint()
      starts[i] = input.skip(bytes)
      ends[i] = input.at
    } else {
      ends[i] = input.varint()
      sizes[i] = input.varint()
      starts[i] = input.skip(HASH_BYTES)
    }
  }
  if (input.at !== input.bytes.length) throw new Corrupt('a tree node has bytes after its end')
  return { keys: expandKeys(input.bytes, keyEnds, shared, suffixStarts), keyEnds, starts, ends, sizes }
}

function expandKeys(body: Buffer, keyEnds: number[], shared: number[], suffixStarts: number[]): Buffer {
  const keys = Buffer.allocUnsafe(keyEnds[keyEnds.length - 1] ?? 0)
  let before = 0
  let start = 0
  for (let i = 0; i < keyEnds.length; i++) {
    const prefix = shared[i] ?? 0
    const suffixStart = suffixStarts[i] ?? 0
    const end = keyEnds[i] ?? 0
    keys.copyWithin(start, before, before + prefix)
    body.copy(keys, start + prefix, suffixStart, suffixStart + end - start - prefix)
    before = start
    start = end
  }
  return keys
}

const emptyBody = nodeHeader(0, 0)

/** The tree without entries. It is never stored. */
export const EMPTY_TREE: TreeHash = hashNode(emptyBody)

// Bodies are immutable and shared by the store's cache, so that taking one apart lasts exactly as long as it is cached.
const decoded = new WeakMap<Buffer, TreeNode>()

/** Throws Corrupt. */
export function decodeNode(body: Buffer): TreeNode {
  const known = decoded.get(body)
  if (known !== undefined) return known
  const node = new TreeNode(body)
  decoded.set(body, node)
  return node
}

/** Loads a root, or with `level` a node that must be on it. Throws Corrupt. */
export async function loadNode(store: NodeStore, hash: TreeHash, level?: number): Promise<TreeNode> {
  const node = decodeNode(hash === EMPTY_TREE ? emptyBody : await store.get(hash))
  if (level !== undefined && node.level !== level) {
    throw new Corrupt('a tree node is on another level than its parent says', { hash })
  }
  return node
}

/** Loads child `index` of an inner node. Throws Corrupt. */
export function loadChild(store: NodeStore, parent: TreeNode, index: number): Promise<TreeNode> {
  return loadNode(store, parent.childHash(index), parent.level - 1)
}
