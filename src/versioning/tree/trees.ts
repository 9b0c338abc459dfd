import type { Entry, FileEntry, Path, TreeHash } from '../model/index.ts'
import type { Difference, Trees } from '../trees.ts'
import { startsWith } from './bytes.ts'
import { decodeLeaf, encodeEntry } from './codec.ts'
import { treeCursor } from './cursor.ts'
import { type DiffRange, diffTrees, type TreeDifference } from './diff.ts'
import { listPage } from './list.ts'
import { lookup } from './lookup.ts'
import { measure } from './measure.ts'
import type { NodeStore } from './types.ts'

/** Trees of entries over a store of nodes. All methods throw Corrupt. */
export function createTrees(store: NodeStore): Trees {
  return {
    async get(root, path) {
      const item = await lookup(store, root, Buffer.from(path))
      return item && decodeLeaf(item.key, item.value)
    },
    list: (root, query) => listPage(treeCursor(store, root), query),
    walk: (root, prefix) => walk(store, root, Buffer.from(prefix ?? '')),
    diff: (before, after, options = {}) => diff(store, before, after, options),
    measure: (root, prefix) => measure(store, root, Buffer.from(prefix ?? '')),
  }
}

async function* walk(store: NodeStore, root: TreeHash, prefix: Buffer): AsyncGenerator<FileEntry> {
  const cursor = treeCursor(store, root)
  await cursor.seek(prefix)
  for (;;) {
    const item = cursor.nextNow?.() ?? (await cursor.next())
    if (item === undefined || !startsWith(item.key, prefix)) return
    yield decodeLeaf(item.key, item.value)
  }
}

async function* diff(
  store: NodeStore,
  before: TreeHash,
  after: TreeHash,
  options: { readonly prefix?: string; readonly after?: string; readonly strict?: boolean },
): AsyncGenerator<Difference> {
  for await (const found of diffTrees(store, before, after, rangeOf(options))) {
    const difference = differenceOf(found, options)
    if (difference) yield difference
  }
}

/** The range of a diff that goes on after a path. */
export function rangeOf({ prefix = '', after }: { readonly prefix?: string; readonly after?: string }): DiffRange {
  // The least byte string after `after` is that with a zero byte behind it.
  return { prefix: Buffer.from(prefix), ...(after !== undefined && { from: Buffer.from(`${after}\0`) }) }
}

/** As callers see it; undefined where the two differ only in version, time or origin, unless `strict`. */
export function differenceOf(
  found: TreeDifference,
  { strict = false }: { readonly strict?: boolean } = {},
): Difference | undefined {
  const path = found.key.toString('utf8') as Path
  const before = found.before && decodeLeaf(found.key, found.before.value)
  const after = found.after && decodeLeaf(found.key, found.after.value)
  if (before === undefined) return after && { kind: 'added', path, after }
  if (after === undefined) return { kind: 'deleted', path, before }
  return strict || !sameFile(before, after) ? { kind: 'changed', path, before, after } : undefined
}

/** Whether two entries are the same but for version, time and origin. */
export function sameFile(one: Entry, other: Entry): boolean {
  const plain = (entry: Entry): Entry => {
    const { size, etag, content, attributes, checksum, parts } = entry
    return {
      size,
      etag,
      content,
      attributes,
      modifiedMs: 0,
      ...(checksum && { checksum }),
      ...(parts !== undefined && { parts }),
    }
  }
  return one.etag === other.etag && encodeEntry(plain(one)).equals(encodeEntry(plain(other)))
}
