import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import type { TreeHash } from '../model/index.ts'
import { apply } from './apply.ts'
import { build } from './build.ts'
import { decodeLeaf } from './codec.ts'
import { changeModel, itemOf, MemoryStore, type Model, put, settings, someChanges, sortedItems } from './fixtures.ts'
import { type MergeOptions, type MergeSlice, mergeTrees } from './merge.ts'
import { EMPTY_TREE } from './node.ts'
import type { LeafItem } from './types.ts'

type Side = 'ours' | 'theirs' | undefined
type Sides = { readonly base: TreeHash; readonly ours: TreeHash; readonly theirs: TreeHash }

interface Outcome {
  readonly root: TreeHash
  readonly conflicts: string[]
  readonly decided: string[]
  readonly counts: MergeSlice['counts']
  readonly slices: number
}

/** The whole of a merge, a slice at a time. */
async function mergeAll(
  store: MemoryStore,
  trees: Sides,
  options: Partial<MergeOptions> & Pick<MergeOptions, 'limit'>,
): Promise<Outcome> {
  let { ours: root } = trees
  let from: Buffer | undefined
  let slices = 0
  const conflicts: string[] = []
  const decided: string[] = []
  const counts = { added: 0, changed: 0, deleted: 0 }
  do {
    const slice: MergeSlice = await mergeTrees(
      store,
      settings,
      { ...trees, ours: root },
      { decide: () => undefined, maxConflicts: 1000, mode: 'merge', ...options, ...(from ? { from } : {}) },
    )
    slices++
    root = slice.root
    conflicts.push(...slice.conflicts.map(({ key }) => key.toString()))
    decided.push(...slice.decided)
    counts.added += slice.counts.added
    counts.changed += slice.counts.changed
    counts.deleted += slice.counts.deleted
    from = slice.next
  } while (from)
  return { root, conflicts, decided, counts, slices }
}

/** What a reader sees of an item, but for its version and time. */
function seen(item: LeafItem | undefined): string {
  if (!item) return 'none'
  const { version: _version, modifiedMs: _modifiedMs, ...entry } = decodeLeaf(item.key, item.value)
  return JSON.stringify(entry)
}

/** The same in the simplest form. */
function plainMerge(base: Model, ours: Model, theirs: Model, decide: (path: string) => Side) {
  const merged = new Map(ours)
  const conflicts: string[] = []
  const decided: string[] = []
  for (const path of new Set([...base.keys(), ...ours.keys(), ...theirs.keys()])) {
    const [was, mine, its] = [seen(base.get(path)), seen(ours.get(path)), seen(theirs.get(path))]
    if (was === its || mine === its) continue
    let side: Side = was === mine ? 'theirs' : undefined
    if (!side) {
      side = decide(path)
      if (side) decided.push(path)
      else conflicts.push(path)
    }
    if (side !== 'theirs') continue
    const item = theirs.get(path)
    if (item) merged.set(path, item)
    else merged.delete(path)
  }
  return { merged, conflicts: conflicts.sort(), decided: decided.sort() }
}

async function trees(store: MemoryStore, base: Model, ours: Model, theirs: Model): Promise<Sides> {
  const [one, two, three] = await Promise.all(
    [base, ours, theirs].map((model) => build(store, settings, sortedItems(model))),
  )
  return { base: one!, ours: two!, theirs: three! }
}

describe('a three-way merge', () => {
  it('gives what merging path by path gives, in slices of any length, with any decisions', async () => {
    await fc.assert(
      fc.asyncProperty(
        someChanges(100),
        someChanges(40),
        someChanges(40),
        fc.integer({ min: 1, max: 30 }),
        fc.func(fc.constantFrom<Side>('ours', 'theirs', undefined)),
        async (first, second, third, limit, choose) => {
          const store = new MemoryStore()
          const base: Model = new Map()
          changeModel(base, first)
          const [ours, theirs] = [new Map(base), new Map(base)]
          changeModel(ours, second)
          changeModel(theirs, third)
          const sides = await trees(store, base, ours, theirs)
          const decide = (path: string) => choose(path)
          const expected = plainMerge(base, ours, theirs, decide)
          const found = await mergeAll(store, sides, { limit, decide })
          assert.deepEqual(found.conflicts.sort(), expected.conflicts)
          assert.deepEqual(found.decided.sort(), expected.decided)
          if (expected.conflicts.length > 0) return
          assert.equal(found.root, await build(store, settings, sortedItems(expected.merged)))
          const changed = found.counts.added + found.counts.changed + found.counts.deleted
          const plain = [...new Set([...ours.keys(), ...expected.merged.keys()])].filter(
            (path) => ours.get(path) !== expected.merged.get(path),
          )
          assert.equal(changed, plain.length)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('conflicts in the same files whichever side is merged into the other', async () => {
    await fc.assert(
      fc.asyncProperty(someChanges(50), someChanges(30), someChanges(30), async (first, second, third) => {
        const store = new MemoryStore()
        const base: Model = new Map()
        changeModel(base, first)
        const [ours, theirs] = [new Map(base), new Map(base)]
        changeModel(ours, second)
        changeModel(theirs, third)
        const sides = await trees(store, base, ours, theirs)
        const there = await mergeAll(store, sides, { limit: 1000 })
        const back = await mergeAll(store, { ...sides, ours: sides.theirs, theirs: sides.ours }, { limit: 1000 })
        assert.deepEqual(there.conflicts, back.conflicts)
      }),
      { numRuns: 40 },
    )
  })

  it('writes nothing when dry, and leaves the tree alone where there are conflicts', async () => {
    const store = new MemoryStore()
    const base = await build(store, settings, [itemOf('a'), itemOf('b')])
    const ours = await apply(store, settings, base, [put(itemOf('a', { size: 10 }))])
    const theirs = await apply(store, settings, base, [put(itemOf('a', { size: 20 })), put(itemOf('b', { size: 30 }))])
    store.resetCounts()
    const dry = await mergeAll(store, { base, ours, theirs }, { limit: 10, mode: 'dry' })
    assert.deepEqual([dry.root, dry.conflicts, store.writes], [ours, ['a'], 0])
    const merged = await mergeAll(store, { base, ours, theirs }, { limit: 10 })
    assert.equal(merged.root, ours)
  })

  it('has no side win over a base that is undecided, unless both are alike', async () => {
    const store = new MemoryStore()
    const root = await build(store, settings, [itemOf('a'), itemOf('b'), itemOf('c')])
    const one = await apply(store, settings, root, [put(itemOf('a', { size: 1 })), put(itemOf('b', { size: 1 }))])
    const two = await apply(store, settings, root, [put(itemOf('a', { size: 2 })), put(itemOf('b', { size: 2 }))])
    const base = (await mergeAll(store, { base: root, ours: one, theirs: two }, { limit: 10, mode: 'undecided' })).root
    const alike = await apply(store, settings, two, [put(itemOf('b', { size: 1 }))])
    for (const [ours, theirs] of [
      [one, alike],
      [alike, one],
    ] as const) {
      const found = await mergeAll(store, { base, ours, theirs }, { limit: 10 })
      assert.deepEqual(found.conflicts, ['a'])
    }
    const disagreeing = await mergeAll(store, { base: one, ours: one, theirs: two }, { limit: 1, mode: 'disagree' })
    assert.equal(disagreeing.root, base)
  })

  it('reads no more for ten differences in a large tree than a few paths of it', async () => {
    const store = new MemoryStore()
    const items = Array.from({ length: 50_000 }, (_, i) =>
      itemOf(`key-${String(i).padStart(6, '0')}`, { padding: 300 }),
    )
    const base = await build(store, settings, items)
    const change = (from: number, size: number) =>
      Array.from({ length: 10 }, (_, i) => put(itemOf(`key-${String(from + i * 4_000).padStart(6, '0')}`, { size })))
    const ours = await apply(store, settings, base, change(1, 10))
    const theirs = await apply(store, settings, base, change(2_001, 20))
    store.resetCounts()
    const found = await mergeAll(store, { base, ours, theirs }, { limit: 20_000 })
    assert.deepEqual(found.counts, { added: 0, changed: 10, deleted: 0 })
    assert.equal(found.root, await apply(store, settings, ours, change(2_001, 20)))
    assert.ok(store.reads < 500, `${store.reads} nodes were read`)
    assert.ok(store.nodes.size > 2_000)
  })

  it('takes the empty tree for a base', async () => {
    const store = new MemoryStore()
    const ours = await build(store, settings, [itemOf('a', { size: 1 }), itemOf('b')])
    const theirs = await build(store, settings, [itemOf('a', { size: 2 }), itemOf('c')])
    const found = await mergeAll(store, { base: EMPTY_TREE, ours, theirs }, { limit: 10 })
    assert.deepEqual([found.conflicts, found.counts.added], [['a'], 1])
  })
})
