import { faultPoint, type Queries, type Transaction } from '../../../kernel/index.ts'
import { type BranchAddress, type CommitId, CommitNotFound, type TreeHash } from '../../model/index.ts'
import { apply, applyCounted, decideMerge, lookupMany, type TreeChange } from '../../tree/index.ts'
import { stagedChange } from '../batches/overlay.ts'
import { sealOpenBatch } from '../batches/seal.ts'
import type { HistoryContext } from '../context.ts'
import { isElsewhere, type Landed, type LandInput, type LandState, type Merged, readLandState } from './land-state.ts'
import { decisionsOf } from './merge-slice.ts'

/** Paths compared at once: few enough that requests are served in between. */
const PATHS_AT_ONCE = 500
/** What the deciding transaction compares itself: some milliseconds of looking up. */
const MAX_COMPARED_WITHIN = 250
/** What it merges itself at the very last, where the files are written that are brought and others between them: some ten milliseconds. */
const MAX_MERGED_WITHIN = 50
/** Rounds of comparing what came during the round before, each shorter. */
const MAX_ROUNDS = 2_000

/**
 * Compares the files that were changed since the merge was computed, until few are left for the transaction. Returns the number up to
 * which all of them stay as the branch has them.
 */
export async function compareLater(context: HistoryContext, merged: Merged, input: LandInput): Promise<number> {
  let { seq } = merged
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const changed = await laterChanges(context.db, merged.state, seq, PATHS_AT_ONCE)
    if ((await decideLater(context, changed, input)).kind !== 'ours') break
    seq = changed.at(-1)?.seq ?? seq
    if (changed.length < PATHS_AT_ONCE / 5) break
  }
  return seq
}

/** A merge that changes were compared with up to `comparedSeq`. */
export interface Looked extends Merged {
  readonly comparedSeq: number
  /** Nodes of the tree may be written while the transaction that decides holds up all other writes: when nothing else has helped. */
  readonly mayWriteTree: boolean
}

/**
 * The one step in which everything of it appears on the branch. Undefined if changes came between that are more than can be compared, or
 * merged, here, or are in conflict; `replaced` if another tree did, or the branch was pointed elsewhere.
 */
export async function decideLanding(
  tx: Transaction,
  context: HistoryContext,
  at: BranchAddress,
  looked: Looked,
  input: LandInput,
): Promise<Landed | 'replaced' | undefined> {
  const { state } = looked
  const now = await readLandState(tx, at, input)
  if (await isElsewhere(tx, now, { ...input, since: input.since ?? state })) return 'replaced'
  const later = await weighLater(tx, context, looked, input)
  const merged = later && (await placeLater(context, looked, later, input))
  if (!merged) return undefined
  if (input.skipUnchanged && merged.tree.root === merged.ours) {
    return { kind: 'unchanged', head: (now.head ?? undefined) as CommitId | undefined }
  }
  await refuseGone(tx, at, input.mergeParent)
  await sealOpenBatch(tx, state.id, { includePinned: true })
  const commit = await insertTreeCommit(tx, context, now, merged, input)
  faultPoint('tree.land')
  return { kind: 'landed', commit, branchId: state.id, counts: merged.counts }
}

/**
 * The same as the transaction is about to do, before it begins: what it reads is at hand then, and what it could not take is merged by the
 * worker without its being tried. False where that is so.
 */
export async function weighBefore(context: HistoryContext, looked: Looked, input: LandInput): Promise<boolean> {
  const later = await weighLater(context.db, context, looked, input)
  return later !== undefined && (await placeLater(context, looked, later, input)) !== undefined
}

/**
 * What came in the last moment. As a rule it stays as the branch has it, and is left to the finisher (`above`). Where files are among it that
 * are taken from the other side, the tree has them already (`held`, up to `seq`): only what the branch keeps, and was written before the last
 * of those, has to be merged into it (`into`). Undefined: that is too much for here, or in conflict.
 */
type Later =
  | { readonly kind: 'above' }
  | { readonly kind: 'held'; readonly seq: number }
  | { readonly kind: 'into'; readonly seq: number; readonly decided: Decided }

async function weighLater(
  queries: Queries,
  context: HistoryContext,
  looked: Looked,
  input: LandInput,
): Promise<Later | undefined> {
  const { state, tree } = looked
  const last = await laterChanges(queries, state, looked.comparedSeq, MAX_COMPARED_WITHIN + 1)
  if (last.length > MAX_COMPARED_WITHIN) return undefined
  if ((await decideLater(context, last, input)).kind === 'ours') return { kind: 'above' }
  const later = await laterChanges(queries, state, looked.seq, MAX_COMPARED_WITHIN + 1)
  if (later.length > MAX_COMPARED_WITHIN) return undefined
  const decided = await decideLater(context, later, input)
  if (decided.kind === 'conflict') return undefined
  const { changes, lastTheirs } = decided
  // Whether anything is brought at all is told by what the branch has, which has to be merged into a tree too.
  if (!input.skipUnchanged && (await holdsAll(context, tree.root, changes, lastTheirs))) {
    return { kind: 'held', seq: lastTheirs }
  }
  return { kind: 'into', seq: later.at(-1)?.seq ?? looked.seq, decided }
}

/** Writing to a tree is left to the worker, until the very last: however fast the same files are written, this ends. */
async function placeLater(
  { nodes, treeSettings }: HistoryContext,
  looked: Looked,
  later: Later,
  input: LandInput,
): Promise<Merged | undefined> {
  if (later.kind === 'above') return looked
  if (later.kind === 'held') return { ...looked, seq: later.seq }
  const { own, changes } = later.decided
  if (!looked.mayWriteTree || changes.length > MAX_MERGED_WITHIN) return undefined
  const { tree } = looked
  const added = await applyCounted(nodes, treeSettings, tree.root, changes)
  const ours = input.skipUnchanged ? await apply(nodes, treeSettings, looked.ours, own) : looked.ours
  const { root } = added
  return {
    ...looked,
    ours,
    seq: later.seq,
    tree: { root, files: tree.files + added.files, bytes: tree.bytes + added.bytes },
  }
}

/** Whether a tree has each of these already, but for those that lie above it because they came after `seq`. */
async function holdsAll(
  { nodes }: Pick<HistoryContext, 'nodes'>,
  root: TreeHash,
  changes: readonly Change[],
  seq: number,
): Promise<boolean> {
  const wanted = changes.filter((change) => change.seq <= seq)
  const found = await lookupMany(
    nodes,
    root,
    wanted.map(({ key }) => key),
  )
  return wanted.every(({ item }, index) => {
    const there = found[index]
    return item === null ? there === undefined : there !== undefined && item.value.equals(there.value)
  })
}

interface LaterChange {
  readonly seq: number
  readonly commit_id: string
  readonly path: string
  readonly entry: Buffer | null
  readonly of_commit: string | null
  readonly of_seq: number | null
}

function laterChanges(
  queries: Queries,
  { id }: LandState,
  fromSeq: number,
  limit: number,
): Promise<readonly LaterChange[]> {
  return queries.all<LaterChange>(
    'SELECT seq, commit_id, path, entry, of_commit, of_seq FROM changes WHERE branch_id = ? AND seq > ? ORDER BY seq LIMIT ?',
    [id, fromSeq, limit],
  )
}

interface Change extends TreeChange {
  /** Of the newest change of the path. */
  readonly seq: number
}

interface Decided {
  /** `ours`: all of them stay as the branch has them, and may lie above the merged tree. */
  readonly kind: 'ours' | 'mixed' | 'conflict'
  readonly own: readonly TreeChange[]
  /** What becomes of these paths in the merged tree. */
  readonly changes: readonly Change[]
  /** The number of the newest change that the other side wins over; 0: there is none. */
  readonly lastTheirs: number
}

async function decideLater(
  { nodes }: Pick<HistoryContext, 'nodes'>,
  changed: readonly LaterChange[],
  { base, tree, resolve = {} }: LandInput,
): Promise<Decided> {
  const newest = new Map(changed.map((row) => [row.path, row]))
  const own = [...newest.values()]
    .map((row) => ({ ...stagedChange(Buffer.from(row.path), row), seq: row.seq }))
    .sort((a, b) => a.key.compare(b.key))
  const keys = own.map(({ key }) => key)
  const before = await lookupMany(nodes, base, keys)
  const theirs = await lookupMany(nodes, tree.root, keys)
  const decisions = decisionsOf(resolve)
  let kind: Decided['kind'] = 'ours'
  let lastTheirs = 0
  const changes = own.map(({ key, item, seq }, index) => {
    const decided = decideMerge(before[index], item ?? undefined, theirs[index])
    const side = decided === 'conflict' ? decisions.of(key.toString()) : decided
    if (side === undefined) kind = 'conflict'
    else if (side === 'theirs' && kind === 'ours') kind = 'mixed'
    if (side !== 'theirs') return { key, item, seq }
    lastTheirs = Math.max(lastTheirs, seq)
    return { key, item: theirs[index] ?? null, seq }
  })
  return { kind, own, changes, lastTheirs }
}

async function refuseGone(tx: Transaction, at: BranchAddress, parent: CommitId | undefined): Promise<void> {
  if (parent === undefined || (await tx.get('SELECT 1 FROM commits WHERE id = ?', [parent]))) return
  throw new CommitNotFound(`repo ${at.repo} has no commit ${parent}`, { commit: parent })
}

async function insertTreeCommit(
  tx: Transaction,
  context: HistoryContext,
  now: LandState,
  merged: Merged,
  input: LandInput,
): Promise<CommitId> {
  const commit = input.commit ?? context.newCommitId()
  // A number of its own marks its place between the changes before and after it.
  const seq = now.last_seq + 1
  // Changes between the tree and its place are folded into it by the finisher.
  const foldedSeq = now.last_seq === merged.seq ? seq : merged.seq
  const { root, files, bytes } = merged.tree
  await tx.run(
    `INSERT INTO commits (id, repo, branch_id, branch, ordinal, kind, state, parent, merge_parent, root, folded_seq, from_seq, last_seq,
                          started_ms, files, bytes, message)
     SELECT ?, repo, id, name, ordinals + 1, 'tree', 'sealed', coalesce(tip, ?), CASE WHEN tip IS NULL THEN NULL ELSE ? END,
            ?, ?, ?, ?, ?, ?, ?, ? FROM branches WHERE id = ?`,
    [
      commit,
      // A branch without a commit goes on from what is brought, as if it had been made from it.
      input.mergeParent ?? null,
      input.mergeParent ?? null,
      root,
      foldedSeq,
      seq,
      seq,
      context.clock.now(),
      files,
      bytes,
      input.message,
      now.id,
    ],
  )
  await tx.run(
    `UPDATE branches SET ordinals = ordinals + 1, tip = ?, open_commit = NULL, root = ?, folded_seq = ?, last_seq = ? WHERE id = ?`,
    [commit, root, foldedSeq, seq, now.id],
  )
  if (input.author) {
    await tx.run('INSERT INTO commit_authors (commit_id, name) VALUES (?, ?)', [commit, input.author])
  }
  return commit
}
