import { type Database, MAX_PATH_BYTES } from '../../../kernel/index.ts'
import { type CommitId, isMarker, type TreeHash } from '../../model/index.ts'
import {
  apply,
  decodeLeaf,
  encodeEntry,
  encodeLeaf,
  type LeafItem,
  lookupMany,
  type NodeStore,
  startsWith,
  type TreeChange,
  type TreeSettings,
  treeCursor,
} from '../../tree/index.ts'

/** Old versions by their commit and number, each with its number in a new commit. */
export type Carried = readonly (readonly [commit: string, seq: number, as: number])[]

/** A slice of files put elsewhere in a tree, or taken out of it. */
export interface PlaceRequest {
  readonly kind: 'place'
  /** Where the files are read: the tree never changes on the way. */
  readonly source: TreeHash
  readonly from: string
  /** Undefined: they are taken out. */
  readonly to: string | undefined
  /** The tree as the slices before left it. */
  readonly root: TreeHash
  /** What was there at the beginning. */
  readonly base: TreeHash
  /** The first key of the slice; undefined: the first there is. */
  readonly start: Uint8Array | undefined
  readonly limit: number
  /** `dry`: only looks at what is in the way. */
  readonly mode: 'write' | 'dry'
  readonly force: boolean
  readonly commit: string
  /** Files of the slices before: the versions of these are counted on. */
  readonly placed: number
  /** Left out: files keep their times. */
  readonly modifiedMs: number | undefined
  /** Whether any version has tags or an ACL. */
  readonly beside: boolean
  /** Paths that are named, of each kind of refusal. */
  readonly maxNamed: number
}

export interface PlaceReply {
  readonly root: TreeHash
  readonly placed: number
  readonly placedBytes: number
  /** What the slice added to the tree, markers not counted. */
  readonly files: number
  readonly bytes: number
  /** Files that are in the way. */
  readonly existing: readonly string[]
  readonly existingTotal: number
  readonly tooLong: readonly string[]
  /** Of what has tags or an ACL: commit and number of the old version, number of the new one. */
  readonly carried: Carried
  /** Where the next slice begins; undefined: there is none. */
  readonly next: Uint8Array | undefined
}

/** One slice, as the tree worker is asked for it. All nodes are durable when it resolves. */
export async function placeSlice(
  db: Database,
  nodes: NodeStore,
  settings: TreeSettings,
  request: PlaceRequest,
): Promise<PlaceReply> {
  const { items, next } = await readSlice(nodes, request)
  const { to } = request
  const changes: TreeChange[] = []
  const tooLong: string[] = []
  const count = new Sum()
  for (const [index, item] of items.entries()) {
    const change = to === undefined ? { key: item.key, item: null } : placedItem(item, index, to, request)
    if (change.key.length > MAX_PATH_BYTES) {
      if (tooLong.length < request.maxNamed) tooLong.push(item.key.toString())
    } else changes.push(change)
  }
  const before = await lookupMany(
    nodes,
    request.base,
    changes.map(({ key }) => key),
  )
  for (const [index, { item }] of changes.entries()) {
    count.add(before[index], -1)
    count.add(item ?? undefined, 1)
  }
  const existing =
    to === undefined || request.force ? [] : before.flatMap((item) => (item === undefined ? [] : [item.key.toString()]))
  const refused = existing.length > 0 || tooLong.length > 0
  const root = refused || request.mode === 'dry' ? request.root : await apply(nodes, settings, request.root, changes)
  return {
    root,
    placed: items.length,
    placedBytes: items.reduce((sum, { size }) => sum + size, 0),
    files: count.files,
    bytes: count.bytes,
    existing: existing.slice(0, request.maxNamed),
    existingTotal: existing.length,
    tooLong,
    carried: refused || !request.beside ? [] : await withBeside(db, items, request.placed),
    next,
  }
}

async function readSlice(
  nodes: NodeStore,
  { source, from, start, limit }: PlaceRequest,
): Promise<{ items: readonly LeafItem[]; next: Uint8Array | undefined }> {
  const prefix = Buffer.from(from)
  const isFile = from !== '' && !from.endsWith('/')
  const cursor = treeCursor(nodes, source)
  await cursor.seek(start ? Buffer.from(start) : prefix)
  const items: LeafItem[] = []
  for (;;) {
    const item = cursor.nextNow?.() ?? (await cursor.next())
    if (!item || !(isFile ? item.key.equals(prefix) : startsWith(item.key, prefix))) return { items, next: undefined }
    if (items.length === limit) return { items, next: item.key }
    items.push(item)
  }
}

/** A version of its own; which job made it is a matter of where it was. */
function placedItem(item: LeafItem, index: number, to: string, request: PlaceRequest): TreeChange {
  const key = Buffer.concat([Buffer.from(to), item.key.subarray(Buffer.byteLength(request.from))])
  const { path: _path, version: _version, origin: _origin, ...entry } = decodeLeaf(item.key, item.value)
  const version = { commit: request.commit as CommitId, seq: request.placed + index + 1 }
  const modifiedMs = request.modifiedMs ?? entry.modifiedMs
  const value = encodeLeaf(version, encodeEntry({ ...entry, modifiedMs }))
  return { key, item: { key, size: item.size, value } }
}

class Sum {
  files = 0
  bytes = 0

  add(item: LeafItem | undefined, sign: 1 | -1): void {
    if (!item || (item.size === 0 && isMarker(item.key.toString(), 0))) return
    this.files += sign
    this.bytes += sign * item.size
  }
}

async function withBeside(db: Database, items: readonly LeafItem[], placed: number): Promise<Carried> {
  const versions = items.map((item, index) => {
    const { version } = decodeLeaf(item.key, item.value)
    return [version.commit, version.seq, placed + index + 1]
  })
  const rows = await db.all<{ commit_id: string; seq: number; placed: number }>(
    `SELECT w.value ->> 0 AS commit_id, w.value ->> 1 AS seq, w.value ->> 2 AS placed FROM json_each(?) AS w
     WHERE EXISTS (SELECT 1 FROM version_tags WHERE commit_id = w.value ->> 0 AND seq = w.value ->> 1)
        OR EXISTS (SELECT 1 FROM version_access WHERE commit_id = w.value ->> 0 AND seq = w.value ->> 1)`,
    [JSON.stringify(versions)],
  )
  return rows.map((row) => [row.commit_id, row.seq, row.placed])
}
