import { isMarker, type TreeHash } from '../model/index.ts'
import { apply } from './apply.ts'
import { lookupMany } from './lookup.ts'
import { EMPTY_TREE } from './node.ts'
import type { LeafItem, NodeStore, TreeChange, TreeSettings } from './types.ts'

/** Changes whose old entries are looked up together, right before they are applied: their leaves are still at hand then. */
const CHANGES_PER_GROUP = 256

/** A tree, and what it has more than the one it was made from; markers not counted. */
export interface CountedApply {
  readonly root: TreeHash
  readonly files: number
  readonly bytes: number
}

/**
 * Looks up what sorted keys hold in a tree and passes each with its old item to `see`, which says whether it is to be changed. To be handed to
 * `apply`: it reads the same leaves.
 */
export async function* comparedWith(
  store: NodeStore,
  root: TreeHash,
  groups: AsyncIterable<readonly TreeChange[]> | Iterable<readonly TreeChange[]>,
  see: (change: TreeChange, old: LeafItem | undefined) => boolean,
): AsyncGenerator<readonly TreeChange[]> {
  for await (const group of groups) {
    const keys = group.map(({ key }) => key)
    const before = root === EMPTY_TREE ? [] : await lookupMany(store, root, keys)
    yield group.filter((change, index) => see(change, before[index]))
  }
}

/** As `apply`, and counts what became more or less. Memory does not grow with the number of changes. */
export async function applyCounted(
  store: NodeStore,
  settings: TreeSettings,
  root: TreeHash,
  changes: readonly TreeChange[],
): Promise<CountedApply> {
  const sum = { files: 0, bytes: 0 }
  const counted = comparedWith(store, root, groupsOf(changes), ({ item }, old) => {
    countItem(sum, old, -1)
    countItem(sum, item ?? undefined, 1)
    return true
  })
  return { root: await apply(store, settings, root, counted), ...sum }
}

/** Adds an entry to a sum of files and bytes, or takes it off. */
export function countItem(sum: { files: number; bytes: number }, item: LeafItem | undefined, sign: 1 | -1): void {
  if (!item || (item.size === 0 && isMarker(item.key.toString(), 0))) return
  sum.files += sign
  sum.bytes += sign * item.size
}

function* groupsOf(changes: readonly TreeChange[]): Generator<readonly TreeChange[]> {
  for (let start = 0; start < changes.length; start += CHANGES_PER_GROUP) {
    yield changes.slice(start, start + CHANGES_PER_GROUP)
  }
}
