import type { TreeHash } from '../../model/index.ts'
import {
  applyCounted,
  EMPTY_TREE,
  type NodeStore,
  startsWith,
  type TreeChange,
  type TreeSettings,
  treeCursor,
} from '../../tree/index.ts'

/** Takes one path, or what begins with it, out of a tree: at most `limit` entries; the next slice goes on with the root of this one. */
export interface WithoutRequest {
  readonly kind: 'without'
  readonly root: TreeHash
  readonly path: Uint8Array
  readonly prefix: boolean
  readonly limit: number
}

export interface WithoutReply {
  readonly root: TreeHash
  /** Changes of the counts: negative, markers not counted. */
  readonly files: number
  readonly bytes: number
  readonly more: boolean
}

export async function withoutSlice(
  nodes: NodeStore,
  settings: TreeSettings,
  { root, path, prefix, limit }: WithoutRequest,
): Promise<WithoutReply> {
  if (root === EMPTY_TREE) return { root, files: 0, bytes: 0, more: false }
  const wanted = Buffer.from(path)
  const cursor = treeCursor(nodes, root)
  await cursor.seek(wanted)
  const changes: TreeChange[] = []
  for (let item = await cursor.next(); item && changes.length < limit; item = await cursor.next()) {
    if (prefix ? !startsWith(item.key, wanted) : !item.key.equals(wanted)) break
    changes.push({ key: item.key, item: null })
  }
  if (changes.length === 0) return { root, files: 0, bytes: 0, more: false }
  return { ...(await applyCounted(nodes, settings, root, changes)), more: prefix && changes.length === limit }
}
