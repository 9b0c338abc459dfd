import { parentPort, workerData } from 'node:worker_threads'
import {
  type Database,
  DomainError,
  errorMessage,
  MIB,
  openSqlite,
  SCRUB_PATIENCE_MS,
  silentLog,
  unreachable,
} from '../../kernel/index.ts'
import type { CommitId, Content, TreeHash } from '../model/index.ts'
import {
  applyCounted,
  build,
  countItem,
  decodeLeaf,
  EMPTY_TREE,
  encodeEntry,
  encodeLeaf,
  type LeafItem,
  type NodeStore,
  openNodeStore,
  type TreeSettings,
  treeCursor,
} from '../tree/index.ts'
import { placeSlice } from './files/place-slice.ts'
import { withoutSlice } from './files/without-slice.ts'
import { mergeLater, mergeSlice, newestChanges } from './graph/merge-slice.ts'
import type { FoldResult, TreeReply, TreeRequest, TreeWorkerData, UnionResult } from './tree-work.ts'

/** Conflicts named in a failed job; the first few say enough. */
const MAX_CONFLICTS = 20

const { databaseFile, nodesFile, salt } = workerData as TreeWorkerData
const settings: TreeSettings = { salt: Buffer.from(salt) }
const port = parentPort!

/** New changes are read once, in their order. */
const CHANGES_CACHE_BYTES = 11 * MIB
/** The index over hashes, into which nodes are written in no order; the nodes themselves have a cache of their own. */
const NODES_CACHE_BYTES = 44 * MIB

const onFatal = (error: Error) => port.postMessage({ id: 0, ok: false, code: 'Fatal', message: errorMessage(error) })
const db = await openSqlite({ file: databaseFile, log: silentLog, onFatal, cacheBytes: CHANGES_CACHE_BYTES })
const nodesDb = await openSqlite({
  file: nodesFile,
  log: silentLog,
  onFatal,
  cacheBytes: NODES_CACHE_BYTES,
  patienceMs: SCRUB_PATIENCE_MS,
})
const store = openNodeStore(nodesDb)

// One request at a time: the trees share the one writer of the nodes' file anyway.
let tail: Promise<void> = Promise.resolve()
port.on('message', ({ id, request }: { id: number; request: TreeRequest | undefined }) => {
  tail = tail.then(() => (request ? answer(id, request) : close()))
})

async function answer(id: number, request: TreeRequest): Promise<void> {
  let reply: TreeReply
  try {
    reply = { id, ok: true, result: await run(request) }
  } catch (error) {
    const code = error instanceof DomainError ? error.code : 'Error'
    reply = { id, ok: false, code, message: errorMessage(error) }
  }
  port.postMessage(reply)
}

async function close(): Promise<void> {
  await db.close()
  await nodesDb.close()
  port.close()
}

function run(request: TreeRequest): Promise<unknown> {
  switch (request.kind) {
    case 'fold':
      return fold(db, store, request)
    case 'build':
      return build(
        store,
        settings,
        request.items
          .map(({ key, size, value }) => ({ key: Buffer.from(key), size, value: Buffer.from(value) }))
          .sort((a, b) => Buffer.compare(a.key, b.key)),
      )
    case 'union':
      return union(store, request)
    case 'merge':
      return mergeSlice(store, settings, request)
    case 'mergeLater':
      return mergeLater(db, store, settings, request)
    case 'place':
      return placeSlice(db, store, settings, request)
    case 'without':
      return withoutSlice(store, settings, request)
    default:
      return unreachable(request)
  }
}

async function fold(
  database: Database,
  nodes: NodeStore,
  { branchId, base, fromSeq, toSeq }: Extract<TreeRequest, { kind: 'fold' }>,
): Promise<FoldResult> {
  const changes = await newestChanges(database, { branchId, fromSeq, toSeq })
  return applyCounted(nodes, settings, base, changes)
}

async function union(
  nodes: NodeStore,
  { commit, outputs, base }: Extract<TreeRequest, { kind: 'union' }>,
): Promise<UnionResult> {
  const items: LeafItem[] = []
  // One fingerprint can stand for several datums; its files come once.
  for (const root of new Set(outputs)) for await (const item of all(nodes, root)) items.push(item)
  items.sort((a, b) => Buffer.compare(a.key, b.key))
  const conflicts = findConflicts(items)
  if (conflicts.length > 0) return { kind: 'conflict', paths: conflicts }
  const kept = treeCursor(nodes, base)
  await kept.seek(Buffer.alloc(0))
  let old = base === EMPTY_TREE ? undefined : await kept.next()
  const result: LeafItem[] = []
  const counted = { files: 0, bytes: 0 }
  for (const [index, item] of items.entries()) {
    while (old && Buffer.compare(old.key, item.key) < 0) old = await kept.next()
    const same = old && Buffer.compare(old.key, item.key) === 0 && sameOutput(old, item)
    result.push(same ? old! : withVersion(item, commit as CommitId, index + 1))
    countItem(counted, item, 1)
  }
  const root = await build(nodes, settings, result)
  return { kind: 'ok', root, files: counted.files, sizeBytes: counted.bytes }
}

async function* all(nodes: NodeStore, root: TreeHash): AsyncGenerator<LeafItem> {
  const cursor = treeCursor(nodes, root)
  await cursor.seek(Buffer.alloc(0))
  for (let item = await cursor.next(); item; item = await cursor.next()) yield item
}

function findConflicts(sorted: readonly LeafItem[]): Extract<UnionResult, { kind: 'conflict' }>['paths'] {
  const conflicts = []
  for (let i = 1; i < sorted.length && conflicts.length < MAX_CONFLICTS; i++) {
    const [one, other] = [sorted[i - 1]!, sorted[i]!]
    if (Buffer.compare(one.key, other.key) !== 0) continue
    const [a, b] = [decodeLeaf(one.key, one.value), decodeLeaf(other.key, other.value)]
    conflicts.push({ path: b.path, datums: [a.origin?.datum ?? '', b.origin?.datum ?? ''] as const })
  }
  return conflicts
}

function withVersion(item: LeafItem, commit: CommitId, seq: number): LeafItem {
  const { path: _path, version: _version, ...entry } = decodeLeaf(item.key, item.value)
  return { ...item, value: encodeLeaf({ commit, seq }, encodeEntry(entry)) }
}

function sameOutput(old: LeafItem, item: LeafItem): boolean {
  const a = decodeLeaf(old.key, old.value)
  const b = decodeLeaf(item.key, item.value)
  return (
    a.size === b.size &&
    sameContent(a.content, b.content) &&
    a.origin?.datum === b.origin?.datum &&
    a.origin?.job === b.origin?.job
  )
}

function sameContent(a: Content, b: Content): boolean {
  if (a.kind === 'inline') return b.kind === 'inline' && a.bytes.equals(b.bytes)
  return a.kind === b.kind && a.sha256.equals((b as Extract<Content, { sha256: Buffer }>).sha256)
}
