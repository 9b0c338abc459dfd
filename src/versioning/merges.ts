import type { BranchAddress, Commit, CommitId, Entry, Path, RepoName, VersionId } from './model/index.ts'
import type { OnWork } from './work.ts'

/** Which side a conflict is decided for: `ours` is the branch, `theirs` what is brought onto it. */
export type MergeSide = 'ours' | 'theirs'

/** How conflicts are decided: each path by its own word, else by the longest folder that it is in, the others by `all`. */
export interface MergeResolution {
  readonly all?: MergeSide
  readonly paths?: Readonly<Record<string, MergeSide>>
  /** By what their paths begin with, which ends in `/`. */
  readonly folders?: Readonly<Record<string, MergeSide>>
}

/** What one side has at a path of a conflict. */
export interface ConflictSide extends Pick<Entry, 'size' | 'etag' | 'modifiedMs'> {
  readonly version: VersionId
}

/**
 * A path that both sides changed, each in its own way. Null: there is no file. `base` is left out where the common ancestors do not agree on it.
 */
export interface MergeConflictPath {
  readonly path: Path
  readonly base?: ConflictSide | null
  readonly ours: ConflictSide | null
  readonly theirs: ConflictSide | null
}

/** What a merge does, or would do, to the branch. */
export interface MergeCounts {
  readonly added: number
  readonly changed: number
  readonly deleted: number
}

/** `bases`: the best common ancestors; several after a criss-cross merge. */
export interface MergePreview {
  readonly kind: 'contained' | 'merge'
  readonly head: CommitId | undefined
  readonly bases: readonly CommitId[]
  readonly counts: MergeCounts
  /** The first of `conflictsTotal`; those that the resolution decides are not among them. */
  readonly conflicts: readonly MergeConflictPath[]
  readonly conflictsTotal: number
}

export interface MergeInput {
  readonly message?: string
  readonly author?: string
  readonly resolve?: MergeResolution
  /** Commits without a common ancestor are merged as if both had begun with nothing. */
  readonly allowUnrelated?: boolean
  readonly onWork?: OnWork
}

export interface RevertInput {
  readonly message?: string
  readonly author?: string
  readonly resolve?: MergeResolution
  /** Of a commit with two parents: the one (1 or 2) that is gone back to. */
  readonly mainline?: number
  readonly onWork?: OnWork
}

/**
 * Bringing together what was written on different branches of a repo. Three-way: what changed between the base and `theirs` is done to
 * what the branch holds when it is done, PUTs that were acknowledged meanwhile included. One commit, or nothing.
 */
export interface Merges {
  /**
   * Makes one commit with two parents of what `into` holds, its open batch included (which is sealed, whoever holds it), and what `from`
   * has that it has not. `contained`: `from` is part of it already, nothing is changed. Throws MergeConflict, NoMergeBase,
   * NotInConflict (a path or folder is decided that needs no decision), CommitNotFound, CommitUnavailable, BranchNotFound, ReadOnly, BranchMoved.
   */
  merge(
    into: BranchAddress,
    from: CommitId,
    input?: MergeInput,
  ): Promise<
    | { readonly kind: 'merged'; readonly commit: Commit; readonly counts: MergeCounts }
    | { readonly kind: 'contained'; readonly head: CommitId }
  >
  /** What `merge` would do now; nothing is changed. Throws what `merge` throws, but for MergeConflict. */
  preview(into: BranchAddress, from: CommitId, input?: MergeInput): Promise<MergePreview>
  /** The best common ancestors, newest first; several after a criss-cross merge, none of unrelated histories. */
  mergeBases(repo: RepoName, one: CommitId, other: CommitId): Promise<readonly CommitId[]>
  /**
   * One commit that takes back what `commit` changed, whatever came since. `unchanged`: there is nothing left of it. Throws MergeConflict,
   * NotInConflict, MainlineNeeded, ReadOnly and the others of `merge`.
   */
  revert(
    at: BranchAddress,
    commit: CommitId,
    input?: RevertInput,
  ): Promise<
    | { readonly kind: 'reverted'; readonly commit: Commit; readonly counts: MergeCounts }
    | { readonly kind: 'unchanged'; readonly head: CommitId | undefined }
  >
}
