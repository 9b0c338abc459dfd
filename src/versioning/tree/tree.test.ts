import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { TreeHash } from '../model/index.ts'
import { apply } from './apply.ts'
import { build } from './build.ts'
import { treeCursor } from './cursor.ts'
import {
  changeModel,
  itemOf,
  MemoryStore,
  type Model,
  put,
  remove,
  settings,
  someChanges,
  somePath,
  sortedItems,
} from './fixtures.ts'
import { lookup, lookupMany } from './lookup.ts'
import { measure } from './measure.ts'
import { decodeNode, EMPTY_TREE, loadChild, loadNode } from './node.ts'
import type { LeafItem, NodeStore, TreeChange } from './types.ts'

async function itemsOf(store: NodeStore, root: TreeHash): Promise<LeafItem[]> {
  const cursor = treeCursor(store, root)
  const items: LeafItem[] = []
  for (let item = await cursor.next(); item !== undefined; item = await cursor.next()) items.push(item)
  return items
}

const numbered = (count: number, padding = 0): LeafItem[] =>
  Array.from({ length: count }, (_, i) => itemOf(`file-${String(i).padStart(7, '0')}`, { mark: i, padding, size: i }))

async function* stream<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items
}

/** Everything that must hold of every tree: levels, sizes of nodes, keys and sums of inner nodes. */
async function checkShape(store: NodeStore, root: TreeHash): Promise<void> {
  const top = await loadNode(store, root)
  assert.ok(top.level === 0 || top.count > 1, 'a root has more than one child')
  await check(root, top.level, true)

  async function check(hash: TreeHash, level: number, last: boolean) {
    const node = await loadNode(store, hash, level)
    const end = node.body.length
    assert.ok(last || end >= 4096, 'only the last node of a level is small')
    const beforeLast = node.count < 2 ? 0 : node.valueEnd(node.count - 2)
    assert.ok(beforeLast < 8192 + 16, 'a node ends with the item that reaches 8 KiB')
    let objects = 0
    let bytes = 0
    for (let i = 0; i < node.count; i++) {
      assert.ok(i === 0 || node.key(i - 1).compare(node.key(i)) < 0, 'keys ascend')
      if (level === 0) {
        objects++
        bytes += node.size(i)
        continue
      }
      const below = await check(node.childHash(i), level - 1, last && i === node.count - 1)
      assert.deepEqual(below.lastKey, node.key(i), 'a child stands under its last key')
      assert.deepEqual([below.objects, below.bytes], [node.objects(i), node.size(i)], 'a child is counted right')
      objects += below.objects
      bytes += below.bytes
    }
    return { objects, bytes, lastKey: node.count === 0 ? undefined : node.key(node.count - 1) }
  }
}

describe('a tree', () => {
  it('has one root for the same entries, whatever edits led to them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(someChanges(120), { minLength: 1, maxLength: 5 }), async (rounds) => {
        const store = new MemoryStore()
        const model: Model = new Map()
        let root = EMPTY_TREE
        for (const [i, changes] of rounds.entries()) {
          changeModel(model, changes)
          root = await apply(store, settings, root, i % 2 === 0 ? changes : stream(changes))
          const fresh = new MemoryStore()
          assert.equal(
            root,
            await build(fresh, settings, i % 2 === 0 ? sortedItems(model) : stream(sortedItems(model))),
          )
          await checkShape(store, root)
          assert.deepEqual(await itemsOf(store, root), sortedItems(model))
        }
      }),
      { numRuns: 60 },
    )
  })

  it('has one root for the same entries in a tree of many levels too', async () => {
    const store = new MemoryStore()
    const long = (i: number) => `${'long/'.repeat(150)}${String(i).padStart(6, '0')}${'x'.repeat((i * 37) % 200)}`
    const items = Array.from({ length: 4000 }, (_, i) => itemOf(long(i), { mark: i, padding: (i * 7) % 400 }))
    const whole = await build(store, settings, items)
    assert.ok((await loadNode(store, whole)).level >= 2)
    await checkShape(store, whole)
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(fc.tuple(fc.nat(3999), fc.nat(40)), { maxLength: 12, selector: ([start]) => start }),
        async (ranges) => {
          const gone = new Set(ranges.flatMap(([start, length]) => Array.from({ length }, (_, i) => start + i)))
          const away = items.filter((_, i) => gone.has(i))
          const without = await apply(
            store,
            settings,
            whole,
            away.map(({ key }) => ({ key, item: null })),
          )
          assert.equal(
            without,
            await build(
              new MemoryStore(),
              settings,
              items.filter((_, i) => !gone.has(i)),
            ),
          )
          assert.equal(await apply(store, settings, without, away.map(put)), whole)
        },
      ),
      { numRuns: 40 },
    )
  })

  it('has one root too when all but the last leaf, an only child, is deleted', async () => {
    const store = new MemoryStore()
    const items: LeafItem[] = []
    let root = EMPTY_TREE
    let above = await loadNode(store, root)
    do {
      const item = itemOf(String(items.length).padStart(6, '0') + 'x'.repeat(700))
      items.push(item)
      root = await apply(store, settings, root, [put(item)])
      above = await loadNode(store, root)
      while (above.level > 1) above = await loadChild(store, above, above.count - 1)
    } while (above.count > 1 || (await loadNode(store, root)).level < 2)
    const { count } = await loadChild(store, above, 0)
    const gone = items.slice(0, -count).map(({ key }): TreeChange => ({ key, item: null }))
    const left = await apply(store, settings, root, gone)
    assert.equal(left, await build(new MemoryStore(), settings, items.slice(-count)))
    assert.equal(left, above.childHash(0))
  })

  it('finds what it holds and nothing else, one by one and in bulk', async () => {
    await fc.assert(
      fc.asyncProperty(someChanges(150), fc.array(somePath, { maxLength: 20 }), async (changes, others) => {
        const store = new MemoryStore()
        const model: Model = new Map()
        changeModel(model, changes)
        const root = await build(store, settings, sortedItems(model))
        const paths = [...new Set([...model.keys(), ...others])]
        const keys = paths.map((path) => Buffer.from(path)).sort((a, b) => a.compare(b))
        const expected = keys.map((key) => model.get(key.toString()))
        assert.deepEqual(await lookupMany(store, root, keys), expected)
        for (const [i, key] of keys.entries()) assert.deepEqual(await lookup(store, root, key), expected[i])
      }),
      { numRuns: 60 },
    )
  })

  it('measures a prefix as a count over its entries would', async () => {
    await fc.assert(
      fc.asyncProperty(someChanges(150), fc.array(somePath, { maxLength: 10 }), async (changes, paths) => {
        const store = new MemoryStore()
        const model: Model = new Map()
        changeModel(model, changes)
        const root = await build(store, settings, sortedItems(model))
        const prefixes = ['', 'a', 'a/', '😀', ...paths, ...[...model.keys()].map((path) => path.slice(0, 400))]
        for (const prefix of prefixes) {
          const bytes = Buffer.from(prefix)
          const below = sortedItems(model).filter((item) => item.key.subarray(0, bytes.length).equals(bytes))
          assert.deepEqual(await measure(store, root, bytes), {
            objects: below.length,
            bytes: below.reduce((sum, item) => sum + item.size, 0),
          })
        }
      }),
      { numRuns: 60 },
    )
  })

  it('is measured by reading two paths, and looked through by reading each node once', async () => {
    const store = new MemoryStore()
    const items = numbered(20_000)
    const root = await build(store, settings, items)
    store.resetCounts()
    assert.equal((await measure(store, root, Buffer.from('file-000'))).objects, 10_000)
    assert.ok(store.reads <= 6, `${store.reads} nodes read`)
    store.resetCounts()
    assert.deepEqual(
      await lookupMany(
        store,
        root,
        items.map((item) => item.key),
      ),
      items,
    )
    assert.equal(store.reads, store.nodes.size)
  })

  it('lets sums of sizes end at the largest safe number', async () => {
    const store = new MemoryStore()
    const items = Array.from({ length: 300 }, (_, i) => itemOf(`big-${String(i).padStart(4, '0')}`, { size: 2 ** 52 }))
    const root = await build(store, settings, items)
    assert.ok((await loadNode(store, root)).level > 0)
    assert.deepEqual(await measure(store, root), { objects: 300, bytes: Number.MAX_SAFE_INTEGER })
    assert.deepEqual(await measure(store, root, Buffer.from('big-0007')), { objects: 1, bytes: 2 ** 52 })
  })
})

describe('the empty tree', () => {
  it('needs no stored node, and is what remains when all is deleted', async () => {
    const store = new MemoryStore()
    assert.equal(await build(store, settings, []), EMPTY_TREE)
    assert.equal(await apply(store, settings, EMPTY_TREE, [remove('a'), remove('b')]), EMPTY_TREE)
    assert.equal(store.writes, 0)
    const items = numbered(2000)
    const root = await build(store, settings, items)
    const gone: TreeChange[] = items.map(({ key }) => ({ key, item: null }))
    assert.equal(await apply(store, settings, root, gone), EMPTY_TREE)
    assert.equal(await lookup(store, EMPTY_TREE, Buffer.from('a')), undefined)
    assert.deepEqual(await measure(store, EMPTY_TREE), { objects: 0, bytes: 0 })
  })
})

describe('apply', () => {
  it('returns the same root, and writes nothing, when nothing changes', async () => {
    const store = new MemoryStore()
    const items = numbered(5000)
    const root = await build(store, settings, items)
    store.resetCounts()
    assert.equal(await apply(store, settings, root, []), root)
    assert.equal(store.reads, 0)
    const same = [put(items[17]!), remove('file-0000017-not-there'), put(items[4000]!), remove('zzz')]
    assert.equal(await apply(store, settings, root, same), root)
    assert.equal(store.writes, 0)
  })

  it('rewrites only the path of a changed entry', async () => {
    const store = new MemoryStore()
    const items = numbered(20_000)
    const root = await build(store, settings, items)
    const levels = (await loadNode(store, root)).level + 1
    for (const i of [0, 777, 10_000, 19_999]) {
      store.resetCounts()
      await apply(store, settings, root, [put({ ...items[i]!, value: Buffer.from(items[i]!.value).fill(1, 0, 16) })])
      assert.equal(store.writes, levels)
      assert.ok(store.reads <= levels + 2)
    }
  })

  it('stays local where every node holds but a few large items', async () => {
    // Nodes of two or three items: if sizes alone decided, one insertion would shift all cuts behind it.
    for (const padding of [900, 1900, 2700, 3500]) {
      const store = new MemoryStore()
      const items = numbered(3000, padding)
      let root = await build(store, settings, items)
      store.resetCounts()
      for (let i = 0; i < 50; i++) {
        root = await apply(store, settings, root, [
          put(itemOf(`file-${String(i * 10).padStart(7, '0')}+`, { padding })),
        ])
      }
      assert.ok(store.writes / 50 < 20, `${store.writes / 50} nodes written for an insertion`)
    }
  })

  it('refuses keys that are not sorted, come twice, are empty or too long', async () => {
    const store = new MemoryStore()
    const [a, b] = [itemOf('a'), itemOf('b')]
    for (const items of [[b, a], [a, a], [itemOf('')], [itemOf('x'.repeat(1025))]]) {
      await assert.rejects(build(store, settings, items), RangeError)
      await assert.rejects(apply(store, settings, EMPTY_TREE, items.map(put)), RangeError)
    }
    await assert.rejects(apply(store, settings, EMPTY_TREE, [remove('b'), remove('a')]), RangeError)
    // The first keys of two nodes that follow each other are compared too.
    const many = numbered(1000)
    await assert.rejects(build(store, settings, [...many, ...many]), RangeError)
    assert.ok((await build(store, settings, [itemOf('x'.repeat(1024))])) !== EMPTY_TREE)
  })

  it('says that the store is damaged when a node on its way is missing', async () => {
    const store = new MemoryStore()
    const items = numbered(5000)
    const root = await build(store, settings, items)
    for (const node of [...store.nodes.values()]) if (node.level === 0) store.nodes.delete(node.hash)
    await assert.rejects(apply(store, settings, root, [put(items[2500]!)]), { code: 'Corrupt' })
    await assert.rejects(lookup(store, root, items[2500]!.key), { code: 'Corrupt' })
  })

  it('stores every node before it names the root, also when a write fails on the way', async () => {
    const items = numbered(30_000)
    const changes = items.filter((_, i) => i % 3 === 0).map(({ key }): TreeChange => ({ key, item: null }))
    const expected = await build(
      new MemoryStore(),
      settings,
      items.filter((_, i) => i % 3 !== 0),
    )
    const store = new MemoryStore()
    const root = await build(store, settings, items)
    let failing = 1
    for (; ; failing++) {
      let left = failing
      const faulty: NodeStore = {
        get: (hash) => store.get(hash),
        put: (nodes) => (--left === 0 ? Promise.reject(new Error('disk')) : store.put(nodes)),
      }
      try {
        assert.equal(await apply(faulty, settings, root, changes), expected)
        break
      } catch (error) {
        assert.equal((error as Error).message, 'disk')
        assert.equal((await measure(store, root)).objects, items.length)
      }
    }
    assert.ok(failing > 2, 'more than one slice was written')
    await checkShape(store, expected)
  })
})

describe('nodes', () => {
  it('are cut elsewhere under another salt, and on another level', async () => {
    const items = numbered(3000)
    const one = await build(new MemoryStore(), settings, items)
    const other = await build(new MemoryStore(), { salt: Buffer.alloc(32, 't') }, items)
    assert.notEqual(one, other)
    await assert.rejects(build(new MemoryStore(), { salt: Buffer.alloc(8) }, items), RangeError)
  })

  it('are 4 to 8 KiB, 5 to 7 on average', async () => {
    const store = new MemoryStore()
    await build(store, settings, numbered(20_000))
    const leaves = [...store.nodes.values()].filter((node) => node.level === 0)
    const mean = leaves.reduce((sum, node) => sum + node.body.length, 0) / leaves.length
    assert.ok(mean > 5 * 1024 && mean < 7 * 1024, `${mean}`)
  })

  it('are refused when their bytes make no sense', async () => {
    const store = new MemoryStore()
    const root = await build(store, settings, numbered(30))
    const body = await store.get(root)
    for (let length = 0; length < body.length; length += 7) {
      assert.throws(() => decodeNode(body.subarray(0, length)), { code: 'Corrupt' })
    }
    assert.throws(() => decodeNode(Buffer.concat([body, Buffer.alloc(1)])), { code: 'Corrupt' })
    const later = Buffer.from(body)
    later[0] = 2
    assert.throws(() => decodeNode(later), { code: 'Corrupt' })
    await fc.assert(
      fc.asyncProperty(fc.nat(body.length - 1), fc.nat(255), async (at, value) => {
        const damaged = Buffer.from(body)
        damaged[at] = value
        try {
          decodeNode(damaged)
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'Corrupt')
        }
      }),
    )
  })
})
