import { faultPoint, type Queries, type Transaction } from '../../../kernel/index.ts'
import { type BranchAddress, type CommitId, CommitNotFound } from '../../model/index.ts'
import { apply, applyCounted, decideMerge, lookupMany, type TreeChange } from '../../tree/index.ts'
import { stagedChange } from '../batches/overlay.ts'
import { sealOpenBatch } from '../batches/seal.ts'
import type { HistoryContext } from '../context.ts'
import { isElsewhere, type Landed, type LandInput, type LandState, type Merged, readLandState } from './land-state.ts'
import { decisionsOf } from './merge-slice.ts'

/** Paths compared at once: few enough that requests are served in between. */
const PATHS_AT_ONCE = 500
/** What the deciding transaction compares itself: some ten milliseconds of looking up. */
const MAX_COMPARED_WITHIN = 500
/** What it merges itself, where the very files are written that are brought: some ten milliseconds too. */
const MAX_MERGED_WITHIN = 100
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

/**
 * The one step in which everything of it appears on the branch. Undefined if changes came between that are more than can be compared, or
 * merged, here, or are in conflict; `replaced` if another tree did, or the branch was pointed elsewhere.
 */
export async function decideLanding(
  tx: Transaction,
  context: HistoryContext,
  at: BranchAddress,
  looked: Merged & { readonly comparedSeq: number },
  input: LandInput,
): Promise<Landed | 'replaced' | undefined> {
  const { state } = looked
  const now = await readLandState(tx, at, input)
  if (await isElsewhere(tx, now, input.since ?? state)) return 'replaced'
  const merged = await mergeWithin(tx, context, looked, input)
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
 * What came in the last moment. As a rule it stays as the branch has it, and is left to the finisher; where it is among what is brought, all
 * that came since is merged here, if that is little: however fast the same files are written, this ends.
 */
async function mergeWithin(
  tx: Transaction,
  context: HistoryContext,
  looked: Merged & { readonly comparedSeq: number },
  input: LandInput,
): Promise<Merged | undefined> {
  const { state, tree } = looked
  const last = await laterChanges(tx, state, looked.comparedSeq, MAX_COMPARED_WITHIN + 1)
  if (last.length > MAX_COMPARED_WITHIN) return undefined
  if ((await decideLater(context, last, input)).kind === 'ours') return looked
  const later = await laterChanges(tx, state, looked.seq, MAX_MERGED_WITHIN + 1)
  if (later.length > MAX_MERGED_WITHIN) return undefined
  const { kind, own, changes } = await decideLater(context, later, input)
  if (kind === 'conflict') return undefined
  const { nodes, treeSettings } = context
  const added = await applyCounted(nodes, treeSettings, tree.root, changes)
  const ours = input.skipUnchanged ? await apply(nodes, treeSettings, looked.ours, own) : looked.ours
  const { root } = added
  return {
    ...looked,
    ours,
    seq: later.at(-1)?.seq ?? looked.seq,
    tree: { root, files: tree.files + added.files, bytes: tree.bytes + added.bytes },
  }
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

interface Decided {
  /** `ours`: all of them stay as the branch has them, and may lie above the merged tree. */
  readonly kind: 'ours' | 'mixed' | 'conflict'
  readonly own: readonly TreeChange[]
  /** What becomes of these paths in the merged tree. */
  readonly changes: readonly TreeChange[]
}

async function decideLater(
  { nodes }: Pick<HistoryContext, 'nodes'>,
  changed: readonly LaterChange[],
  { base, tree, resolve = {} }: LandInput,
): Promise<Decided> {
  const newest = new Map(changed.map((row) => [row.path, row]))
  const own = [...newest.values()]
    .map((row) => stagedChange(Buffer.from(row.path), row))
    .sort((a, b) => a.key.compare(b.key))
  const keys = own.map(({ key }) => key)
  const before = await lookupMany(nodes, base, keys)
  const theirs = await lookupMany(nodes, tree.root, keys)
  const decisions = decisionsOf(resolve)
  let kind: Decided['kind'] = 'ours'
  const changes = own.map(({ key, item }, index) => {
    const decided = decideMerge(before[index], item ?? undefined, theirs[index])
    const side = decided === 'conflict' ? decisions.of(key.toString()) : decided
    if (side === undefined) kind = 'conflict'
    else if (side === 'theirs' && kind === 'ours') kind = 'mixed'
    return side === 'theirs' ? { key, item: theirs[index] ?? null } : { key, item }
  })
  return { kind, own, changes }
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
