/** What the contract says of references to commits, merges and tags of commits; a part of `contract.ts`, by which it is read. */

export interface CommitRefJson {
  readonly repo: string
  readonly commit: string
}

/** A name for a commit that never moves. */
export interface TagJson {
  readonly repo: string
  readonly name: string
  readonly commit: string
  readonly created: string
  /** Null where it is not known. */
  readonly author: string | null
  readonly message: string
  /** What S3 tools read it by. */
  readonly bucket: string
}

/** What one side has at a path. */
export interface MergeSideJson {
  readonly sizeBytes: number
  readonly etag: string
  readonly modified: string
  readonly version: string
}

/** A file that both sides changed, each in its own way. Null: it is not there. */
export interface MergeConflictJson {
  readonly path: string
  /** Left out where the common ancestors do not agree on it. */
  readonly base?: MergeSideJson | null
  /** What the branch has. */
  readonly ours: MergeSideJson | null
  /** What was to be brought onto it. */
  readonly theirs: MergeSideJson | null
}

/** Files that a merge or revert adds, changes and deletes on the branch. */
export interface MergeCountsJson {
  readonly added: number
  readonly changed: number
  readonly deleted: number
}

/** How far work is, on the way to its answer. `total` is left out where nobody knows. */
export interface WorkingJson {
  readonly kind: 'working'
  /** `reading`: what the branch has gathered; `merging`: differences; `placing`: files; `finishing`: it is decided, and its commit is being finished. */
  readonly step: 'reading' | 'merging' | 'placing' | 'finishing'
  readonly done: number
  readonly total?: number
}
