import { KIB, MAX_PATH_BYTES, MIB } from '../../kernel/index.ts'
import type { TreeHash } from '../model/index.ts'
import { Boundary } from './boundary.ts'
import { ByteWriter } from './bytes.ts'
import { EMPTY_TREE, HASH_BYTES, hashNode, loadChild, loadNode, MAX_LEVELS, nodeHeader, type TreeNode } from './node.ts'
import type { BoundaryRule, LeafItem, NodeStore, StoredNode, TreeSettings } from './types.ts'

/** Nodes are stored in slices of this many bytes: large enough to share an fsync, small enough to hold in memory. */
const SLICE_BYTES = MIB
/** An entry is 60 to about 2,800 bytes; this only keeps a runaway value from being stored in a tree. */
const MAX_VALUE_BYTES = 64 * KIB

/** The node of one level that is being filled. */
class OpenNode {
  readonly level: number
  readonly items = new ByteWriter(16 * KIB)
  readonly #boundary: BoundaryRule
  readonly #lastKey = Buffer.allocUnsafe(MAX_PATH_BYTES)
  #lastKeyLength = 0
  #started = false
  count = 0
  objects = 0
  bytes = 0

  constructor(level: number, settings: TreeSettings) {
    this.level = level
    this.#boundary = settings.boundary?.(level) ?? new Boundary(settings.salt, level)
  }

  get lastKey(): Buffer {
    return this.#lastKey.subarray(0, this.#lastKeyLength)
  }

  /** Writes the key's part of the next item; it must be greater than the last one. */
  key(keys: Buffer, start: number, end: number): void {
    const length = end - start
    if (length < 1 || length > MAX_PATH_BYTES) throw new RangeError(`a key of a tree has 1 to ${MAX_PATH_BYTES} bytes`)
    const shared = this.#sharedWithLast(keys, start, length)
    const isPrefix = shared === this.#lastKeyLength
    if (this.#started && (shared === length || (!isPrefix && keys[start + shared]! < this.#lastKey[shared]!))) {
      throw new RangeError('the keys of a tree must be handed in sorted and once each')
    }
    this.#started = true
    const stored = this.count === 0 ? 0 : shared
    this.items.varint(stored)
    this.items.varint(length - stored)
    this.items.raw(keys, start + stored, end)
    keys.copy(this.#lastKey, shared, start + shared, end)
    this.#lastKeyLength = length
  }

  /** Counts the item that began at `before`, and says whether the node ends with it. */
  add(before: number, objects: number, bytes: number): boolean {
    this.count++
    this.objects += objects
    // Saturates, so that the sum is the same in whatever order it was made.
    this.bytes = Math.min(Number.MAX_SAFE_INTEGER, this.bytes + bytes)
    const { items } = this
    return this.#boundary.cutsAfter(before, items.length, this.#lastKey, 0, this.#lastKeyLength, items.bytes)
  }

  body(): Buffer {
    const header = nodeHeader(this.level, this.count)
    return Buffer.concat([header, this.items.bytes.subarray(0, this.items.length)])
  }

  clear(): void {
    this.items.length = 0
    this.count = 0
    this.objects = 0
    this.bytes = 0
  }

  #sharedWithLast(keys: Buffer, start: number, length: number): number {
    const most = Math.min(length, this.#lastKeyLength)
    let shared = 0
    while (shared < most && keys[start + shared] === this.#lastKey[shared]) shared++
    return shared
  }
}

/**
 * Writes a tree from left to right. Entries and whole subtrees come in the order of their keys; nodes are cut, hashed and handed to
 * the store in slices. Ask `full` now and then, and `flush` when it is.
 */
export class TreeWriter {
  readonly #store: NodeStore
  readonly #settings: TreeSettings
  readonly #levels: OpenNode[] = []
  #slice: StoredNode[] = []
  #sliceBytes = 0
  /** Nodes that are stored already need not be written once more. */
  readonly #isStored: (hash: TreeHash) => boolean

  constructor(store: NodeStore, settings: TreeSettings, isStored: (hash: TreeHash) => boolean = () => false) {
    this.#store = store
    this.#settings = settings
    this.#isStored = isStored
    this.#levels.push(new OpenNode(0, settings))
  }

  get full(): boolean {
    return this.#sliceBytes >= SLICE_BYTES
  }

  /** True if nothing is open below `level`: a subtree whose root is on the level below it may be taken as it is. */
  closedBelow(level: number): boolean {
    for (let below = 0; below < level; below++) if ((this.#levels[below]?.count ?? 0) > 0) return false
    return true
  }

  add(item: LeafItem): void {
    this.#addEntry(item.key, 0, item.key.length, item.size, item.value, 0, item.value.length)
  }

  /** Takes items `from` to `to` of a node over: entries, or children with all that is below them. */
  copy(node: TreeNode, from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const start = node.keyStart(i)
      const end = node.keyEnd(i)
      const value = node.valueStart(i)
      if (node.level === 0) {
        this.#addEntry(node.keys, start, end, node.size(i), node.body, value, node.valueEnd(i))
      } else {
        this.#addChild(node.level, node.keys, start, end, node.body, value, node.objects(i), node.size(i))
      }
    }
  }

  async flush(): Promise<void> {
    if (this.#slice.length === 0) return
    const slice = this.#slice
    this.#slice = []
    this.#sliceBytes = 0
    await this.#store.put(slice)
  }

  /** Closes all levels, stores what is left, and returns the root. */
  async finish(): Promise<TreeHash> {
    let top = 0
    // Cutting the last node of a level may open a further one above it.
    for (; top < this.#levels.length - 1; top++) {
      const open = this.#levels[top]!
      if (open.count > 0) this.#cut(open)
    }
    const open = this.#levels[top]!
    if (open.count === 0) {
      await this.flush()
      return EMPTY_TREE
    }
    if (open.level > 0 && open.count === 1) {
      const child = open.items.bytes.toString('hex', open.items.length - HASH_BYTES, open.items.length) as TreeHash
      await this.flush()
      return topOf(this.#store, child)
    }
    const root = this.#keep(open.level, open.body())
    await this.flush()
    return root
  }

  #addEntry(
    keys: Buffer,
    keyStart: number,
    keyEnd: number,
    size: number,
    body: Buffer,
    valueStart: number,
    valueEnd: number,
  ): void {
    const length = valueEnd - valueStart
    if (length > MAX_VALUE_BYTES) throw new RangeError(`an entry of a tree has at most ${MAX_VALUE_BYTES} bytes`)
    const open = this.#levels[0]!
    const before = open.items.length
    open.key(keys, keyStart, keyEnd)
    open.items.varint(size)
    open.items.varint(length)
    open.items.raw(body, valueStart, valueEnd)
    if (open.add(before, 1, size)) this.#cut(open)
  }

  #addChild(
    level: number,
    keys: Buffer,
    keyStart: number,
    keyEnd: number,
    body: Buffer,
    hashStart: number,
    objects: number,
    bytes: number,
  ): void {
    let open = this.#levels[level]
    while (open === undefined) {
      if (this.#levels.length >= MAX_LEVELS) throw new RangeError(`a tree has at most ${MAX_LEVELS} levels`)
      this.#levels.push(new OpenNode(this.#levels.length, this.#settings))
      open = this.#levels[level]
    }
    const before = open.items.length
    open.key(keys, keyStart, keyEnd)
    open.items.varint(objects)
    open.items.varint(bytes)
    open.items.raw(body, hashStart, hashStart + HASH_BYTES)
    if (open.add(before, objects, bytes)) this.#cut(open)
  }

  #cut(open: OpenNode): void {
    const hash = Buffer.from(this.#keep(open.level, open.body()), 'hex')
    const { lastKey, objects, bytes } = open
    open.clear()
    this.#addChild(open.level + 1, lastKey, 0, lastKey.length, hash, 0, objects, bytes)
  }

  #keep(level: number, body: Buffer): TreeHash {
    const hash = hashNode(body)
    if (!this.#isStored(hash)) {
      this.#slice.push({ hash, level, body })
      this.#sliceBytes += body.length
    }
    return hash
  }
}

/** A root with one child only would make equal trees unequal: the root is the first node below that has more, or the leaf. */
async function topOf(store: NodeStore, hash: TreeHash): Promise<TreeHash> {
  let root = hash
  let node = await loadNode(store, root)
  while (node.level > 0 && node.count === 1) {
    root = node.childHash(0)
    node = await loadChild(store, node, 0)
  }
  return root
}
