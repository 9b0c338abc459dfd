import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Origin, TreeHash } from '../model/index.ts'
import { apply } from './apply.ts'
import { build } from './build.ts'
import { encodeEntry, encodeLeaf } from './codec.ts'
import { diffTrees, type TreeDifference } from './diff.ts'
import {
  changeModel,
  collect,
  entryOf,
  itemOf,
  MemoryStore,
  type Model,
  put,
  remove,
  settings,
  someChanges,
  someCommit,
  somePath,
  sortedItems,
} from './fixtures.ts'
import { EMPTY_TREE } from './node.ts'
import { createTrees } from './trees.ts'
import type { LeafItem } from './types.ts'

function plainDiff(before: Model, after: Model, prefix: string): TreeDifference[] {
  const differences: TreeDifference[] = []
  for (const path of new Set([...before.keys(), ...after.keys()])) {
    const old = before.get(path)
    const now = after.get(path)
    if (!path.startsWith(prefix) || (old && now && old.size === now.size && old.value.equals(now.value))) continue
    differences.push({ key: Buffer.from(path), ...(old && { before: old }), ...(now && { after: now }) })
  }
  return differences.sort((a, b) => a.key.compare(b.key))
}

/** Sees which nodes are asked for, and which are announced. */
class WarmedStore extends MemoryStore {
  readonly got = new Set<TreeHash>()
  readonly warmed = new Set<TreeHash>()
  warms = 0

  watch(): void {
    this.got.clear()
    this.warmed.clear()
    this.warms = 0
  }

  override get(hash: TreeHash): Promise<Buffer> {
    this.got.add(hash)
    return super.get(hash)
  }

  async warm(hashes: readonly TreeHash[]): Promise<void> {
    this.warms++
    for (const hash of hashes) this.warmed.add(hash)
  }
}

describe('a diff', () => {
  it('names what differs, and nothing else, in order, whichever way round', async () => {
    await fc.assert(
      fc.asyncProperty(
        someChanges(150),
        someChanges(30),
        fc.oneof(fc.constantFrom('', 'a', '/'), somePath),
        async (first, second, prefix) => {
          const store = new MemoryStore()
          const before: Model = new Map()
          changeModel(before, first)
          const after = new Map(before)
          changeModel(after, second)
          const old = await build(store, settings, sortedItems(before))
          const now = await apply(store, settings, old, second)
          const options = { prefix: Buffer.from(prefix) }
          assert.deepEqual(await collect(diffTrees(store, old, now, options)), plainDiff(before, after, prefix))
          assert.deepEqual(await collect(diffTrees(store, now, old, options)), plainDiff(after, before, prefix))
          assert.deepEqual(
            await collect(diffTrees(store, EMPTY_TREE, now, options)),
            plainDiff(new Map(), after, prefix),
          )
        },
      ),
      { numRuns: 100 },
    )
  })

  it('names what differs between trees that have nothing to do with each other', async () => {
    await fc.assert(
      fc.asyncProperty(someChanges(120), someChanges(20), async (first, second) => {
        const store = new MemoryStore()
        const before: Model = new Map()
        const after: Model = new Map()
        changeModel(before, first)
        changeModel(after, second)
        const old = await build(store, settings, sortedItems(before))
        const now = await build(store, settings, sortedItems(after))
        assert.deepEqual(await collect(diffTrees(store, old, now)), plainDiff(before, after, ''))
      }),
      { numRuns: 60 },
    )
  })

  it('reads only the paths to what differs', async () => {
    const store = new MemoryStore()
    const items: LeafItem[] = Array.from({ length: 40_000 }, (_, i) => itemOf(`file-${String(i).padStart(6, '0')}`))
    const root = await build(store, settings, items)
    for (const changes of [
      [put(itemOf('file-020000', { mark: 2 }))],
      [put({ ...itemOf('file-020000'), size: 4 })],
      [put(itemOf('a'))],
      [put(itemOf('z'))],
      [remove('file-012345'), put(itemOf('file-030000+'))],
    ]) {
      const other = await apply(store, settings, root, changes)
      store.resetCounts()
      assert.equal((await collect(diffTrees(store, root, other))).length, changes.length)
      assert.ok(store.reads <= 12 * changes.length, `${store.reads} nodes read`)
    }
    store.resetCounts()
    assert.deepEqual(await collect(diffTrees(store, root, root)), [])
    assert.equal(store.reads, 0)
  })

  it('does not read what lies outside of its prefix', async () => {
    const store = new MemoryStore()
    const paths = Array.from({ length: 20_000 }, (_, i) => `${i % 2 ? 'b' : 'a'}/${String(i).padStart(6, '0')}`).sort()
    const root = await build(
      store,
      settings,
      paths.map((path) => itemOf(path)),
    )
    const other = await build(
      store,
      settings,
      paths.map((path) => itemOf(path, { mark: path < 'b' ? 9 : 1 })),
    )
    store.resetCounts()
    assert.deepEqual(await collect(diffTrees(store, root, other, { prefix: Buffer.from('b/') })), [])
    assert.ok(store.reads < 20, `${store.reads} nodes read`)
  })

  for (const prefix of ['', '3']) {
    it(`brings near what it reads next, in few reads, and nothing else${prefix ? ', also below a prefix' : ''}`, async () => {
      const store = new WarmedStore()
      const paths = Array.from({ length: 20_000 }, (_, n) => String(n).padStart(5, '0'))
      const items = paths.map((path) => itemOf(`${path.at(-1)}/${path}`)).sort((a, b) => a.key.compare(b.key))
      const old = await build(store, settings, items)
      const changes = items.filter((_, n) => n % 50 === 0).map(({ key }) => put(itemOf(key.toString(), { mark: 2 })))
      const now = await apply(store, settings, old, changes)
      store.watch()
      const found = await collect(diffTrees(store, old, now, { prefix: Buffer.from(prefix) }))
      assert.equal(found.length, changes.filter(({ key }) => key.toString().startsWith(prefix)).length)
      assert.deepEqual(
        [...store.warmed].filter((hash) => !store.got.has(hash)),
        [],
      )
      const cold = [...store.got].filter((hash) => !store.warmed.has(hash))
      assert.ok(cold.length * 5 < store.got.size, `${cold.length} of ${store.got.size} were read one by one`)
      assert.ok(store.warms * 5 < store.got.size, `${store.warms} reads for ${store.got.size}`)
    })
  }

  it('counts version, time and origin only when it is strict', async () => {
    const store = new MemoryStore()
    const item = (path: string, seq: number, change: { modifiedMs?: number; origin?: Origin; etag?: string }) => {
      const value = encodeLeaf({ commit: someCommit, seq }, encodeEntry(entryOf(change)))
      return { key: Buffer.from(path), size: 3, value }
    }
    const before = await build(store, settings, [
      item('content', 1, {}),
      item('gone', 1, {}),
      item('origin', 1, {}),
      item('time', 1, {}),
      item('version', 1, {}),
    ])
    const after = await build(store, settings, [
      item('content', 1, { etag: 'ffffffffffffffffffffffffffffffff' }),
      item('new', 1, {}),
      item('origin', 1, { origin: { job: 'j', datum: 'd' } }),
      item('time', 1, { modifiedMs: 5 }),
      item('version', 2, {}),
    ])
    const show = async (strict?: boolean) =>
      (await collect(createTrees(store).diff(before, after, { ...(strict && { strict }) }))).map(
        ({ kind, path }) => `${kind} ${path}`,
      )
    assert.deepEqual(await show(), ['changed content', 'deleted gone', 'added new'])
    assert.deepEqual(await show(true), [
      'changed content',
      'deleted gone',
      'added new',
      'changed origin',
      'changed time',
      'changed version',
    ])
  })
})
