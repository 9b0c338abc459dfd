import type { TreeHash } from '../model/index.ts'
import { startsWith } from './bytes.ts'
import { loadChild, loadNode, type TreeNode } from './node.ts'
import type { NodeStore } from './types.ts'

/**
 * How many entries there are below a prefix and the sum of their sizes (at most 2^53 - 1: it saturates). Reads two paths of the tree.
 * Throws Corrupt.
 */
export async function measure(
  store: NodeStore,
  root: TreeHash,
  prefix: Buffer = Buffer.alloc(0),
): Promise<{ objects: number; bytes: number }> {
  const total = { objects: 0, bytes: 0 }
  await add(await loadNode(store, root), false)
  return total

  /** `inside`: all keys of the node are greater than one that has the prefix. */
  async function add(node: TreeNode, inside: boolean): Promise<void> {
    let within = inside || prefix.length === 0
    for (let i = within ? 0 : node.lowerBound(prefix); i < node.count; i++) {
      const has = startsWith(node.key(i), prefix)
      if (node.level === 0 && !has) return
      if (node.level === 0 || (within && has)) {
        total.objects += node.objects(i)
        total.bytes = Math.min(Number.MAX_SAFE_INTEGER, total.bytes + node.size(i))
      } else {
        await add(await loadChild(store, node, i), within)
      }
      // The child's last key was the last one that may have it.
      if (!has) return
      within = true
    }
  }
}
