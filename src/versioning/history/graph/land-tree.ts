import type { MergeConflictPath, MergeCounts, MergeResolution } from '../../merges.ts'
import {
  type BranchAddress,
  BranchMoved,
  type CommitId,
  MergeConflict,
  NotInConflict,
  type TreeHash,
} from '../../model/index.ts'
import type { OnWork } from '../../work.ts'
import type { HistoryContext } from '../context.ts'
import { compareLater, decideLanding, weighBefore } from './land-decide.ts'
import {
  type CountedTree,
  isElsewhere,
  type Landed,
  type LandInput,
  type Landing,
  type LandState,
  type Merged,
  readLandState,
} from './land-state.ts'

/** Each try but the first follows a restore, a merge or a write to the very files that are brought; more of them is somebody at it all the time. */
const MAX_TRIES = 20
/** So often what came between is merged by the worker, before the transaction that decides may do it itself. */
const TRIES_OUTSIDE = 10
/** Changes folded, and differences merged, by one request to the tree worker: others get their turn in between. */
const PER_SLICE = 20_000
/** Conflicts named in one refusal. */
const MAX_CONFLICTS = 50
const CHOOSE_SIDES = 'say for each file, or for all, which side it is taken from (ours or theirs)'

export {
  type CountedTree,
  isNothing,
  type Landed,
  type LandInput,
  type Landing,
  type LandState,
  readLandState,
} from './land-state.ts'

/**
 * Brings a ready tree onto a branch as ONE commit of kind `tree`: three-way merged with what the branch holds in the transaction that
 * decides, which also seals the open batch, whoever holds it. Durable and visible when it resolves; finished a little later
 * (`landing.waitForCommit`). Throws MergeConflict, NotInConflict (nothing is changed), BranchMoved, RepoNotFound, BranchNotFound, ReadOnly.
 *
 * The merge is computed against what the branch held when it was looked at. Later changes need no new one: those of other files lie
 * above the merged tree as they lay above the old one, and are folded into it by the finisher. So the transaction only compares paths, and a
 * stream of PUTs can't keep it from ending.
 *
 * The caller holds a lease from before the first node of `tree` is written until this resolves.
 */
export async function landTree(landing: Landing, at: BranchAddress, input: LandInput): Promise<Landed> {
  const { context } = landing
  const end = context.leases.begin()
  try {
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const state = await readLandState(context.db, at, input)
      if (await isElsewhere(context.db, state, input)) return { kind: 'moved' }
      if (state.landing) {
        await landing.waitForCommit(state.landing as CommitId)
        continue
      }
      const landed = await land(context, at, state, input)
      if (!landed) continue
      if (landed.kind === 'landed') landing.sealed(at, landed.branchId)
      return landed
    }
  } finally {
    end()
  }
  throw new BranchMoved(
    `${at.repo}@${at.branch} changed whenever it was looked at: try again when less is written to the same files`,
    { repo: at.repo, branch: at.branch },
  )
}

/** Undefined if another tree was landed meanwhile, or it was written to the very files that are brought all the time. */
async function land(
  context: HistoryContext,
  at: BranchAddress,
  state: LandState,
  input: LandInput,
): Promise<Landed | undefined> {
  let merged = await merge(context, state, input)
  for (let round = 0; round < MAX_TRIES; round++) {
    const comparedSeq = await compareLater(context, merged, input)
    const looked = { ...merged, comparedSeq, mayWriteTree: round >= TRIES_OUTSIDE }
    if (await weighBefore(context, looked, input)) {
      const landed = await context.db.write((tx) => decideLanding(tx, context, at, looked, input))
      if (landed === 'replaced') return undefined
      if (landed) return landed
    }
    merged = await mergeLaterChanges(context, merged, input)
  }
  return undefined
}

/** What a merge would do, without doing it. Throws as `landTree`, but for MergeConflict. */
export async function previewLanding(
  landing: Landing,
  at: BranchAddress,
  input: LandInput,
): Promise<{ counts: MergeCounts; conflicts: readonly MergeConflictPath[]; conflictsTotal: number }> {
  const { context } = landing
  const end = context.leases.begin()
  try {
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const state = await readLandState(context.db, at, input)
      if (state.landing) await landing.waitForCommit(state.landing as CommitId)
      else return await compareTrees(context, await liveTree(context, state, input.onWork), input, 'dry')
    }
  } finally {
    end()
  }
  throw new BranchMoved(`${at.repo}@${at.branch} changed whenever it was looked at: try again`, {
    repo: at.repo,
    branch: at.branch,
  })
}

/** What the branch holds: the changes that are not folded yet are folded here, and not waited for. */
export async function liveTree(
  context: HistoryContext,
  state: LandState,
  onWork?: OnWork,
): Promise<CountedTree & { readonly seq: number }> {
  let { files, bytes } = state
  let root = state.root as TreeHash
  for (let from = state.seq; from < state.last_seq; ) {
    const toSeq = Math.min(state.last_seq, from + PER_SLICE)
    const folded = await context.treeWork.fold({ branchId: state.id, base: root, fromSeq: from, toSeq })
    root = folded.root
    files += folded.files
    bytes += folded.bytes
    from = toSeq
    if (from < state.last_seq) onWork?.({ step: 'reading', done: from - state.seq, total: state.last_seq - state.seq })
  }
  return { root, files, bytes, seq: state.last_seq }
}

/** Throws MergeConflict, NotInConflict. */
async function merge(context: HistoryContext, state: LandState, input: LandInput): Promise<Merged> {
  const ours = await liveTree(context, state, input.onWork)
  const { seq } = ours
  // Made of this very tree, as imports and moves are: it is the result, with each version that it has.
  if (ours.root === input.base && !input.wantsCounts && !input.resolve) {
    return { state, seq, ours: ours.root, tree: input.tree, counts: undefined }
  }
  // Of files that are alike the branch keeps its own, whether it changed or not.
  const result = await compareTrees(context, ours, input, 'merge')
  refuseConflicts(input, result.conflicts, result.conflictsTotal)
  refuseNeedless(input.resolve, result.decided)
  return { state, seq, ours: ours.root, tree: result.tree, counts: result.counts }
}

/** The same with what came onto the branch since, which costs what that is. Throws MergeConflict. */
async function mergeLaterChanges(context: HistoryContext, merged: Merged, input: LandInput): Promise<Merged> {
  const { treeWork, db } = context
  const branchId = merged.state.id
  const row = await db.get<{ last_seq: number }>('SELECT last_seq FROM branches WHERE id = ?', [branchId])
  let { seq, ours } = merged
  let { root, files, bytes } = merged.tree
  while (row && seq < row.last_seq) {
    const range = { branchId, fromSeq: seq, toSeq: Math.min(row.last_seq, seq + PER_SLICE) }
    const { base, resolve = {} } = input
    const slice = await treeWork.mergeLater({
      ...range,
      base,
      theirs: input.tree.root,
      merged: root,
      resolve,
      maxConflicts: MAX_CONFLICTS,
    })
    refuseConflicts(input, slice.conflicts, slice.conflictsTotal)
    root = slice.root
    files += slice.files
    bytes += slice.bytes
    // Only to tell whether anything is brought.
    if (input.skipUnchanged) ours = (await treeWork.fold({ ...range, base: ours })).root
    seq = range.toSeq
  }
  return { ...merged, seq, ours, tree: { root, files, bytes } }
}

async function compareTrees(
  context: HistoryContext,
  ours: CountedTree,
  { base, tree, resolve = {}, onWork }: LandInput,
  wanted: 'merge' | 'dry',
) {
  let { root, files, bytes } = ours
  let conflictsTotal = 0
  let from: Uint8Array | undefined
  const conflicts: MergeConflictPath[] = []
  const decided = { paths: new Set<string>(), folders: new Set<string>() }
  let done = 0
  const counts = { added: 0, changed: 0, deleted: 0 }
  do {
    const slice = await context.treeWork.merge({
      base,
      ours: root,
      theirs: tree.root,
      from,
      limit: PER_SLICE,
      // Behind a conflict the others are only counted.
      mode: conflictsTotal > 0 ? 'dry' : wanted,
      resolve,
      maxConflicts: MAX_CONFLICTS - conflicts.length,
    })
    root = slice.root
    files += slice.files
    bytes += slice.bytes
    counts.added += slice.counts.added
    counts.changed += slice.counts.changed
    counts.deleted += slice.counts.deleted
    conflicts.push(...slice.conflicts)
    conflictsTotal += slice.conflictsTotal
    for (const path of slice.decided.paths) decided.paths.add(path)
    for (const folder of slice.decided.folders) decided.folders.add(folder)
    from = slice.next
    done += PER_SLICE
    if (from) onWork?.({ step: 'merging', done })
  } while (from)
  return { tree: { root, files, bytes }, counts, conflicts, conflictsTotal, decided }
}

function refuseConflicts(
  { onConflict = CHOOSE_SIDES }: LandInput,
  conflicts: readonly MergeConflictPath[],
  total: number,
): void {
  if (total === 0) return
  const named = conflicts.slice(0, 5).map(({ path }) => path)
  const more = total > named.length ? ` and ${total - named.length} more` : ''
  throw new MergeConflict(`both sides changed ${named.join(', ')}${more}; nothing was changed: ${onConflict}`, {
    paths: conflicts,
    total,
  })
}

function refuseNeedless(
  { paths = {}, folders = {} }: MergeResolution = {},
  decided: { readonly paths: ReadonlySet<string>; readonly folders: ReadonlySet<string> },
): void {
  const needless = [
    ...Object.keys(paths).filter((path) => !decided.paths.has(path)),
    ...Object.keys(folders).filter((folder) => !decided.folders.has(folder)),
  ]
  if (needless.length === 0) return
  const more = needless.length > 5 ? ` and ${needless.length - 5} more` : ''
  throw new NotInConflict(
    `a side was chosen for ${needless.slice(0, 5).join(', ')}${more}, where there is no conflict that needs it; nothing was changed: leave that out`,
    { paths: needless.slice(0, MAX_CONFLICTS), total: needless.length },
  )
}
