import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { apply } from './apply.ts'
import { applyCounted, comparedWith } from './apply-counted.ts'
import { build } from './build.ts'
import { changeModel, itemOf, MemoryStore, type Model, put, settings, someChanges, sortedItems } from './fixtures.ts'
import { EMPTY_TREE } from './node.ts'
import type { TreeChange } from './types.ts'

const sorted = (changes: readonly TreeChange[]) => changes.toSorted((a, b) => a.key.compare(b.key))

/** Divides a list at random into lists that keep its order, which together are all of it. */
const dealt = fc.array(fc.nat(4), { minLength: 1, maxLength: 40 })
function deal<T>(items: readonly T[], lots: readonly number[]): T[][] {
  const hands: T[][] = [[], [], [], [], []]
  for (const [index, item] of items.entries()) hands[lots[index % lots.length]!]!.push(item)
  return hands.filter((hand) => hand.length > 0)
}

async function* groups(all: readonly (readonly TreeChange[])[]): AsyncGenerator<TreeChange | readonly TreeChange[]> {
  for (const [index, group] of all.entries()) {
    // Single changes and groups may come mixed.
    if (index % 2 === 0) yield group
    else yield* group
  }
}

describe('the root of a tree', () => {
  it('is the same for the same entries, in whatever slices and in whatever order changes of different files come', async () => {
    await fc.assert(
      fc.asyncProperty(someChanges(150), someChanges(150), dealt, async (first, second, lots) => {
        const store = new MemoryStore()
        const model: Model = new Map()
        changeModel(model, first)
        const before = await apply(store, settings, EMPTY_TREE, first)
        changeModel(model, second)
        const wanted = await build(new MemoryStore(), settings, sortedItems(model))
        let root = before
        for (const hand of deal(second, lots)) root = await apply(store, settings, root, sorted(hand))
        assert.equal(root, wanted, 'in slices')
        root = before
        for (const hand of deal(second, lots).reverse()) root = await apply(store, settings, root, sorted(hand))
        assert.equal(root, wanted, 'in slices, the other way round')
        const cut = Math.floor(second.length / 3)
        const inGroups = [sorted(second).slice(0, cut), sorted(second).slice(cut), []]
        assert.equal(await apply(store, settings, before, groups(inGroups)), wanted, 'as a stream of groups')
      }),
      { numRuns: 60 },
    )
  })

  it('is what it was before when changes are taken back, whatever was written in between', async () => {
    await fc.assert(
      fc.asyncProperty(someChanges(150), someChanges(150), async (first, second) => {
        const store = new MemoryStore()
        const model: Model = new Map()
        changeModel(model, first)
        const before = await apply(store, settings, EMPTY_TREE, first)
        const after = await apply(store, settings, before, second)
        const back = second.map(({ key }): TreeChange => ({ key, item: model.get(key.toString()) ?? null }))
        assert.equal(await apply(store, settings, after, back), before)
      }),
      { numRuns: 60 },
    )
  })

  it('is the same for what two sides changed, whichever is put on top of the other', async () => {
    await fc.assert(
      fc.asyncProperty(someChanges(80), someChanges(80), someChanges(80), async (base, one, two) => {
        const store = new MemoryStore()
        const root = await apply(store, settings, EMPTY_TREE, base)
        const touched = new Set(one.map(({ key }) => key.toString()))
        const others = two.filter(({ key }) => !touched.has(key.toString()))
        const oneFirst = await apply(store, settings, await apply(store, settings, root, one), others)
        const otherFirst = await apply(store, settings, await apply(store, settings, root, others), one)
        assert.equal(oneFirst, otherFirst)
        assert.equal(oneFirst, await apply(store, settings, root, sorted([...one, ...others])))
      }),
      { numRuns: 60 },
    )
  })
})

describe('applying with a count', () => {
  it('tells what became more or less, as counting all entries before and after would', async () => {
    await fc.assert(
      fc.asyncProperty(someChanges(100), someChanges(100), async (first, second) => {
        const store = new MemoryStore()
        const model: Model = new Map()
        const total = () => {
          const files = sortedItems(model).filter(({ key, size }) => size > 0 || !key.toString().endsWith('/'))
          return [files.length, files.reduce((sum, { size }) => sum + size, 0)]
        }
        changeModel(model, first)
        const [files = 0, bytes = 0] = total()
        const root = await apply(store, settings, EMPTY_TREE, first)
        const counted = await applyCounted(store, settings, root, second)
        changeModel(model, second)
        assert.equal(counted.root, await apply(store, settings, root, second))
        assert.deepEqual([files + counted.files, bytes + counted.bytes], total())
      }),
      { numRuns: 60 },
    )
  })

  it('shows every change with what the tree holds, and leaves out what is not wanted', async () => {
    const store = new MemoryStore()
    const items = Array.from({ length: 2000 }, (_, i) => itemOf(`key-${String(i * 2).padStart(5, '0')}`))
    const root = await build(store, settings, items)
    const changes = Array.from({ length: 4000 }, (_, i) =>
      put(itemOf(`key-${String(i).padStart(5, '0')}`, { mark: 2 })),
    )
    let [known, fresh] = [0, 0]
    const none = comparedWith(store, root, [changes.slice(0, 1500), changes.slice(1500)], ({ key }, old) => {
      if (old) {
        assert.ok(old.key.equals(key))
        known++
      } else fresh++
      return false
    })
    assert.equal(await apply(store, settings, root, none), root)
    assert.deepEqual([known, fresh], [2000, 2000])
  })
})
