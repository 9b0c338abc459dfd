import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { Path } from '../model/index.ts'
import type { ListQuery, ListResult } from '../trees.ts'
import { build } from './build.ts'
import { decodeLeaf } from './codec.ts'
import { type Cursor, mergedCursor, type OverlayCursor, treeCursor } from './cursor.ts'
import {
  changeModel,
  collect,
  itemOf,
  MemoryStore,
  type Model,
  put,
  settings,
  someChanges,
  somePath,
  sortedItems,
} from './fixtures.ts'
import { listPage } from './list.ts'
import { EMPTY_TREE } from './node.ts'
import { createTrees } from './trees.ts'
import type { LeafItem, TreeChange } from './types.ts'

const compare = (a: string, b: string) => Buffer.from(a).compare(Buffer.from(b))

/** A listing as the documents of S3 describe it, without any thought of speed. */
function plainListing(model: Model, query: ListQuery): ListResult {
  const { prefix = '', delimiter = '', after = '' } = query
  const shown: { name: string; item?: LeafItem }[] = []
  for (const item of sortedItems(model)) {
    const path = item.key.toString()
    if (!path.startsWith(prefix)) continue
    const found = delimiter === '' ? -1 : path.indexOf(delimiter, prefix.length)
    const name = found < 0 ? path : path.slice(0, found + delimiter.length)
    if (compare(name, after) <= 0 || shown.at(-1)?.name === name) continue
    shown.push(found < 0 ? { name, item } : { name })
  }
  const page = shown.slice(0, query.limit)
  const more = query.limit > 0 && shown.length > query.limit
  return {
    entries: page.flatMap(({ item }) => (item ? [decodeLeaf(item.key, item.value)] : [])),
    prefixes: page.filter(({ item }) => !item).map(({ name }) => name),
    ...(more && { next: page.at(-1)!.name }),
  }
}

function overlayOf(changes: readonly TreeChange[], counts = { seeks: 0 }): OverlayCursor {
  let at = 0
  return {
    async seek(key) {
      counts.seeks++
      at = changes.findIndex((change) => change.key.compare(key) >= 0)
      if (at < 0) at = changes.length
    },
    next: async () => changes[at++],
  }
}

function modelOf(...rounds: readonly (readonly TreeChange[])[]): Model {
  const model: Model = new Map()
  for (const changes of rounds) changeModel(model, changes)
  return model
}

const someQuery = fc.record(
  {
    prefix: fc.oneof(fc.constantFrom('', 'a', 'a/', '/', '😀'), somePath),
    delimiter: fc.constantFrom('/', 'b', 'x', '//', 'é', '😀', 'bc'),
    after: fc.oneof(fc.constantFrom('a', 'a/', 'b/', '～'), somePath),
    limit: fc.oneof(fc.nat(5), fc.constant(1000)),
  },
  { requiredKeys: ['limit'] },
)

async function items(cursor: Cursor): Promise<LeafItem[]> {
  const all: LeafItem[] = []
  for (let item = await cursor.next(); item !== undefined; item = await cursor.next()) all.push(item)
  assert.equal(await cursor.next(), undefined, 'a cursor stays at its end')
  return all
}

describe('a listing', () => {
  it('is what S3 documents, of a tree and of a tree under changes', async () => {
    await fc.assert(
      fc.asyncProperty(
        someChanges(120),
        someChanges(60),
        fc.array(someQuery, { minLength: 1, maxLength: 8 }),
        async (below, above, queries) => {
          const store = new MemoryStore()
          const root = await build(store, settings, sortedItems(modelOf(below)))
          for (const query of queries) {
            assert.deepEqual(await createTrees(store).list(root, query), plainListing(modelOf(below), query))
            const merged = mergedCursor(treeCursor(store, root), overlayOf(above))
            assert.deepEqual(await listPage(merged, query), plainListing(modelOf(below, above), query))
          }
        },
      ),
      { numRuns: 80 },
    )
  })

  it('shows everything once, page by page', async () => {
    await fc.assert(
      fc.asyncProperty(
        someChanges(80),
        someQuery.filter(({ limit }) => limit > 0),
        async (changes, { after: _, ...query }) => {
          const store = new MemoryStore()
          const root = await build(store, settings, sortedItems(modelOf(changes)))
          const trees = createTrees(store)
          const whole = await trees.list(root, { ...query, limit: 1000 })
          const paths: string[] = []
          const prefixes: string[] = []
          let page = await trees.list(root, query)
          for (;;) {
            paths.push(...page.entries.map((entry) => entry.path))
            prefixes.push(...page.prefixes)
            if (page.next === undefined) break
            assert.equal(page.entries.length + page.prefixes.length, query.limit)
            page = await trees.list(root, { ...query, after: page.next })
          }
          assert.deepEqual(
            paths,
            whole.entries.map((entry) => entry.path),
          )
          assert.deepEqual(prefixes, whole.prefixes)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('does not show a common prefix again that start-after is inside of, as AWS does', async () => {
    const store = new MemoryStore()
    const root = await build(
      store,
      settings,
      ['a/', 'a/b', 'a/c', 'b', 'c/d'].map((path) => itemOf(path)),
    )
    const list = async (after: string) => {
      const page = await createTrees(store).list(root, { delimiter: '/', after, limit: 10 })
      return [...page.prefixes, ...page.entries.map((entry) => entry.path)]
    }
    assert.deepEqual(await list('a'), ['a/', 'c/', 'b'])
    assert.deepEqual(await list('a/'), ['c/', 'b'])
    assert.deepEqual(await list('a/b'), ['c/', 'b'])
    assert.deepEqual(await list('b'), ['c/'])
    assert.deepEqual(await list('c/a'), [])
  })

  it('gives an empty page without a next one for a limit of 0', async () => {
    const store = new MemoryStore()
    const root = await build(store, settings, [itemOf('a')])
    assert.deepEqual(await createTrees(store).list(root, { limit: 0 }), { entries: [], prefixes: [] })
  })

  it('steps over each group with one seek, however many keys it holds', async () => {
    const store = new MemoryStore()
    const paths = Array.from(
      { length: 40_000 },
      (_, i) => `${String(Math.floor(i / 4000)).padStart(2, '0')}/${String(i).padStart(6, '0')}`,
    )
    const root = await build(
      store,
      settings,
      paths.map((path) => itemOf(path)),
    )
    store.resetCounts()
    const counts = { seeks: 0 }
    const page = await listPage(mergedCursor(treeCursor(store, root), overlayOf([put(itemOf('99/z'))], counts)), {
      delimiter: '/',
      limit: 1000,
    })
    assert.equal(page.prefixes.length, 11)
    assert.ok(store.reads < 50, `${store.reads} nodes read`)
    assert.ok(counts.seeks <= 2, 'a change in view far ahead is not looked up again for each group')
  })
})

describe('a cursor', () => {
  it('goes from wherever it is to wherever it is sent', async () => {
    await fc.assert(
      fc.asyncProperty(
        someChanges(150),
        someChanges(40),
        fc.array(fc.tuple(somePath, fc.nat(20)), { maxLength: 20 }),
        async (below, above, moves) => {
          const store = new MemoryStore()
          const root = await build(store, settings, sortedItems(modelOf(below)))
          const plain = { cursor: treeCursor(store, root), sorted: sortedItems(modelOf(below)) }
          const merged = {
            cursor: mergedCursor(treeCursor(store, root), overlayOf(above)),
            sorted: sortedItems(modelOf(below, above)),
          }
          for (const { cursor, sorted } of [plain, merged]) {
            for (const [path, steps] of moves) {
              const key = Buffer.from(path)
              await cursor.seek(key)
              const rest = sorted.filter((item) => item.key.compare(key) >= 0)
              for (let i = 0; i < steps; i++) assert.deepEqual(await cursor.next(), rest[i])
            }
            await cursor.seek(Buffer.alloc(0))
            assert.deepEqual(await items(cursor), sorted)
          }
        },
      ),
      { numRuns: 80 },
    )
  })

  it('begins before the first item', async () => {
    const store = new MemoryStore()
    const all = ['a', 'b'].map((path) => itemOf(path))
    const root = await build(store, settings, all)
    assert.deepEqual(await items(treeCursor(store, root)), all)
    assert.deepEqual(await items(mergedCursor(treeCursor(store, root), overlayOf([]))), all)
    assert.deepEqual(await items(treeCursor(store, EMPTY_TREE)), [])
  })
})

describe('a walk', () => {
  it('gives all entries below a prefix in order', async () => {
    await fc.assert(
      fc.asyncProperty(someChanges(100), fc.oneof(fc.constant(''), somePath), async (changes, prefix) => {
        const store = new MemoryStore()
        const model = modelOf(changes)
        const root = await build(store, settings, sortedItems(model))
        assert.deepEqual(
          await collect(createTrees(store).walk(root, prefix)),
          sortedItems(model)
            .map((item) => decodeLeaf(item.key, item.value))
            .filter((entry) => entry.path.startsWith(prefix)),
        )
      }),
      { numRuns: 60 },
    )
  })

  it('agrees with a single look-up', async () => {
    const store = new MemoryStore()
    const root = await build(store, settings, [itemOf('a/é')])
    const [entry] = await collect(createTrees(store).walk(root))
    assert.deepEqual(await createTrees(store).get(root, 'a/é' as Path), entry)
    assert.equal(await createTrees(store).get(root, 'a' as Path), undefined)
  })
})
