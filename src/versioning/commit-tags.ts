import type { BranchName, CommitId, RepoName } from './model/index.ts'

/** A name for a commit that never moves. */
export interface CommitTag {
  readonly repo: RepoName
  readonly name: BranchName
  readonly commit: CommitId
  readonly createdMs: number
  /** Who made it. */
  readonly author?: string
  readonly message: string
}

/**
 * Tags of commits. A tag stands wherever a branch's name does (`repo@tag`, the bucket `<tag>.<repo>`, which is read-only), so that a repo has
 * no branch and tag of one name. It keeps its commit: what is tagged is not collected.
 */
export interface CommitTags {
  /**
   * `existing` if it is there for this very commit; nothing is changed. Throws TagExists (it is there for another commit), BranchExists,
   * RepoNotFound, CommitNotFound, CommitUnavailable.
   */
  create(
    repo: RepoName,
    name: BranchName,
    commit: CommitId,
    input?: { message?: string; author?: string },
  ): Promise<{ kind: 'created' | 'existing'; tag: CommitTag }>
  /** Throws RepoNotFound, TagNotFound. */
  get(repo: RepoName, name: BranchName): Promise<CommitTag>
  /** By name, at most `limit` (1,000 where it is left out) after the name `after`. Throws RepoNotFound. */
  list(repo: RepoName, query?: { after?: string; limit?: number }): Promise<readonly CommitTag[]>
  /** The commit stays. Throws RepoNotFound, TagNotFound. */
  delete(repo: RepoName, name: BranchName): Promise<void>
}
