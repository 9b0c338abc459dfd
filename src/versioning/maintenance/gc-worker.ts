import { parentPort, workerData } from 'node:worker_threads'
import {
  type Database,
  DomainError,
  errorMessage,
  faultPoint,
  openSqlite,
  type Queries,
  silentLog,
  unreachable,
} from '../../kernel/index.ts'
import { Marks } from '../content/index.ts'
import type { TreeHash } from '../model/index.ts'
import { Bodies } from './bodies.ts'
import type {
  ChunksResult,
  GcReply,
  GcRequest,
  GcWorkerData,
  MarkResult,
  NodesResult,
  PackLive,
  UnmarkedChunk,
  WeakResults,
  WhyReply,
} from './gc-protocol.ts'
import { letGoRoots } from './let-go.ts'
import { Marker } from './marker.ts'
import { contentReferences, pages, treeReferences } from './references.ts'
import { WhoHolds } from './who-holds.ts'

/** Nodes looked at by one statement, and removed by one transaction: whoever writes trees waits for no more. */
const NODES_LOOKED_AT = 2_000
const NODES_REMOVED = 250
const CHUNKS_LOOKED_AT = 5_000
const RESULTS_AT_ONCE = 1_000
/** What a record's header takes beside its data. */
const HEADER_BYTES = 48

const { databaseFile, nodesFile, packsFolder, sources, without } = workerData as GcWorkerData
const port = parentPort!
const post = (reply: GcReply) => port.postMessage(reply)
const onFatal = (error: Error) => post({ id: 0, ok: false, code: 'Fatal', message: errorMessage(error) } as GcReply)

const db = await openSqlite({ file: databaseFile, log: silentLog, onFatal })
const nodesDb = await openSqlite({ file: nodesFile, log: silentLog, onFatal })
const bodies = new Bodies({ meta: db, nodes: nodesDb, packsFolder })
const left = new Set(without)
let marker: Marker | undefined
let lastNode = 0
let lastChunk: Buffer = Buffer.alloc(0)
let firstChunks = true
const live = new Map<number, number>()

let tail: Promise<void> = Promise.resolve()
port.on('message', (message: 'stop' | { id: number; request: GcRequest | undefined }) => {
  if (message === 'stop') return bodies.stop()
  const { id, request } = message
  tail = tail.then(() => (request ? answer(id, request) : close()))
})

async function answer(id: number, request: GcRequest): Promise<void> {
  try {
    post({ id, ok: true, result: await run(request) })
  } catch (error) {
    const code = error instanceof DomainError ? error.code : 'Error'
    const data = error instanceof DomainError ? error.data : {}
    post({ id, ok: false, code, message: errorMessage(error), data })
  }
}

async function close(): Promise<void> {
  await liftBarrier(nodesDb)
  await db.close()
  await nodesDb.close()
  port.close()
}

function run(request: GcRequest): Promise<unknown> {
  switch (request.kind) {
    case 'count':
      return db.get('SELECT count(*) AS chunks FROM chunk')
    case 'barrier':
      return setBarrier(nodesDb)
    case 'mark':
      return mark(request)
    case 'results':
      return weakResults()
    case 'nodes':
      return sweepNodes(request.remove)
    case 'chunks':
      return nextChunks()
    case 'why':
      return whyHeld(Buffer.from(request.sha256, 'hex'))
    case 'packs':
      return Promise.resolve([...live].map(([pack, liveBytes]): PackLive => ({ pack, liveBytes })))
    default:
      return unreachable(request)
  }
}

async function setBarrier(nodes: Database): Promise<void> {
  await liftBarrier(nodes)
  await nodes.write((tx) => tx.run('INSERT INTO node_sweep (id) VALUES (1)'))
}

async function liftBarrier(nodes: Database): Promise<void> {
  await nodes.write((tx) => tx.run('DELETE FROM node_sweep'))
  const some = `DELETE FROM node_again WHERE hash IN (SELECT hash FROM node_again LIMIT ${NODES_LOOKED_AT})`
  while ((await nodes.write((tx) => tx.run(some))) > 0) {
    // Slice by slice.
  }
}

async function mark(request: Extract<GcRequest, { kind: 'mark' }>): Promise<MarkResult> {
  marker ??= new Marker({
    bodies,
    marks: new Marks(request.marks),
    onProgress: (nodes) => post({ id: 0, ok: true, marked: nodes }),
  })
  for (const root of request.roots) await marker.tree(root)
  for (const sha256 of request.manifests) await marker.manifest(Buffer.from(sha256))
  const into = marker
  // One state of the rows: what moves from one row to another meanwhile (a transaction is finished, an upload completed) would be
  // passed by.
  const roots = await db.snapshot(async (queries) => {
    if (request.contents) await markContents(queries, into)
    return rootsOf(queries, request.results)
  })
  for (const root of roots) await marker.tree(root)
  return { nodes: marker.nodes, entries: marker.entries }
}

async function rootsOf(queries: Queries, withResults: boolean): Promise<ReadonlySet<TreeHash>> {
  const roots = new Set<TreeHash>()
  for await (const { root, holder } of treeReferences(queries, sources)) {
    if (holder.kind === 'commit' && left.has(holder.commit)) continue
    roots.add(root)
  }
  // Somebody may be making a tree of one of these.
  for await (const root of letGoRoots(queries)) roots.add(root)
  if (!withResults) return roots
  for (const { results = [] } of sources) {
    for (const { select } of results) for await (const { root } of resultRows(queries, select)) roots.add(root)
  }
  return roots
}

/** What comes later is marked by whoever writes it. */
async function markContents(queries: Queries, into: Marker): Promise<void> {
  for await (const { content, holder } of contentReferences(queries)) {
    if (holder.kind === 'version' && left.has(holder.commit)) continue
    await into.content(content)
  }
}

async function* resultRows(queries: Queries, select: string) {
  let offset = 0
  yield* pages<{ root: TreeHash; key: string }>(() => {
    const page = queries.all<{ root: TreeHash; key: string }>(
      `SELECT root, key FROM (${select}) LIMIT ${RESULTS_AT_ONCE} OFFSET ?`,
      [offset],
    )
    offset += RESULTS_AT_ONCE
    return page
  })
}

async function weakResults(): Promise<readonly WeakResults[]> {
  const weak: WeakResults[] = []
  for (const [source, { results = [] }] of sources.entries()) {
    for (const [statement, { select }] of results.entries()) {
      const keys = await db.snapshot(async (queries) => {
        const rows: { root: TreeHash; key: string }[] = []
        for await (const row of resultRows(queries, select)) rows.push(row)
        return rows
      })
      const unbacked: string[] = []
      for (const { root, key } of keys) if (!(await marker!.isBacked(root))) unbacked.push(key)
      if (unbacked.length > 0) weak.push({ source, statement, keys: unbacked })
    }
  }
  return weak
}

async function sweepNodes(remove: boolean): Promise<NodesResult> {
  faultPoint('gc.nodes')
  const rows = await nodesDb.all<{ id: number; hash: Buffer; bytes: number }>(
    `SELECT rowid AS id, hash, length(body) AS bytes FROM node WHERE rowid > ? ORDER BY rowid LIMIT ${NODES_LOOKED_AT}`,
    [lastNode],
  )
  lastNode = rows.at(-1)?.id ?? lastNode
  const unmarked = marker!.knowsAllNodes ? rows.filter(({ hash }) => !marker!.isMarkedNode(hash)) : []
  let removed = 0
  let bytes = 0
  for (let at = 0; at < unmarked.length; at += NODES_REMOVED) {
    const some = unmarked.slice(at, at + NODES_REMOVED)
    const gone = remove ? await removeNodes(some.map(({ hash }) => hash)) : some.map(({ hash }) => hash)
    removed += gone.length
    const sizes = new Map(some.map((row) => [row.hash.toString('hex'), row.bytes]))
    for (const hash of gone) bytes += sizes.get(hash.toString('hex')) ?? 0
  }
  return { looked: rows.length, unmarked: removed, bytes, ended: rows.length === 0 }
}

/** Not what was put since the barrier: decided in the transaction that removes. */
function removeNodes(hashes: readonly Buffer[]): Promise<readonly Buffer[]> {
  return nodesDb.write(async (tx) => {
    const rows = await tx.all<{ hash: Buffer }>(
      `DELETE FROM node WHERE hash IN (
         SELECT unhex(value) FROM json_each(?) WHERE unhex(value) NOT IN (SELECT hash FROM node_again)) RETURNING hash`,
      [JSON.stringify(hashes.map((hash) => hash.toString('hex')))],
    )
    return rows.map(({ hash }) => hash)
  })
}

async function whyHeld(sha256: Buffer): Promise<WhyReply> {
  const node = await nodesDb.get<{ bytes: number }>('SELECT length(body) AS bytes FROM node WHERE hash = ?', [sha256])
  const chunk = await db.get<{ bytes: number }>('SELECT length AS bytes FROM chunk WHERE sha256 = ?', [sha256])
  const who = new WhoHolds(sha256, bodies)
  await db.snapshot((queries) => who.look(queries, sources))
  const bytes = (node ?? chunk)?.bytes
  const kind = node ? 'node' : who.isManifest ? 'manifest' : chunk ? 'chunk' : 'gone'
  return { kind, held: who.held, total: who.total, ...(bytes !== undefined && { bytes }) }
}

async function nextChunks(): Promise<ChunksResult> {
  const rows = await db.all<{ sha256: Buffer; pack: number; length: number; doomed: 0 | 1 }>(
    `SELECT c.sha256, c.pack, c.length, d.sha256 IS NOT NULL AS doomed
     FROM chunk AS c LEFT JOIN doomed_chunk AS d ON d.sha256 = c.sha256
     WHERE c.sha256 ${firstChunks ? '>=' : '>'} ? ORDER BY c.sha256 LIMIT ${CHUNKS_LOOKED_AT}`,
    [lastChunk],
  )
  firstChunks = false
  lastChunk = rows.at(-1)?.sha256 ?? lastChunk
  const unmarked: UnmarkedChunk[] = []
  const back: Buffer[] = []
  for (const { sha256, pack, length, doomed } of rows) {
    if (!marker!.isMarkedChunk(sha256)) {
      unmarked.push({ sha256, length })
      continue
    }
    live.set(pack, (live.get(pack) ?? 0) + length + HEADER_BYTES)
    if (doomed) back.push(sha256)
  }
  return { looked: rows.length, unmarked, back, ended: rows.length === 0 }
}
