/** What the tests of this folder share. */
import fc from 'fast-check'
import { Corrupt } from '../../kernel/index.ts'
import type { CommitId, Entry, TreeHash } from '../model/index.ts'
import { encodeEntry, encodeLeaf } from './codec.ts'
import { hashNode } from './node.ts'
import type { LeafItem, NodeStore, StoredNode, TreeChange, TreeSettings } from './types.ts'

export const settings: TreeSettings = { salt: Buffer.alloc(32, 's') }

/** Keeps nodes in a map, counts what it is asked for, and refuses a node whose hash is wrong or whose children are missing. */
export class MemoryStore implements NodeStore {
  readonly nodes = new Map<TreeHash, StoredNode>()
  reads = 0
  writes = 0

  async get(hash: TreeHash): Promise<Buffer> {
    this.reads++
    const node = this.nodes.get(hash)
    if (node === undefined) throw new Corrupt('a tree node is missing', { hash })
    return node.body
  }

  async put(nodes: readonly StoredNode[]): Promise<void> {
    for (const node of nodes) {
      if (hashNode(node.body) !== node.hash) throw new Error('a node was put under a wrong hash')
      this.nodes.set(node.hash, node)
      this.writes++
    }
  }

  resetCounts(): void {
    this.reads = 0
    this.writes = 0
  }
}

export const someCommit = '0123456789abcdef0123456789abcdef' as CommitId

export function entryOf(input: Partial<Entry> = {}): Entry {
  return {
    size: 3,
    etag: '900150983cd24fb0d6963f7d28e17f72',
    content: { kind: 'inline', bytes: Buffer.from('abc') },
    modifiedMs: 1_700_000_000_000,
    attributes: { metadata: {} },
    ...input,
  }
}

/** An item with a real value of about `padding + 70` bytes; `mark` makes it differ from others of its key. */
export function itemOf(path: string, input: { size?: number; mark?: number; padding?: number } = {}): LeafItem {
  const size = input.size ?? 3
  const attributes = { metadata: input.padding ? { pad: 'p'.repeat(input.padding) } : {} }
  const value = encodeLeaf({ commit: someCommit, seq: input.mark ?? 1 }, encodeEntry(entryOf({ size, attributes })))
  return { key: Buffer.from(path), size, value }
}

export const put = (item: LeafItem): TreeChange => ({ key: item.key, item })
export const remove = (path: string): TreeChange => ({ key: Buffer.from(path), item: null })

/** What a tree is to hold, in the simplest form. */
export type Model = Map<string, LeafItem>

export function sortedItems(model: Model): LeafItem[] {
  return [...model.values()].sort((a, b) => a.key.compare(b.key))
}

/** Makes the change in the model too. */
export function changeModel(model: Model, changes: readonly TreeChange[]): void {
  for (const { key, item } of changes) {
    if (item === null) model.delete(key.toString())
    else model.set(key.toString(), item)
  }
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

// UTF-16 and UTF-8 order U+FF5E and U+1F600 differently.
const shortPath = fc
  .array(fc.constantFrom('a', 'b', 'c', '/', 'é', '～', '😀', '\u0001'), { minLength: 1, maxLength: 6 })
  .map((parts) => parts.join(''))
/** Few enough that changes meet; a third of them long enough to make inner nodes narrow. */
export const somePath = fc.oneof(
  { weight: 2, arbitrary: shortPath },
  { weight: 1, arbitrary: fc.tuple(shortPath, fc.constantFrom(300, 900)).map(([path, n]) => path + 'x'.repeat(n)) },
)

const someInput = fc.record({
  size: fc.nat(1_000_000),
  mark: fc.nat(1000),
  padding: fc.constantFrom(0, 0, 100, 900, 2700),
})
const someChange = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(somePath, someInput) },
  { weight: 2, arbitrary: fc.tuple(somePath, fc.constant(undefined)) },
)

/** Sorted, one for each key. A counterexample is printed as paths and inputs, not as bytes. */
export const someChanges = (maxLength: number): fc.Arbitrary<TreeChange[]> =>
  fc.array(someChange, { maxLength, size: 'max' }).map((inputs) => {
    const byPath = new Map(inputs)
    const changes = [...byPath]
      .map(([path, input]) => (input === undefined ? remove(path) : put(itemOf(path, input))))
      .sort((a, b) => a.key.compare(b.key))
    return Object.defineProperty(changes, fc.toStringMethod, { value: () => JSON.stringify([...byPath]) })
  })
