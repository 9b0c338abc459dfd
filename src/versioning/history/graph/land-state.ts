import type { Queries } from '../../../kernel/index.ts'
import type { MergeCounts, MergeResolution } from '../../merges.ts'
import { type BranchAddress, type Commit, type CommitId, ReadOnly, type TreeHash } from '../../model/index.ts'
import { EMPTY_TREE } from '../../tree/index.ts'
import type { OnWork } from '../../work.ts'
import { missing, readOnlyReason } from '../branches.ts'
import type { HistoryContext } from '../context.ts'
import { LINE_SEQ } from './branch-line.ts'

/** What landing needs of the rest of the engine. */
export interface Landing {
  readonly context: HistoryContext
  /** Resolves when the commit is finished or failed. */
  waitForCommit(commit: CommitId): Promise<Commit>
  /** Commits of the branch were sealed: there is something to finish. */
  sealed(at: BranchAddress, branchId: number): void
}

/** A tree with what its commit says of it: all files and bytes, markers not counted. */
export interface CountedTree {
  readonly root: TreeHash
  readonly files: number
  readonly bytes: number
}

export interface LandInput {
  /** What `tree` was made from: the differences between the two are what is brought onto the branch. */
  readonly base: TreeHash
  readonly tree: CountedTree
  readonly message: string
  readonly author?: string
  /** The second parent, of a merge. */
  readonly mergeParent?: CommitId
  /** The id that its commit gets, where the entries of `tree` name it in their versions; left out, a new one. */
  readonly commit?: CommitId
  /** Only a merge may go onto a protected branch. */
  readonly by?: 'merge' | 'write'
  readonly resolve?: MergeResolution
  readonly onWork?: OnWork | undefined
  /** What to do about a conflict, in words; to choose sides, where it is left out. */
  readonly onConflict?: string
  /** Makes no commit if nothing would change. */
  readonly skipUnchanged?: boolean
  /** Counts are found by comparing the trees; where that is not needed, `counts` is undefined if the branch did not move. */
  readonly wantsCounts?: boolean
  /** Only onto a branch that has no commit, not even an open one: if it has one by then, the answer is `moved`. */
  readonly ontoNothing?: boolean
  /** What the caller looked at: if trees were landed on the branch since, or it was pointed elsewhere, the answer is `moved`. */
  readonly since?: Pick<LandState, 'id' | 'ordinals' | 'line_seq'>
}

export type Landed =
  | {
      readonly kind: 'landed'
      readonly commit: CommitId
      readonly branchId: number
      readonly counts: MergeCounts | undefined
    }
  | { readonly kind: 'unchanged'; readonly head: CommitId | undefined }
  | { readonly kind: 'moved' }

/** A branch as it is looked at before the transaction that decides. */
export interface LandState {
  readonly id: number
  readonly kind: 'branch' | 'transaction'
  readonly pipeline: string | null
  readonly protected: number
  readonly ordinals: number
  readonly last_seq: number
  readonly tip: string | null
  /** The batch that is gathered: history too, once this is landed. */
  readonly open_commit: string | null
  readonly head: string | null
  /** Where the branch was last pointed elsewhere. */
  readonly line_seq: number
  /** A tree of it, with the changes up to `seq`; what came later is in the changes above. */
  readonly root: string
  readonly files: number
  readonly bytes: number
  readonly seq: number
  /** A tree commit that is not finished: what the branch holds can't be told by changes. */
  readonly landing: string | null
}

/** The branch up to `seq`, and the same with the tree that is brought. */
export interface Merged {
  readonly state: LandState
  readonly seq: number
  readonly ours: TreeHash
  readonly tree: CountedTree
  readonly counts: MergeCounts | undefined
}

/** Throws RepoNotFound, BranchNotFound, ReadOnly. */
export async function readLandState(
  queries: Queries,
  at: BranchAddress,
  { by = 'write' }: Pick<LandInput, 'by'>,
): Promise<LandState> {
  const state = await queries.get<LandState>(
    // The tree that was folded last: of a batch on its way, else of the head. One of another branch is where this one began.
    `SELECT b.id, b.kind, b.pipeline, b.protected, b.ordinals, b.last_seq, b.tip, b.open_commit, b.head, ${LINE_SEQ} AS line_seq,
            coalesce(f.root, h.root, ?1) AS root, coalesce(f.files, h.files, 0) AS files, coalesce(f.bytes, h.bytes, 0) AS bytes,
            coalesce(f.folded_seq, max(CASE WHEN h.branch_id = b.id THEN h.last_seq ELSE 0 END, ${LINE_SEQ})) AS seq,
            (SELECT id FROM commits INDEXED BY commits_unfinished WHERE branch_id = b.id AND finished_ms IS NULL AND kind = 'tree'
             ORDER BY ordinal DESC LIMIT 1) AS landing
     FROM branches AS b LEFT JOIN commits AS h ON h.id = b.head
     LEFT JOIN commits AS f INDEXED BY commits_unfinished ON f.branch_id = b.id AND f.finished_ms IS NULL
       AND f.kind = 'batch' AND f.folded_seq > f.from_seq AND f.folded_seq = b.folded_seq AND f.root = b.root
     WHERE b.repo = ?2 AND b.name = ?3`,
    [EMPTY_TREE, at.repo, at.branch],
  )
  if (!state) throw await missing(queries, at)
  if (state.kind === 'transaction') {
    throw new ReadOnly(
      `${at.branch}.${at.repo} is a transaction, which takes single files: finish it, and bring this onto its branch`,
      { repo: at.repo, transaction: at.branch },
    )
  }
  const refused = readOnlyReason(at, state, by)
  if (refused) throw refused
  return state
}

/** Whether the branch has no history that could be another one: no commit, and none that is being gathered. */
export function isNothing(state: Pick<LandState, 'tip' | 'open_commit'>): boolean {
  return state.tip === null && state.open_commit === null
}

/** Whether trees were landed since, or the branch was pointed elsewhere; changes of single files do not count, but for the first of all. */
export async function isElsewhere(
  queries: Queries,
  state: LandState,
  { since, ontoNothing = false }: Pick<LandInput, 'since' | 'ontoNothing'>,
): Promise<boolean> {
  if (ontoNothing && !isNothing(state)) return true
  if (since === undefined) return false
  if (state.id !== since.id || state.line_seq !== since.line_seq) return true
  if (state.ordinals === since.ordinals) return false
  const landed = await queries.get("SELECT 1 FROM commits WHERE branch_id = ? AND ordinal > ? AND kind = 'tree'", [
    state.id,
    since.ordinals,
  ])
  return landed !== undefined
}
