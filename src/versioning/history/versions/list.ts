import { MAX_LIST_KEYS } from '../../../kernel/index.ts'
import type { FileEntry, Path, VersionId } from '../../model/index.ts'
import {
  afterPrefix,
  type Cursor,
  decodeEntry,
  decodeLeaf,
  type LeafItem,
  startsWith,
  treeCursor,
} from '../../tree/index.ts'
import type { FileVersion, VersionName, VersionPage, VersionQuery } from '../../versions.ts'
import {
  BroughtVersions,
  comesAfter,
  findVersion,
  newestVersion,
  type PlacedVersion,
  type VersionSources,
} from './brought.ts'
import { isHidden, sameVersion } from './chain.ts'
import { type VersionRow, VersionRows } from './rows.ts'

const ZERO = Buffer.alloc(1)

/** What a listing reads from. */
interface Sources extends VersionSources {
  /** What is current. */
  readonly current: Cursor
}

/** Where the rest of a path's versions begins. */
interface Place {
  readonly segment: number
  /** Versions of the segment at or above it were shown. */
  readonly below: number | undefined
  /** Whether the current version was not shown yet. */
  readonly withCurrent: boolean
}

/** One page. Reads no more of the branch than it shows, however many versions a path has. */
export async function listVersions(sources: Sources, query: VersionQuery): Promise<VersionPage> {
  const prefix = Buffer.from(query.prefix ?? '')
  const delimiter = Buffer.from(query.delimiter ?? '')
  const after = Buffer.from(query.after?.path ?? '')
  const versions: FileVersion[] = []
  const prefixes: string[] = []
  const limit = Math.min(query.limit, MAX_LIST_KEYS)
  if (limit <= 0) return { versions, prefixes }
  const resumed = query.after?.version === undefined ? undefined : await placeAfter(sources, query.after)
  const start = after.length === 0 || resumed ? after : Buffer.concat([after, ZERO])
  const merge = new VersionMerge(sources)
  if (start.compare(prefix) < 0) await merge.seek(prefix)
  else await merge.seek(start, resumed)
  let last: VersionPage['next']
  for (;;) {
    const key = await merge.key()
    if (!key || !startsWith(key, prefix)) return { versions, prefixes }
    const group = groupOf(key, prefix, delimiter)
    if (group) {
      if (group.compare(after) > 0) {
        if (versions.length + prefixes.length >= limit) return { versions, prefixes, next: last! }
        last = { path: group.toString() }
        prefixes.push(last.path)
      }
      const beyond = afterPrefix(group)
      if (!beyond) return { versions, prefixes }
      await merge.seek(beyond)
      continue
    }
    for await (const version of merge.versionsOf(key, resumed && key.equals(after) ? resumed : undefined)) {
      if (versions.length + prefixes.length >= limit) return { versions, prefixes, next: last! }
      versions.push(version)
      last = { path: version.path, version: version.version }
    }
  }
}

function groupOf(key: Buffer, prefix: Buffer, delimiter: Buffer): Buffer | undefined {
  if (delimiter.length === 0) return undefined
  const found = key.indexOf(delimiter, prefix.length)
  return found < 0 ? undefined : key.subarray(0, found + delimiter.length)
}

/**
 * What comes after a version that was shown; undefined: nothing of its path. A client that deletes page by page asks with a version
 * that is gone, and what came back since is still to be shown.
 */
async function placeAfter(sources: Sources, after: NonNullable<VersionQuery['after']>): Promise<Place | undefined> {
  const { queries, chain, nodes } = sources
  if (!chain.enabled) return undefined
  const current = await currentAt(sources, after.path)
  const { version } = after
  const all = { segment: 0, below: undefined, withCurrent: false }
  const base = chain.base && (await leafAt(treeCursor(nodes, chain.base.root), Buffer.from(after.path)))
  if (version === 'null' || version === undefined) {
    if (current && (await nameOf(sources, current.version)) === 'null') return all
    if (chain.base?.named !== 'null') return undefined
    // It is the oldest of its path, or it was deleted: then, after a restore, it may have been listed before all others.
    const isOldest = base !== undefined && !(await isHidden(queries, chain, after.path, base.version))
    return isOldest ? undefined : { ...all, withCurrent: true }
  }
  if (current && sameVersion(current.version, version)) return all
  const shown = await findVersion(sources, after.path, version)
  if (shown) {
    const { segment, hidden, row } = shown
    const withCurrent = hidden && current !== undefined && (await isOlder(sources, current, shown))
    return { segment, below: row.place, withCurrent }
  }
  if (base && sameVersion(base.version, version)) return undefined
  return { ...all, withCurrent: true }
}

async function isOlder(sources: Sources, current: FileEntry, shown: PlacedVersion): Promise<boolean> {
  const found = await findVersion(sources, current.path, current.version)
  return found === undefined || comesAfter(found, shown)
}

function currentAt({ current }: Sources, path: string): Promise<FileEntry | undefined> {
  return leafAt(current, Buffer.from(path))
}

async function leafAt(cursor: Cursor, key: Buffer): Promise<FileEntry | undefined> {
  await cursor.seek(key)
  const item = await cursor.next()
  return item?.key.equals(key) ? decodeLeaf(item.key, item.value) : undefined
}

/** What S3 calls a version that is current. */
async function nameOf({ chain, nulls }: Sources, version: VersionId): Promise<VersionName> {
  if (!chain.enabled) return 'null'
  if (chain.base?.named !== 'null') return version
  const { branchId, from } = chain.segments[0]!
  return (await nulls.includes(branchId, from, version)) ? 'null' : version
}

/** What is current, the changes of the branch and of those behind it, and what was there before them all: joined by path. */
class VersionMerge {
  readonly #sources: Sources
  readonly #current: Ahead
  readonly #rows: readonly VersionRows[]
  readonly #base: Ahead | undefined
  readonly #brought: BroughtVersions

  constructor(sources: Sources) {
    const { queries, chain, nodes, current } = sources
    this.#sources = sources
    this.#current = new Ahead(current)
    this.#rows = chain.enabled ? chain.segments.map((segment) => new VersionRows(queries, chain, segment)) : []
    this.#base = chain.enabled && chain.base ? new Ahead(treeCursor(nodes, chain.base.root)) : undefined
    this.#brought = new BroughtVersions(sources)
  }

  /** To the first path that is not before `key`; with `from` to where its versions go on. */
  async seek(key: Buffer, from?: Place): Promise<void> {
    await this.#current.seek(key)
    for (const [segment, rows] of this.#rows.entries()) {
      if (from && segment < from.segment) rows.seek(Buffer.concat([key, ZERO]))
      else rows.seek(key, from && segment === from.segment ? from.below : undefined)
    }
    await this.#base?.seek(key)
    this.#brought.seek(key)
  }

  /** The next path that has a version. */
  async key(): Promise<Buffer | undefined> {
    let least = (await this.#current.head())?.key
    const take = (key: Buffer | undefined) => {
      if (key && (!least || key.compare(least) < 0)) least = key
    }
    for (const rows of this.#rows) take(await rows.key())
    take((await this.#base?.head())?.key)
    return (await this.#brought.key(least)) ?? least
  }

  /** The versions of the path that `key` gave; the one that is current first. */
  async *versionsOf(key: Buffer, from: Place | undefined): AsyncGenerator<FileVersion> {
    const path = key.toString() as Path
    const leaf = await this.#current.takeAt(key)
    const current = leaf && decodeLeaf(leaf.key, leaf.value)
    const name = current && (await nameOf(this.#sources, current.version))
    if (current && name && (from?.withCurrent ?? true)) {
      yield { path, version: name, isLatest: true, modifiedMs: current.modifiedMs, entry: current }
    }
    let newest = current || !from ? undefined : await newestVersion(this.#sources, path)
    for await (const row of this.#older(key, from, current?.version)) {
      newest ??= row
      if (current && sameVersion(row.version, current.version)) continue
      // A restored tree may lack a path whose newest version is a file: then none is the latest.
      const isLatest = !current && row.entry === null && sameVersion(row.version, newest.version)
      yield versionOfRow(path, row, isLatest)
    }
    const oldest = await this.#base?.takeAt(key)
    if (oldest) yield* this.#oldest(decodeLeaf(oldest.key, oldest.value), current, name)
  }

  /** The changes of a path and what trees brought to it, the newest first. */
  async *#older(key: Buffer, from: Place | undefined, current: VersionId | undefined): AsyncGenerator<VersionRow> {
    const all = await this.#brought.takeAt(key, current)
    const brought = all.filter(
      ({ segment, row }) =>
        !from || segment > from.segment || (segment === from.segment && row.place < (from.below ?? row.place + 1)),
    )
    let next = 0
    for (const [segment, rows] of this.#rows.entries()) {
      while ((await rows.key())?.equals(key)) {
        const row = rows.take()
        for (; next < brought.length && comesAfter({ segment, row }, brought[next]!); next++) yield brought[next]!.row
        yield row
      }
    }
    for (; next < brought.length; next++) yield brought[next]!.row
  }

  async *#oldest(
    entry: FileEntry,
    current: FileEntry | undefined,
    currentName: VersionName | undefined,
  ): AsyncGenerator<FileVersion> {
    const { queries, chain } = this.#sources
    const isNull = chain.base?.named === 'null'
    if (current && sameVersion(entry.version, current.version)) return
    if (isNull && currentName === 'null') return
    if (await isHidden(queries, chain, entry.path, entry.version)) return
    const { path, modifiedMs } = entry
    yield { path, version: isNull ? 'null' : entry.version, isLatest: false, modifiedMs, entry }
  }
}

export function versionOfRow(path: Path, row: VersionRow, isLatest: boolean): FileVersion {
  const { version } = row
  const entry = row.entry && { ...decodeEntry(row.entry), path, version }
  return { path, version, isLatest, modifiedMs: entry?.modifiedMs ?? row.atMs, entry }
}

/** A cursor with its next item in view; it is only sent forward. */
class Ahead {
  readonly #cursor: Cursor
  #head: LeafItem | undefined
  #read = false

  constructor(cursor: Cursor) {
    this.#cursor = cursor
  }

  async head(): Promise<LeafItem | undefined> {
    if (!this.#read) {
      this.#head = this.#cursor.nextNow?.() ?? (await this.#cursor.next())
      this.#read = true
    }
    return this.#head
  }

  async takeAt(key: Buffer): Promise<LeafItem | undefined> {
    const head = await this.head()
    if (!head?.key.equals(key)) return undefined
    this.#read = false
    return head
  }

  async seek(key: Buffer): Promise<void> {
    if (this.#read && (!this.#head || this.#head.key.compare(key) >= 0)) return
    this.#read = false
    await this.#cursor.seek(key)
  }
}
