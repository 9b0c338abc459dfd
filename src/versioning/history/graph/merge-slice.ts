import { faultPoint, type Queries } from '../../../kernel/index.ts'
import type { ConflictSide, MergeConflictPath, MergeResolution, MergeSide } from '../../merges.ts'
import type { Path } from '../../model/index.ts'
import {
  applyCounted,
  decideMerge,
  decodeLeaf,
  isUndecided,
  type LeafItem,
  lookupMany,
  type MergeConflictItem,
  mergeTrees,
  type NodeStore,
  type TreeChange,
  type TreeSettings,
} from '../../tree/index.ts'
import { stagedChange } from '../batches/overlay.ts'
import type { MergeLaterReply, MergeLaterRequest, MergeReply, MergeRequest } from '../tree-work.ts'

/** A slice of a merge, as the tree worker is asked for it. */
export async function mergeSlice(store: NodeStore, settings: TreeSettings, request: MergeRequest): Promise<MergeReply> {
  const { from, resolve, limit, mode, maxConflicts } = request
  faultPoint('merge.slice')
  const decisions = decisionsOf(resolve)
  const slice = await mergeTrees(store, settings, request, {
    ...(from ? { from: Buffer.from(from) } : {}),
    limit,
    mode,
    maxConflicts,
    decide: decisions.of,
  })
  const conflicts = slice.conflicts.map(conflictOf)
  return { ...slice, conflicts, decided: decisions.usedFor(slice.decided) }
}

/** The newest change of each path, as the tree worker is asked to merge it into a merged tree: each comes out as a merge of now has it. */
export async function mergeLater(
  queries: Pick<Queries, 'all'>,
  store: NodeStore,
  settings: TreeSettings,
  request: MergeLaterRequest,
): Promise<MergeLaterReply> {
  const { branchId, base, theirs, merged, fromSeq, toSeq, resolve, maxConflicts } = request
  const ours = await newestChanges(queries, { branchId, fromSeq, toSeq })
  const keys = ours.map(({ key }) => key)
  const before = await lookupMany(store, base, keys)
  const brought = await lookupMany(store, theirs, keys)
  const decisions = decisionsOf(resolve)
  const conflicts: MergeConflictPath[] = []
  let conflictsTotal = 0
  const changes = ours.map(({ key, item }, index) => {
    const sides = { key, base: before[index], ours: item ?? undefined, theirs: brought[index] }
    const side = decideMerge(sides.base, sides.ours, sides.theirs)
    const chosen = side === 'conflict' ? decisions.of(key.toString()) : side
    if (chosen === undefined && conflictsTotal++ < maxConflicts) conflicts.push(conflictOf(sides))
    return { key, item: (chosen === 'theirs' ? sides.theirs : sides.ours) ?? null }
  })
  const counted =
    conflictsTotal > 0 ? { root: merged, files: 0, bytes: 0 } : await applyCounted(store, settings, merged, changes)
  return { ...counted, conflicts, conflictsTotal }
}

/** The newest change of each path in (fromSeq, toSeq], in the order of the paths. */
export async function newestChanges(
  queries: Pick<Queries, 'all'>,
  { branchId, fromSeq, toSeq }: { readonly branchId: number; readonly fromSeq: number; readonly toSeq: number },
): Promise<readonly TreeChange[]> {
  const rows = await queries.all<Parameters<typeof stagedChange>[1] & { path: string }>(
    'SELECT seq, commit_id, path, entry, of_commit, of_seq FROM changes WHERE branch_id = ? AND seq > ? AND seq <= ? ORDER BY seq',
    [branchId, fromSeq, toSeq],
  )
  const newest = new Map(rows.map((row) => [row.path, row]))
  return [...newest.values()]
    .map((row) => stagedChange(Buffer.from(row.path), row))
    .sort((a, b) => Buffer.compare(a.key, b.key))
}

/** The side that a conflict is decided for: by its own path, else by the longest folder that it is in, else by what is said for all. */
export function decisionsOf({ paths = {}, folders = {}, all }: MergeResolution): {
  readonly of: (path: string) => MergeSide | undefined
  /** What of the decisions these paths were decided by. */
  readonly usedFor: (paths: readonly string[]) => MergeReply['decided']
} {
  const byPath = new Map(Object.entries(paths))
  const byFolder = new Map(Object.entries(folders))
  const folderOf = (path: string): string | undefined => {
    if (byFolder.size === 0) return undefined
    for (let end = path.lastIndexOf('/'); end >= 0; end = end === 0 ? -1 : path.lastIndexOf('/', end - 1)) {
      const folder = path.slice(0, end + 1)
      if (byFolder.has(folder)) return folder
    }
    return undefined
  }
  return {
    of(path) {
      const folder = byPath.has(path) ? undefined : folderOf(path)
      return byPath.get(path) ?? (folder === undefined ? all : byFolder.get(folder))
    },
    usedFor(decided) {
      const used = new Set<string>()
      for (const path of decided) {
        const folder = byPath.has(path) ? undefined : folderOf(path)
        if (folder !== undefined) used.add(folder)
      }
      return { paths: decided.filter((path) => byPath.has(path)), folders: [...used] }
    },
  }
}

function conflictOf({ key, base, ours, theirs }: MergeConflictItem): MergeConflictPath {
  return {
    path: key.toString() as Path,
    ...(base && isUndecided(base) ? {} : { base: sideOf(base) }),
    ours: sideOf(ours),
    theirs: sideOf(theirs),
  }
}

function sideOf(item: LeafItem | undefined): ConflictSide | null {
  if (!item) return null
  const { size, etag, modifiedMs, version } = decodeLeaf(item.key, item.value)
  return { size, etag, modifiedMs, version }
}
