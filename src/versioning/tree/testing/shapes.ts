/** What other sizes of nodes and other rules for their boundaries would cost, for the benchmark of them. */
import { createHash, hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KIB, migrate, openSqlite, silentLog } from '../../../kernel/index.ts'
import type { TreeHash } from '../../model/index.ts'
import { apply } from '../apply.ts'
import { build } from '../build.ts'
import { treeCursor } from '../cursor.ts'
import { itemOf, MemoryStore, settings as ownSettings, put } from '../fixtures.ts'
import { listPage } from '../list.ts'
import { lookup } from '../lookup.ts'
import { loadNode } from '../node.ts'
import { nodeMigrations, openNodeStore } from '../node-store.ts'
import type { BoundaryRule, LeafItem, TreeChange, TreeSettings } from '../types.ts'

const head = [
  'boundary',
  'node',
  'largest',
  'levels',
  'bytes an object',
  'written: 1 overwritten',
  '1 inserted',
  '10,000 overwritten',
  'page of 1,000',
  'look up',
  '10,000 overwritten, on disk',
]

interface Shape {
  readonly name: string
  readonly boundary?: Rule
}

type Rule = (level: number) => BoundaryRule

/** As the store's own rule: by the hash of the key, with a chance that grows with the item's bytes, between two limits. */
const byKey =
  (minBytes: number, maxBytes = 2 * minBytes): Rule =>
  (level) => {
    const salt = createHash('sha256').update(`salt ${level}`).digest()
    return rule(minBytes, maxBytes, (keys, start, end) => [salt, keys.subarray(start, end)])
  }

/** The same, by a hash of the whole item: what changes an entry may move its node's end. */
const byContent =
  (minBytes: number): Rule =>
  () =>
    rule(minBytes, 2 * minBytes, (_keys, _start, _end, item) => [item])

/** Always after so many bytes: nothing that comes after an insertion stays as it was. */
const bySize =
  (bytes: number): Rule =>
  () => ({ cutsAfter: (_before, after) => after >= bytes })

function rule(
  minBytes: number,
  maxBytes: number,
  hashed: (keys: Buffer, start: number, end: number, item: Buffer) => readonly Buffer[],
): BoundaryRule {
  return {
    cutsAfter(before, after, keys, start, end, items) {
      if (after < minBytes) return false
      if (after >= maxBytes) return true
      const chances = Math.min(2 ** 31, (after - Math.max(before, minBytes)) * (2 ** 32 / (minBytes / 2)))
      const digest = hash('sha256', Buffer.concat(hashed(keys, start, end, items.subarray(before, after))), 'hex')
      return Number.parseInt(digest.slice(0, 8), 16) < chances
    },
  }
}

const shapes: readonly Shape[] = [
  { name: 'key hash, 1 to 2 KiB', boundary: byKey(KIB) },
  { name: 'key hash, 2 to 4 KiB', boundary: byKey(2 * KIB) },
  { name: 'key hash, 4 to 8 KiB (the store)' },
  { name: 'key hash, 8 to 16 KiB', boundary: byKey(8 * KIB) },
  { name: 'key hash, 16 to 32 KiB', boundary: byKey(16 * KIB) },
  { name: 'key hash, 4 KiB, no upper limit', boundary: byKey(4 * KIB, Number.MAX_SAFE_INTEGER) },
  { name: 'hash of the entry, 4 to 8 KiB', boundary: byContent(4 * KIB) },
  { name: 'size alone, 6 KiB', boundary: bySize(6 * KIB) },
]

/** Of numbers that follow one another none lie near each other: a step by the golden ratio, odd and no multiple of five. */
function scattered(i: number, objects: number): number {
  let step = Math.floor(objects * 0.618_033_988_7) | 1
  if (step % 5 === 0) step += 2
  return (i * step) % objects
}

const keyOf = (n: number) =>
  `folder-${String(Math.floor(n / 100)).padStart(6, '0')}/object-${String(n).padStart(8, '0')}.bin`

function* items(objects: number): Generator<LeafItem> {
  for (let n = 0; n < objects; n++) yield itemOf(keyOf(n), { size: n })
}

/** Counts what is stored; what an edit writes and the tree has already is not counted, as in the store. */
class CountingStore extends MemoryStore {
  bytes = 0
  count = 0

  override async put(nodes: Parameters<MemoryStore['put']>[0]): Promise<void> {
    for (const node of nodes) {
      if (this.nodes.has(node.hash)) continue
      this.nodes.set(node.hash, node)
      this.bytes += node.body.length
      this.count++
    }
  }
}

const sorted = (changes: readonly TreeChange[]) => changes.toSorted((a, b) => a.key.compare(b.key))
const overwrites = (objects: number, from: number, count: number): TreeChange[] =>
  sorted(
    Array.from({ length: count }, (_, i) =>
      put(itemOf(keyOf(scattered(from + i, objects)), { mark: 2, size: from + i })),
    ),
  )
const insertions = (objects: number, from: number, count: number): TreeChange[] =>
  sorted(Array.from({ length: count }, (_, i) => put(itemOf(`${keyOf(scattered(from + i, objects))}-more`))))

async function measure(shape: Shape, objects: number): Promise<string[]> {
  const settings = { ...ownSettings, ...(shape.boundary && { boundary: shape.boundary }) }
  const store = new CountingStore()
  const root = await build(store, settings, items(objects))
  const { level } = await loadNode(store, root)
  const { bytes, count } = store
  let largest = 0
  for (const { body } of store.nodes.values()) largest = Math.max(largest, body.length)
  const written = async (changes: typeof overwrites, each: number, rounds: number) => {
    store.bytes = 0
    for (let round = 0; round < rounds; round++)
      await apply(store, settings, root, changes(objects, round * each + 1, each))
    return store.bytes / rounds
  }
  const one = await written(overwrites, 1, 30)
  const inserted = await written(insertions, 1, 30)
  const many = await written(overwrites, 10_000, 1)
  const page = await timed(20, (round) =>
    listPage(treeCursor(fresh(store), root), { limit: 1000, after: keyOf(scattered(round, objects)) }),
  )
  const found = await timed(200, (round) => lookup(fresh(store), root, Buffer.from(keyOf(scattered(round, objects)))))
  const disk = await onDisk(settings, objects)
  const kib = (value: number) => `${(value / KIB).toFixed(value < 100 * KIB ? 1 : 0)} KiB`
  return [
    shape.name,
    `${(bytes / count / KIB).toFixed(1)} KiB`,
    `${(largest / KIB).toFixed(0)} KiB`,
    String(level + 1),
    `${Math.round(bytes / objects)}`,
    kib(one),
    kib(inserted),
    kib(many),
    `${page.toFixed(1)} ms`,
    `${(found * 1000).toFixed(0)} µs`,
    `${kib(disk.bytes)}, ${disk.seconds.toFixed(1)} s`,
  ]
}

/** Bodies in memory of their own, so that each read takes them apart anew, as one from the disk does. */
function fresh(store: MemoryStore) {
  return {
    get: async (hash: TreeHash) => Buffer.from(await store.get(hash)),
    put: () => Promise.reject(new Error('only read here')),
  }
}

/** What the system writes to the disk for 10,000 overwritten objects, and how long it takes. */
async function onDisk(
  settings: TreeSettings,
  objects: number,
): Promise<{ readonly bytes: number; readonly seconds: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-tree-'))
  const db = await openSqlite({ file: join(folder, 'nodes.sqlite'), log: silentLog })
  try {
    await migrate(db, [nodeMigrations])
    const store = openNodeStore(db)
    const root = await build(store, settings, items(objects))
    const [before, from] = [bytesWritten(), performance.now()]
    await apply(store, settings, root, overwrites(objects, 1, 10_000))
    return { bytes: bytesWritten() - before, seconds: (performance.now() - from) / 1000 }
  } finally {
    await db.close()
    await rm(folder, { recursive: true })
  }
}

/** By this process, to storage. */
function bytesWritten(): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'latin1'))?.[1] ?? 0)
}

async function timed(rounds: number, work: (round: number) => Promise<unknown>): Promise<number> {
  for (let round = 0; round < rounds; round++) await work(round)
  const times: number[] = []
  for (let round = 0; round < rounds; round++) {
    const from = performance.now()
    await work(rounds + round)
    times.push(performance.now() - from)
  }
  return times.sort((a, b) => a - b)[Math.floor(rounds / 2)]!
}

/** The table's head, and a line for each shape as it is measured. */
export async function* compareShapes(objects: number): AsyncGenerator<readonly string[]> {
  yield head
  for (const shape of shapes) yield await measure(shape, objects)
}
