import type { Queries } from '../../../kernel/index.ts'
import type { VersionId } from '../../model/index.ts'
import { decodeLeaf, diffTrees, encodeEntry, type LeafItem, lookup } from '../../tree/index.ts'
import type { HistoryContext } from '../context.ts'
import { isHidden, sameVersion, type TreeCommit, type VersionChain } from './chain.ts'
import type { NullVersions } from './null.ts'
import { findRow, newestRow, type VersionRow } from './rows.ts'

/** Where versions are looked for, all of one state of the database. */
export interface VersionSources {
  readonly queries: Queries
  readonly nodes: HistoryContext['nodes']
  readonly nulls: NullVersions
  readonly chain: VersionChain
}

/** A version, and the segment that it has its place in. */
export interface PlacedVersion {
  readonly segment: number
  readonly row: VersionRow
}

/** Whether the one comes after the other in a listing: it is older. */
export function comesAfter(one: PlacedVersion, other: PlacedVersion): boolean {
  return one.segment > other.segment || (one.segment === other.segment && one.row.place < other.row.place)
}

/**
 * What restores, merges, moves and imports brought that is no change of the branch: a version of its path all the same, with its place
 * where it came. Only one path is looked at; `all`: also what was deleted by its id.
 */
async function broughtAt(
  sources: VersionSources,
  path: string,
  options: { all?: boolean } = {},
): Promise<readonly PlacedVersion[]> {
  const key = Buffer.from(path)
  const found: PlacedVersion[] = []
  for (const tree of sources.chain.trees) {
    const item = await lookup(sources.nodes, tree.root, key)
    const before = item && (await lookup(sources.nodes, tree.parentRoot, key))
    if (item && !before?.value.equals(item.value)) found.push(placed(tree, item))
  }
  return versionsOnly(sources, path, found, options)
}

/** The newest version of a path that was not deleted, however it came. */
export async function newestVersion(sources: VersionSources, path: string): Promise<VersionRow | undefined> {
  const { queries, chain } = sources
  const written = await newestRow(queries, chain, path)
  if (chain.trees.length === 0) return written?.row
  const [brought] = await broughtAt(sources, path)
  if (!written || !brought) return (written ?? brought)?.row
  return comesAfter(brought, written) ? written.row : brought.row
}

/** A version of a path by its id, with its place. */
export async function findVersion(
  sources: VersionSources,
  path: string,
  version: VersionId,
): Promise<(PlacedVersion & { readonly hidden: boolean; readonly isChange: boolean }) | undefined> {
  const { queries, chain } = sources
  const written = await findRow(queries, chain, path, version)
  if (written) return { ...written, isChange: true }
  if (chain.trees.length === 0) return undefined
  const brought = (await broughtAt(sources, path, { all: true })).find(({ row }) => sameVersion(row.version, version))
  return brought && { ...brought, hidden: await isHidden(queries, chain, path, version), isChange: false }
}

function placed({ segment, place }: TreeCommit, item: LeafItem): PlacedVersion {
  const { path: _path, version, ...entry } = decodeLeaf(item.key, item.value)
  return { segment, row: { place, version, atMs: entry.modifiedMs, entry: encodeEntry(entry) } }
}

/** Of what trees brought, the newest first: without what is a change of the chain, or `null`; what came twice is where it came first. */
async function versionsOnly(
  { queries, chain, nodes, nulls }: VersionSources,
  path: string,
  found: readonly PlacedVersion[],
  { all = false }: { all?: boolean },
): Promise<readonly PlacedVersion[]> {
  const kept: PlacedVersion[] = []
  for (const [index, one] of found.entries()) {
    const { version } = one.row
    if (found.some((other, later) => later > index && sameVersion(other.row.version, version))) continue
    if (chain.base?.named === 'null') {
      const { branchId, from } = chain.segments[0]!
      if (await nulls.includes(branchId, from, version)) continue
    }
    if (await findRow(queries, chain, path, version)) continue
    if (chain.base?.named === 'id') {
      const base = await lookup(nodes, chain.base.root, Buffer.from(path))
      if (base && sameVersion(decodeLeaf(base.key, base.value).version, version)) continue
    }
    if (!all && (await isHidden(queries, chain, path, version))) continue
    kept.push(one)
  }
  return kept
}

/** Trees whose next difference is read at once. */
const READ_AT_ONCE = 16

/** The paths at which trees brought something, in order, over all trees of a chain. Equal parts of trees are not read. */
export class BroughtVersions {
  readonly #sources: VersionSources
  readonly #trees: readonly BroughtTree[]

  constructor(sources: VersionSources) {
    this.#sources = sources
    this.#trees = sources.chain.trees.map((tree) => new BroughtTree(sources.nodes, tree))
  }

  /** Only forward. */
  seek(key: Buffer): void {
    for (const tree of this.#trees) tree.seek(key)
  }

  /** The next path, if it is not past `limit`: one that may have no version that is shown. */
  async key(limit: Buffer | undefined): Promise<Buffer | undefined> {
    for (;;) {
      const least = await this.#least()
      if (!least || (limit && least.compare(limit) >= 0)) return undefined
      // Nothing else is there, so that all of it may have been deleted.
      if ((await this.#versions(least)).length > 0) return least
      this.#pass(least)
    }
  }

  /** The versions at a path but for the one that is current, and past it. */
  async takeAt(key: Buffer, current: VersionId | undefined): Promise<readonly PlacedVersion[]> {
    if (this.#trees.length === 0) return []
    await this.#least()
    const versions = await this.#versions(key, current)
    this.#pass(key)
    return versions
  }

  async #least(): Promise<Buffer | undefined> {
    const unread = this.#trees.filter((tree) => !tree.isRead)
    for (let from = 0; from < unread.length; from += READ_AT_ONCE) {
      await Promise.all(unread.slice(from, from + READ_AT_ONCE).map((tree) => tree.read()))
    }
    let least: Buffer | undefined
    for (const { head } of this.#trees) if (head && (!least || head.key.compare(least) < 0)) least = head.key
    return least
  }

  #versions(key: Buffer, current?: VersionId): Promise<readonly PlacedVersion[]> {
    const found = this.#trees
      .flatMap(({ tree, head }) => (head?.key.equals(key) ? [placed(tree, head)] : []))
      // Most often it is current still: then nothing is to be looked up.
      .filter(({ row }) => !current || !sameVersion(row.version, current))
    return found.length === 0 ? Promise.resolve([]) : versionsOnly(this.#sources, key.toString(), found, {})
  }

  #pass(key: Buffer): void {
    for (const tree of this.#trees) tree.pass(key)
  }
}

class BroughtTree {
  readonly tree: TreeCommit
  readonly #nodes: HistoryContext['nodes']
  #items: AsyncGenerator<LeafItem> | undefined
  #from: Buffer = Buffer.alloc(0)
  head: LeafItem | undefined
  isRead = false

  constructor(nodes: HistoryContext['nodes'], tree: TreeCommit) {
    this.tree = tree
    this.#nodes = nodes
  }

  seek(key: Buffer): void {
    if (this.isRead && (!this.head || this.head.key.compare(key) >= 0)) return
    if (this.#from.compare(key) >= 0) return
    this.#items = undefined
    this.#from = key
    this.isRead = false
  }

  pass(key: Buffer): void {
    if (this.isRead && this.head?.key.equals(key)) this.isRead = false
  }

  async read(): Promise<void> {
    this.#items ??= this.#brought()
    const step = await this.#items.next()
    this.head = step.done ? undefined : step.value
    this.isRead = true
  }

  async *#brought(): AsyncGenerator<LeafItem> {
    const { root, parentRoot } = this.tree
    for await (const { after } of diffTrees(this.#nodes, parentRoot, root, { from: this.#from })) if (after) yield after
  }
}
