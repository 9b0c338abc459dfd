import type { TreeHash } from '../model/index.ts'
import type { LeafItem, NodeStore, TreeSettings } from './types.ts'
import { TreeWriter } from './writer.ts'

/**
 * Makes a tree of items that come sorted by key, each key once (RangeError otherwise). Streams: memory is bounded, whatever the
 * number of items. All nodes are stored when it resolves.
 */
export async function build(
  store: NodeStore,
  settings: TreeSettings,
  items: AsyncIterable<LeafItem> | Iterable<LeafItem>,
): Promise<TreeHash> {
  const writer = new TreeWriter(store, settings)
  if (Symbol.iterator in items) {
    for (const item of items) {
      writer.add(item)
      if (writer.full) await writer.flush()
    }
  } else {
    for await (const item of items) {
      writer.add(item)
      if (writer.full) await writer.flush()
    }
  }
  return writer.finish()
}
