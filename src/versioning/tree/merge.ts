import type { Path, TreeHash } from '../model/index.ts'
import { apply } from './apply.ts'
import { countItem } from './apply-counted.ts'
import { decodeLeaf } from './codec.ts'
import { diffTrees } from './diff.ts'
import { lookupMany } from './lookup.ts'
import { sameFile } from './trees.ts'
import type { LeafItem, NodeStore, TreeChange, TreeSettings } from './types.ts'

/** Differences that are compared together: their leaves on the other side are read in bulk. */
const COMPARED_AT_ONCE = 512

/**
 * What a base tree holds under a path that common ancestors do not agree on: it equals nothing, so that the sides decide it only where they
 * are alike. It stands in trees that are computed on the way, never in one of a commit.
 */
const UNDECIDED_BASE = Buffer.of(0)

/** A path that both sides changed, each in its own way; `base` may be undecided. */
export interface MergeConflictItem {
  readonly key: Buffer
  readonly base: LeafItem | undefined
  readonly ours: LeafItem | undefined
  readonly theirs: LeafItem | undefined
}

export interface MergeOptions {
  /** Differences from this key on, at most `limit` of them. */
  readonly from?: Buffer
  readonly limit: number
  /** Which side a conflict is decided for, if it is. */
  readonly decide: (path: string) => 'ours' | 'theirs' | undefined
  /** Conflicts that are named; the others are only counted. */
  readonly maxConflicts: number
  /**
   * `undecided`: conflicts come out as UNDECIDED_BASE; `disagree`: so does all that is not alike. `dry`: nothing is written, and `root` stays as it was; so too where there are conflicts.
   */
  readonly mode: 'merge' | 'undecided' | 'disagree' | 'dry'
}

/** What came of a part of a merge. */
export interface MergeSlice {
  readonly root: TreeHash
  /** What was added to `ours`, markers not counted. */
  readonly files: number
  readonly bytes: number
  readonly counts: { readonly added: number; readonly changed: number; readonly deleted: number }
  readonly conflicts: readonly MergeConflictItem[]
  readonly conflictsTotal: number
  /** Conflicts that `decide` decided. */
  readonly decided: readonly string[]
  /** Where to go on; undefined at the end. */
  readonly next: Buffer | undefined
}

/**
 * Which side a path is taken from: the one that changed it. Alike on both sides it stays as it is in `ours`. Entries that differ only in
 * version, time or origin are alike.
 */
export function decideMerge(
  base: LeafItem | undefined,
  ours: LeafItem | undefined,
  theirs: LeafItem | undefined,
): 'ours' | 'theirs' | 'conflict' {
  if (alike(base, theirs) || alike(ours, theirs)) return 'ours'
  return alike(base, ours) ? 'theirs' : 'conflict'
}

function disagreement(ours: LeafItem | undefined, theirs: LeafItem | undefined): 'ours' | 'conflict' {
  return alike(ours, theirs) ? 'ours' : 'conflict'
}

function alike(one: LeafItem | undefined, other: LeafItem | undefined): boolean {
  if (one === undefined || other === undefined) return one === other
  if (isUndecided(one) || isUndecided(other)) return false
  return one.value.equals(other.value) || sameFile(decodeLeaf(one.key, one.value), decodeLeaf(other.key, other.value))
}

/** Whether common ancestors do not agree on what was there. */
export function isUndecided(item: LeafItem): boolean {
  return item.value.equals(UNDECIDED_BASE)
}

/**
 * Does to `ours` what was done to `base` in `theirs`, a slice at a time: `ours` of the next slice is the `root` of this one. Costs the
 * differences of base and theirs, each times the height of a tree. Throws Corrupt.
 */
export async function mergeTrees(
  store: NodeStore,
  settings: TreeSettings,
  { base, ours, theirs }: { readonly base: TreeHash; readonly ours: TreeHash; readonly theirs: TreeHash },
  options: MergeOptions,
): Promise<MergeSlice> {
  const merge = new Merge(store, ours, options)
  let seen = 0
  let next: Buffer | undefined
  const range = options.from === undefined ? {} : { from: options.from }
  for await (const difference of diffTrees(store, base, theirs, range)) {
    if (seen++ === options.limit) {
      next = Buffer.from(difference.key)
      break
    }
    await merge.add(difference)
  }
  await merge.compare()
  const { result } = merge
  const isWanted = options.mode === 'merge' ? result.conflictsTotal === 0 : options.mode !== 'dry'
  return { root: isWanted ? await apply(store, settings, ours, merge.changes) : ours, ...result, next }
}

interface Difference {
  readonly key: Buffer
  readonly before?: LeafItem
  readonly after?: LeafItem
}

class Merge {
  readonly changes: TreeChange[] = []
  readonly #store: NodeStore
  readonly #ours: TreeHash
  readonly #options: MergeOptions
  readonly #conflicts: MergeConflictItem[] = []
  readonly #decided: string[] = []
  readonly #counts = { added: 0, changed: 0, deleted: 0 }
  #conflictsTotal = 0
  readonly #sum = { files: 0, bytes: 0 }
  #waiting: Difference[] = []

  constructor(store: NodeStore, ours: TreeHash, options: MergeOptions) {
    this.#store = store
    this.#ours = ours
    this.#options = options
  }

  get result(): Omit<MergeSlice, 'root' | 'next'> {
    return {
      ...this.#sum,
      counts: this.#counts,
      conflicts: this.#conflicts,
      conflictsTotal: this.#conflictsTotal,
      decided: this.#decided,
    }
  }

  async add(difference: Difference): Promise<void> {
    this.#waiting.push(difference)
    if (this.#waiting.length === COMPARED_AT_ONCE) await this.compare()
  }

  async compare(): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    const keys = waiting.map(({ key }) => key)
    const found = await lookupMany(this.#store, this.#ours, keys)
    for (const [index, { key, before, after }] of waiting.entries()) this.#take(key, before, found[index], after)
  }

  #take(key: Buffer, base: LeafItem | undefined, ours: LeafItem | undefined, theirs: LeafItem | undefined): void {
    let side = this.#options.mode === 'disagree' ? disagreement(ours, theirs) : decideMerge(base, ours, theirs)
    if (side === 'conflict') {
      const path = key.toString() as Path
      const decided = this.#options.decide(path)
      if (decided === undefined) {
        this.#conflict({ key, base, ours, theirs })
        return
      }
      this.#decided.push(path)
      side = decided
    }
    if (side === 'ours' || alike(ours, theirs)) return
    this.#change(key, ours, theirs)
  }

  #conflict(conflict: MergeConflictItem): void {
    this.#conflictsTotal++
    if (this.#conflicts.length < this.#options.maxConflicts) this.#conflicts.push(conflict)
    const { key } = conflict
    const { mode } = this.#options
    if (mode === 'undecided' || mode === 'disagree') this.#keep(key, { key, size: 0, value: UNDECIDED_BASE })
  }

  #change(key: Buffer, ours: LeafItem | undefined, theirs: LeafItem | undefined): void {
    this.#keep(key, theirs)
    if (ours === undefined) this.#counts.added++
    else if (theirs === undefined) this.#counts.deleted++
    else this.#counts.changed++
    countItem(this.#sum, ours, -1)
    countItem(this.#sum, theirs, 1)
  }

  /** Copied: a few bytes would keep all of the node that they stand in, and of many nodes only one entry is wanted. */
  #keep(key: Buffer, item: LeafItem | undefined): void {
    const own = Buffer.from(key)
    this.changes.push({ key: own, item: item ? { key: own, size: item.size, value: Buffer.from(item.value) } : null })
  }
}
