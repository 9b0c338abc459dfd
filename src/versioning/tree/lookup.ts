import type { TreeHash } from '../model/index.ts'
import { loadChild, loadNode, type TreeNode } from './node.ts'
import type { LeafItem, NodeStore } from './types.ts'

/** How many nodes one read asks for: about 1.5 MiB. */
const NODES_PER_READ = 256

/** The item under a key. Throws Corrupt. */
export async function lookup(store: NodeStore, root: TreeHash, key: Buffer): Promise<LeafItem | undefined> {
  let node = await loadNode(store, root)
  while (node.level > 0) {
    const index = node.lowerBound(key)
    if (index === node.count) return undefined
    node = await loadChild(store, node, index)
  }
  return itemAt(node, key)
}

/** The items under sorted keys, in their order. Reads each level in bulk, each node once. Throws Corrupt. */
export async function lookupMany(
  store: NodeStore,
  root: TreeHash,
  keys: readonly Buffer[],
): Promise<(LeafItem | undefined)[]> {
  const found = new Array<LeafItem | undefined>(keys.length).fill(undefined)
  await visitPaths(store, root, keys, (leaf, from, to) => {
    for (let i = from; i < to; i++) found[i] = itemAt(leaf, keys[i]!)
  })
  return found
}

/** Brings the leaves around sorted keys near, so that walking to one after the other needs no read each. */
export async function warmPaths(store: NodeStore, root: TreeHash, keys: readonly Buffer[]): Promise<void> {
  if (store.warm !== undefined) await visitPaths(store, root, keys, () => {})
}

/** A node that is to be visited for keys `from` to `to`. */
interface Visit {
  readonly hash: TreeHash
  readonly from: number
  readonly to: number
}

async function visitPaths(
  store: NodeStore,
  root: TreeHash,
  keys: readonly Buffer[],
  visitLeaf: (leaf: TreeNode, from: number, to: number) => void,
): Promise<void> {
  if (keys.length === 0) return
  const top = await loadNode(store, root)
  if (top.level === 0) return visitLeaf(top, 0, keys.length)
  let visits = partition(top, keys, 0, keys.length)
  for (let level = top.level - 1; level >= 0; level--) {
    const below: Visit[] = []
    for (let start = 0; start < visits.length; start += NODES_PER_READ) {
      const slice = visits.slice(start, start + NODES_PER_READ)
      if (slice.length > 1) await store.warm?.(slice.map((visit) => visit.hash))
      for (const { hash, from, to } of slice) {
        const node = await loadNode(store, hash, level)
        if (level === 0) visitLeaf(node, from, to)
        else for (const visit of partition(node, keys, from, to)) below.push(visit)
      }
    }
    visits = below
  }
}

/** Keys after the last one of the node belong to no child. */
function partition(node: TreeNode, keys: readonly Buffer[], from: number, to: number): Visit[] {
  const visits: Visit[] = []
  let next = from
  let child = 0
  while (next < to) {
    child = node.lowerBound(keys[next]!, child)
    if (child === node.count) break
    const first = next
    do next++
    while (next < to && node.compare(child, keys[next]!) >= 0)
    visits.push({ hash: node.childHash(child), from: first, to: next })
  }
  return visits
}

function itemAt(leaf: TreeNode, key: Buffer): LeafItem | undefined {
  const index = leaf.lowerBound(key)
  return index < leaf.count && leaf.compare(index, key) === 0 ? leaf.item(index) : undefined
}
