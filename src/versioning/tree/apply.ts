import type { TreeHash } from '../model/index.ts'
import { warmPaths } from './lookup.ts'
import { loadChild, loadNode, type TreeNode } from './node.ts'
import type { NodeStore, TreeChange, TreeSettings } from './types.ts'
import { TreeWriter } from './writer.ts'

/** Changes are taken in slices, whose leaves are read together. */
const CHANGES_PER_SLICE = 256
/** Below this, reading the leaves together costs more than it saves. */
const WORTH_WARMING = 4
/** How many visited nodes are remembered, so that those which come out as they were are not written again. */
const MAX_REMEMBERED = 4096

/**
 * Applies changes, sorted by key and one for each (RangeError otherwise), and returns the new root: the same as `build` gives for the
 * entries that result. Only the paths to changed leaves are rewritten, with the neighbours up to the next cut that old and new
 * have in common. All nodes are stored when it resolves. Changes that come as a stream may come in groups, which saves a wait for each.
 * Throws Corrupt.
 */
export async function apply(
  store: NodeStore,
  settings: TreeSettings,
  root: TreeHash,
  changes: readonly TreeChange[] | AsyncIterable<TreeChange | readonly TreeChange[]>,
): Promise<TreeHash> {
  const visited = new Set<TreeHash>([root])
  const writer = new TreeWriter(store, settings, (hash) => visited.has(hash))
  let old: OldTree | undefined
  let previous: Buffer | undefined
  for await (const slice of slices(changes)) {
    old ??= new OldTree(store, await loadNode(store, root), visited)
    if (slice.length >= WORTH_WARMING) await warmPaths(store, root, slice.map(keyOf))
    for (const { key, item } of slice) {
      if (previous !== undefined && previous.compare(key) >= 0) {
        throw new RangeError('changes to a tree must be handed in sorted and one for each key')
      }
      previous = key
      if (!old.copyUpTo(writer, key)) await old.copyBefore(writer, key)
      old.skip(key)
      if (item !== null) writer.add(item)
      if (writer.full) await writer.flush()
    }
  }
  if (old === undefined) return root
  await old.copyBefore(writer, undefined)
  return writer.finish()
}

const keyOf = (change: TreeChange): Buffer => change.key

async function* slices(
  changes: readonly TreeChange[] | AsyncIterable<TreeChange | readonly TreeChange[]>,
): AsyncGenerator<readonly TreeChange[]> {
  if (Symbol.asyncIterator in changes) {
    let slice: TreeChange[] = []
    for await (const change of changes) {
      if (!('key' in change)) {
        if (slice.length > 0) yield slice.splice(0)
        for (let start = 0; start < change.length; start += CHANGES_PER_SLICE) {
          yield change.slice(start, start + CHANGES_PER_SLICE)
        }
        continue
      }
      slice.push(change)
      if (slice.length < CHANGES_PER_SLICE) continue
      yield slice
      slice = []
    }
    if (slice.length > 0) yield slice
    return
  }
  for (let start = 0; start < changes.length; start += CHANGES_PER_SLICE) {
    yield changes.slice(start, start + CHANGES_PER_SLICE)
  }
}

interface Frame {
  readonly node: TreeNode
  index: number
  /** On the right edge of the tree: such a node ends because the tree does, and may have to go on when something comes after it. */
  readonly last: boolean
}

/** The old tree, taken over into a writer from left to right. */
class OldTree {
  readonly #store: NodeStore
  readonly #visited: Set<TreeHash>
  /** From the root to the node whose item `index` is the next that was not taken over. Empty at the end. */
  readonly #path: Frame[]

  constructor(store: NodeStore, root: TreeNode, visited: Set<TreeHash>) {
    this.#store = store
    this.#visited = visited
    this.#path = [{ node: root, index: 0, last: true }]
  }

  /** Takes over what is before `limit` if that ends in the leaf that is open; false if more is needed. */
  copyUpTo(writer: TreeWriter, limit: Buffer): boolean {
    const top = this.#path.at(-1)
    if (top === undefined) return true
    if (top.node.level > 0) return false
    const stop = top.node.lowerBound(limit, top.index)
    writer.copy(top.node, top.index, stop)
    top.index = stop
    return stop < top.node.count
  }

  /** Takes over everything before `limit`, or everything: whole subtrees wherever the writer has no node open below them. */
  async copyBefore(writer: TreeWriter, limit: Buffer | undefined): Promise<void> {
    for (let top = this.#path.at(-1); top !== undefined; top = this.#path.at(-1)) {
      const { node, index } = top
      if (writer.full) await writer.flush()
      if (index === node.count) {
        this.#path.pop()
      } else if (node.level === 0) {
        const stop = limit === undefined ? node.count : node.lowerBound(limit, index)
        writer.copy(node, index, stop)
        top.index = stop
        if (stop < node.count) return
      } else if (this.#mayTake(writer, top, limit)) {
        writer.copy(node, index, index + 1)
        top.index++
      } else {
        await this.#descend(top)
      }
    }
  }

  /** Leaves the entry with this key out, if the next one has it. */
  skip(key: Buffer): void {
    const top = this.#path.at(-1)
    if (top !== undefined && top.node.level === 0 && top.node.compare(top.index, key) === 0) top.index++
  }

  #mayTake(writer: TreeWriter, top: Frame, limit: Buffer | undefined): boolean {
    if (!writer.closedBelow(top.node.level)) return false
    if (limit === undefined) return true
    const endsTree = top.last && top.index === top.node.count - 1
    return !endsTree && top.node.compare(top.index, limit) < 0
  }

  async #descend(top: Frame): Promise<void> {
    const index = top.index++
    if (this.#visited.size >= MAX_REMEMBERED) this.#visited.clear()
    this.#visited.add(top.node.childHash(index))
    const node = await loadChild(this.#store, top.node, index)
    this.#path.push({ node, index: 0, last: top.last && index === top.node.count - 1 })
  }
}
