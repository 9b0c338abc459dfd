import type { TreeHash } from '../model/index.ts'
import { loadChild, loadNode, type TreeNode } from './node.ts'
import type { LeafItem, NodeStore, TreeChange } from './types.ts'

/** How many leaves a cursor that runs on and on asks for at once, at most; it starts with one and doubles. */
const MAX_READ_AHEAD = 32

/** A position among things sorted by key. It begins before the first. Calls may not overlap. */
interface Sorted<Item> {
  /** To the first whose key is not less than `key`; also backwards. */
  seek(key: Buffer): Promise<void>
  /** The next one, and past it; undefined at the end. */
  next(): Promise<Item | undefined>
  /** As `next`, but only what is at hand: undefined means that `next` must be asked. */
  nextNow?(): Item | undefined
}

/** The items of a tree, in order of their keys. */
export interface Cursor extends Sorted<LeafItem> {}

/** The changes that lie over a tree: a staging area. */
export interface OverlayCursor extends Sorted<TreeChange> {}

/** Reads a tree. Its methods throw Corrupt. */
export function treeCursor(store: NodeStore, root: TreeHash): Cursor {
  return new TreeCursor(store, root)
}

/** A tree as it looks under an overlay: a change wins over the item of its key, `null` hides it. */
export function mergedCursor(base: Cursor, overlay: OverlayCursor): Cursor {
  return new MergedCursor(base, overlay)
}

interface Frame {
  readonly node: TreeNode
  index: number
}

class TreeCursor implements Cursor {
  readonly #store: NodeStore
  readonly #root: TreeHash
  /** Inner nodes from the root down; `index` is the child that is open. Empty for a tree of one leaf. */
  #path: Frame[] = []
  #leaf: TreeNode | undefined
  #index = 0
  #readAhead = 1
  /** The child of the lowest inner node up to which leaves were asked for. */
  #warmTo = 0

  constructor(store: NodeStore, root: TreeHash) {
    this.#store = store
    this.#root = root
  }

  nextNow(): LeafItem | undefined {
    const leaf = this.#leaf
    return leaf !== undefined && this.#index < leaf.count ? leaf.item(this.#index++) : undefined
  }

  async next(): Promise<LeafItem | undefined> {
    if (this.#leaf === undefined) await this.#open(undefined)
    else if (this.#index >= this.#leaf.count) await this.#advance()
    return this.nextNow()
  }

  async seek(key: Buffer): Promise<void> {
    const leaf = this.#leaf
    if (leaf !== undefined && covers(leaf, key)) {
      this.#index = leaf.lowerBound(key)
      return
    }
    while (this.#path.length > 1 && !covers(this.#path.at(-1)!.node, key)) this.#path.pop()
    await this.#open(key)
  }

  /** Goes down from the lowest node of the path to the first item that is not less than `key`. */
  async #open(key: Buffer | undefined): Promise<void> {
    const from = this.#path.at(-1)
    this.#readAhead = 1
    this.#warmTo = 0
    let node = from?.node ?? (await loadNode(this.#store, this.#root))
    if (from !== undefined) this.#path.pop()
    while (node.level > 0) {
      const found = key === undefined ? 0 : node.lowerBound(key)
      const index = Math.min(found, node.count - 1)
      this.#path.push({ node, index })
      node = await loadChild(this.#store, node, index)
    }
    this.#leaf = node
    this.#index = key === undefined ? 0 : node.lowerBound(key)
  }

  /** To the first item of the next leaf; stays behind the last item if there is none. */
  async #advance(): Promise<void> {
    let depth = this.#path.length - 1
    while (depth >= 0 && this.#path[depth]!.index === this.#path[depth]!.node.count - 1) depth--
    if (depth < 0) return
    if (depth < this.#path.length - 1) this.#warmTo = 0
    this.#path.length = depth + 1
    let frame = this.#path[depth]!
    frame.index++
    while (frame.node.level > 1) {
      frame = { node: await loadChild(this.#store, frame.node, frame.index), index: 0 }
      this.#path.push(frame)
    }
    await this.#warm(frame)
    this.#leaf = await loadChild(this.#store, frame.node, frame.index)
    this.#index = 0
  }

  async #warm({ node, index }: Frame): Promise<void> {
    if (this.#store.warm === undefined || index < this.#warmTo) return
    this.#readAhead = Math.min(MAX_READ_AHEAD, this.#readAhead * 2)
    this.#warmTo = Math.min(node.count, index + this.#readAhead)
    if (this.#warmTo - index < 2) return
    const hashes: TreeHash[] = []
    for (let i = index; i < this.#warmTo; i++) hashes.push(node.childHash(i))
    await this.#store.warm(hashes)
  }
}

/** True if the first item at or after `key` is certainly below this node. */
function covers(node: TreeNode, key: Buffer): boolean {
  return node.count > 0 && node.compare(0, key) <= 0 && node.compare(node.count - 1, key) >= 0
}

/** A source with its next item in view. */
class Ahead<Item extends { readonly key: Buffer }> {
  readonly #source: Sorted<Item>
  #head: Item | undefined
  #state: 'unread' | 'head' | 'end' = 'unread'
  /** Where it was last sent, or the last key that was taken: what comes is at or after the one, after the other. */
  #floor: Buffer | undefined
  #floorTaken = false

  constructor(source: Sorted<Item>) {
    this.#source = source
  }

  get head(): Item | undefined {
    return this.#head
  }

  /** Whether `head` is known; undefined then means the end. */
  ready(): boolean {
    if (this.#state !== 'unread') return true
    const item = this.#source.nextNow?.()
    if (item === undefined) return false
    this.#head = item
    this.#state = 'head'
    return true
  }

  async read(): Promise<void> {
    if (this.ready()) return
    this.#head = await this.#source.next()
    this.#state = this.#head === undefined ? 'end' : 'head'
  }

  take(): void {
    this.#floor = this.#head?.key
    this.#floorTaken = true
    this.#head = undefined
    this.#state = 'unread'
  }

  async seek(key: Buffer): Promise<void> {
    const order = this.#floor === undefined ? 1 : this.#floor.compare(key)
    const forward = order < 0 || (order === 0 && !this.#floorTaken)
    this.#floor = key
    this.#floorTaken = false
    // What is in view stays so: most seeks of a listing skip over a group in one source only.
    if (forward && (this.#state === 'end' || (this.#head !== undefined && this.#head.key.compare(key) >= 0))) return
    this.#head = undefined
    this.#state = 'unread'
    await this.#source.seek(key)
  }
}

class MergedCursor implements Cursor {
  readonly #base: Ahead<LeafItem>
  readonly #overlay: Ahead<TreeChange>

  constructor(base: Cursor, overlay: OverlayCursor) {
    this.#base = new Ahead(base)
    this.#overlay = new Ahead(overlay)
  }

  async seek(key: Buffer): Promise<void> {
    await this.#base.seek(key)
    await this.#overlay.seek(key)
  }

  nextNow(): LeafItem | undefined {
    while (this.#base.ready() && this.#overlay.ready()) {
      const item = this.#base.head
      const change = this.#overlay.head
      if (change === undefined) {
        if (item !== undefined) this.#base.take()
        return item
      }
      const order = item === undefined ? 1 : item.key.compare(change.key)
      if (order <= 0) this.#base.take()
      if (order < 0) return item
      this.#overlay.take()
      if (change.item !== null) return change.item
    }
    return undefined
  }

  async next(): Promise<LeafItem | undefined> {
    for (;;) {
      await this.#base.read()
      await this.#overlay.read()
      const item = this.nextNow()
      if (item !== undefined || this.#atEnd()) return item
    }
  }

  #atEnd(): boolean {
    return (
      this.#base.ready() && this.#overlay.ready() && this.#base.head === undefined && this.#overlay.head === undefined
    )
  }
}
