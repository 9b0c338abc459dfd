import { type CommitId, CommitNotFound, type TreeHash } from '../../model/index.ts'
import { EMPTY_TREE } from '../../tree/index.ts'
import type { HistoryContext } from '../context.ts'
import { bestCommonAncestors } from './merge-base.ts'

/** Differences merged by one request to the tree worker. */
const PER_SLICE = 20_000
/** Criss-cross merges of criss-cross merges: behind so many, ancestors that do not agree are not looked into. */
const MAX_DEPTH = 16

/**
 * The tree that a merge is computed from. Of several best common ancestors (after a criss-cross merge) it is what their own merge gives,
 * with a base found in the same way; where that has a conflict, the base is undecided, and the sides conflict unless they are alike.
 * Without an ancestor it is the empty tree.
 */
export async function virtualBase(context: HistoryContext, bases: readonly CommitId[], depth = 0): Promise<TreeHash> {
  const [first, ...others] = bases
  if (first === undefined) return EMPTY_TREE
  // Always in one order, so that both directions of a merge begin with the same.
  let root = await rootOf(context, first)
  const joined = [first]
  for (const other of others) {
    const theirs = await rootOf(context, other)
    if (depth === MAX_DEPTH) {
      root = await join(context, 'disagree', root, theirs)
    } else {
      const below = await bestCommonAncestors(context.db, joined, [other])
      root = await join(context, await virtualBase(context, below, depth + 1), root, theirs)
    }
    joined.push(other)
  }
  return root
}

/** `disagree`: without a base, what is not alike in both is undecided. */
async function join(
  context: HistoryContext,
  base: TreeHash | 'disagree',
  one: TreeHash,
  other: TreeHash,
): Promise<TreeHash> {
  let root = one
  let from: Uint8Array | undefined
  do {
    const slice = await context.treeWork.merge({
      base: base === 'disagree' ? one : base,
      ours: root,
      theirs: other,
      from,
      limit: PER_SLICE,
      mode: base === 'disagree' ? 'disagree' : 'undecided',
      resolve: {},
      maxConflicts: 0,
    })
    root = slice.root
    from = slice.next
  } while (from)
  return root
}

async function rootOf({ db }: HistoryContext, commit: CommitId): Promise<TreeHash> {
  const row = await db.get<{ root: string }>('SELECT root FROM commits WHERE id = ?', [commit])
  if (!row) throw new CommitNotFound(`commit ${commit}, a common ancestor, was collected meanwhile`, { commit })
  return row.root as TreeHash
}
