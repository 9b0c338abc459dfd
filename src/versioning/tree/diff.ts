import type { TreeHash } from '../model/index.ts'
import { startsWith } from './bytes.ts'
import { loadChild, loadNode, type TreeNode } from './node.ts'
import type { LeafItem, NodeStore } from './types.ts'

/** Subtrees brought near in one read: more with each that turns out to be wanted, as many differences are as a rule not all asked for. */
const FIRST_WARMED = 8
const MAX_WARMED = 256

/** A key that two trees have different items under, or only one of them has. */
export interface TreeDifference {
  readonly key: Buffer
  readonly before?: LeafItem
  readonly after?: LeafItem
}

/** Which keys are compared: those with the prefix that are not before `from`. */
export interface DiffRange {
  readonly prefix?: Buffer
  readonly from?: Buffer
}

/**
 * The differences between two trees in order of their keys, with `from` those from this key on. Subtrees that are equal are not read.
 * Throws Corrupt.
 */
export async function* diffTrees(
  store: NodeStore,
  before: TreeHash,
  after: TreeHash,
  options: DiffRange = {},
): AsyncGenerator<TreeDifference> {
  if (before === after) return
  const prefix = options.prefix ?? Buffer.alloc(0)
  const from = options.from !== undefined && options.from.compare(prefix) > 0 ? options.from : prefix
  const left = new Walker(store, await loadNode(store, before), { prefix, from })
  const right = new Walker(store, await loadNode(store, after), { prefix, from })
  for (;;) {
    if (left.ended) {
      if (right.ended) return
      if (right.level > 0) await right.descend(left)
      else yield { key: right.key, after: right.take() }
    } else if (right.ended) {
      if (left.level > 0) await left.descend(right)
      else yield { key: left.key, before: left.take() }
    } else if (left.level === 0 && right.level === 0) {
      const difference = compareItems(left, right)
      if (difference !== undefined) yield difference
    } else if (left.level === right.level && left.sameValue(right)) {
      left.pass()
      right.pass()
    } else {
      const level = Math.max(left.level, right.level)
      if (left.level === level) await left.descend(right)
      if (right.level === level) await right.descend(left)
    }
  }
}

/** Takes the lesser item, or both where they have one key; undefined if they are equal, as nearly all are. */
function compareItems(left: Walker, right: Walker): TreeDifference | undefined {
  const order = left.compareKey(right)
  if (order < 0) return { key: left.key, before: left.take() }
  if (order > 0) return { key: right.key, after: right.take() }
  if (left.sameItem(right)) {
    left.pass()
    right.pass()
    return undefined
  }
  return { key: left.key, before: left.take(), after: right.take() }
}

interface Frame {
  readonly node: TreeNode
  index: number
  /** Of its subtrees, those before this one were brought near. */
  warmed: number
}

/** Stands before an item of any level: an entry, or a subtree that is either passed whole or descended into. */
class Walker {
  readonly #store: NodeStore
  readonly #prefix: Buffer
  readonly #from: Buffer
  readonly #path: Frame[] = []
  #warmNext = FIRST_WARMED

  constructor(store: NodeStore, root: TreeNode, { prefix, from }: { readonly prefix: Buffer; readonly from: Buffer }) {
    this.#store = store
    this.#prefix = prefix
    this.#from = from
    this.#enter(root)
  }

  get ended(): boolean {
    return this.#path.length === 0
  }

  get level(): number {
    return this.#top.node.level
  }

  /** Of an entry its own, of a subtree the last one below it. */
  get key(): Buffer {
    return this.#top.node.key(this.#top.index)
  }

  /** Below, at or above 0, as its key is less than, equal to or greater than the other's. */
  compareKey(other: Walker): number {
    const { node, index } = this.#top
    const its = other.#top
    const start = its.node.keyStart(its.index)
    const end = its.node.keyEnd(its.index)
    return node.keys.compare(its.node.keys, start, end, node.keyStart(index), node.keyEnd(index))
  }

  /** Whether entries that have one key are equal. */
  sameItem(other: Walker): boolean {
    const mine = this.#top
    const its = other.#top
    return mine.node.size(mine.index) === its.node.size(its.index) && this.sameValue(other)
  }

  /** Whether what stands under the keys is equal. */
  sameValue(other: Walker): boolean {
    const { node, index } = this.#top
    const its = other.#top
    const start = its.node.valueStart(its.index)
    const end = its.node.valueEnd(its.index)
    return node.body.compare(its.node.body, start, end, node.valueStart(index), node.valueEnd(index)) === 0
  }

  take(): LeafItem {
    const { node, index } = this.#top
    const item = node.item(index)
    this.pass()
    return item
  }

  pass(): void {
    this.#top.index++
    this.#settle()
  }

  /** `other` walks the tree that is compared: what both have is not going to be read. */
  async descend(other: Walker): Promise<void> {
    const { node, index } = this.#top
    await this.#warm(this.#top, other)
    const child = await loadChild(this.#store, node, index)
    this.#top.index++
    this.#enter(child)
  }

  async #warm(frame: Frame, other: Walker): Promise<void> {
    const { node, index } = frame
    if (this.#store.warm === undefined || index < frame.warmed) return
    frame.warmed = Math.min(node.count, index + this.#warmNext)
    while (frame.warmed > index + 1 && this.#isBehind(node, frame.warmed - 2)) frame.warmed--
    this.#warmNext = Math.min(this.#warmNext * 2, MAX_WARMED)
    const beside = other.#path.find((its) => its.node.level === node.level)
    const shared = new Set(beside ? hashesOf(beside.node, beside.index, beside.node.count) : [])
    const wanted = hashesOf(node, index, frame.warmed).filter((hash) => !shared.has(hash))
    if (wanted.length > 1) await this.#store.warm(wanted)
  }

  /** Whether nothing that is wanted comes after this item. */
  #isBehind(node: TreeNode, index: number): boolean {
    const prefix = this.#prefix
    return prefix.length > 0 && node.compare(index, prefix) > 0 && !startsWith(node.key(index), prefix)
  }

  get #top(): Frame {
    return this.#path.at(-1)!
  }

  /** Begins at the first item that may be wanted. */
  #enter(node: TreeNode): void {
    const index = this.#from.length === 0 ? 0 : node.lowerBound(this.#from)
    this.#path.push({ node, index, warmed: index })
    this.#settle()
  }

  /** Leaves nodes that are done, and everything once the prefix is behind. */
  #settle(): void {
    while (this.#path.length > 0 && this.#top.index >= this.#top.node.count) this.#path.pop()
    if (this.#prefix.length === 0 || this.#path.length === 0 || this.level > 0) return
    if (!startsWith(this.key, this.#prefix)) this.#path.length = 0
  }
}

function hashesOf(node: TreeNode, from: number, to: number): TreeHash[] {
  return Array.from({ length: to - from }, (_, n) => node.childHash(from + n))
}
