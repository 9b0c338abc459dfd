import type { Entry, FileEntry, Path, TreeHash } from '../model/index.ts'
import type { Difference, Trees } from '../trees.ts'
import { startsWith } from './bytes.ts'
import { decodeLeaf, encodeEntry } from './codec.ts'
import { treeCursor } from './cursor.ts'
import { diffTrees } from './diff.ts'
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
  options: { readonly prefix?: string; readonly strict?: boolean },
): AsyncGenerator<Difference> {
  const prefix = Buffer.from(options.prefix ?? '')
  for await (const found of diffTrees(store, before, after, { prefix })) {
    const path = found.key.toString('utf8') as Path
    const old = found.before && decodeLeaf(found.key, found.before.value)
    const now = found.after && decodeLeaf(found.key, found.after.value)
    if (old === undefined) {
      if (now !== undefined) yield { kind: 'added', path, after: now }
    } else if (now === undefined) {
      yield { kind: 'deleted', path, before: old }
    } else if (options.strict || !sameFile(old, now)) {
      yield { kind: 'changed', path, before: old, after: now }
    }
  }
}

/** Whether two entries are the same but for version, time and origin. */
function sameFile(one: Entry, other: Entry): boolean {
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
