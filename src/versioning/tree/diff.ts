import type { TreeHash } from '../model/index.ts'
import { startsWith } from './bytes.ts'
import { loadChild, loadNode, type TreeNode } from './node.ts'
import type { LeafItem, NodeStore } from './types.ts'

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
      if (right.level > 0) await right.descend()
      else yield { key: right.key, after: right.take() }
    } else if (right.ended) {
      if (left.level > 0) await left.descend()
      else yield { key: left.key, before: left.take() }
    } else if (left.level === 0 && right.level === 0) {
      const difference = compareItems(left, right)
      if (difference !== undefined) yield difference
    } else if (left.level === right.level && left.sameChild(right)) {
      left.pass()
      right.pass()
    } else {
      const level = Math.max(left.level, right.level)
      if (left.level === level) await left.descend()
      if (right.level === level) await right.descend()
    }
  }
}

/** Takes the lesser item, or both where they have one key; undefined if they are equal. */
function compareItems(left: Walker, right: Walker): TreeDifference | undefined {
  const key = left.key
  const order = key.compare(right.key)
  if (order < 0) return { key, before: left.take() }
  if (order > 0) return { key: right.key, after: right.take() }
  const before = left.take()
  const after = right.take()
  return before.size === after.size && before.value.equals(after.value) ? undefined : { key, before, after }
}

interface Frame {
  readonly node: TreeNode
  index: number
}

/** Stands before an item of any level: an entry, or a subtree that is either passed whole or descended into. */
class Walker {
  readonly #store: NodeStore
  readonly #prefix: Buffer
  readonly #from: Buffer
  readonly #path: Frame[] = []

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

  sameChild(other: Walker): boolean {
    const mine = this.#top
    const its = other.#top
    const start = mine.node.valueStart(mine.index)
    const end = mine.node.valueEnd(mine.index)
    const itsStart = its.node.valueStart(its.index)
    return mine.node.body.compare(its.node.body, itsStart, itsStart + end - start, start, end) === 0
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

  async descend(): Promise<void> {
    const { node, index } = this.#top
    const child = await loadChild(this.#store, node, index)
    this.#top.index++
    this.#enter(child)
  }

  get #top(): Frame {
    return this.#path.at(-1)!
  }

  /** Begins at the first item that may be wanted. */
  #enter(node: TreeNode): void {
    this.#path.push({ node, index: this.#from.length === 0 ? 0 : node.lowerBound(this.#from) })
    this.#settle()
  }

  /** Leaves nodes that are done, and everything once the prefix is behind. */
  #settle(): void {
    while (this.#path.length > 0 && this.#top.index >= this.#top.node.count) this.#path.pop()
    if (this.#path.length > 0 && this.level === 0 && !startsWith(this.key, this.#prefix)) this.#path.length = 0
  }
}
