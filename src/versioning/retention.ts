import type { BranchName, CommitId, RepoName } from './model/index.ts'

/** Which commits of a repo are kept: those that any of the rules keeps. */
export interface RetentionPolicy {
  /** Those that were finished within so many days. */
  readonly keepDays?: number
  /** The newest so many of each branch. */
  readonly keepCommits?: number
}

/** A commit that the next garbage collection removes. */
export interface ExpiredCommit {
  readonly repo: RepoName
  readonly branch: BranchName
  readonly commit: CommitId
  readonly finishedMs: number
  /** `unreachable`: no branch and no tag has led to it for longer than the grace; `retention`: the repo's rules no longer keep it. */
  readonly why: 'unreachable' | 'retention'
}

/**
 * What is kept. Without rules of the repo that is everything a branch or a tag leads to. Never removed, whatever the rules say: what a
 * branch, a tag or a transaction stands on, what is not finished and what that is made from, what is being pushed, and the inputs of
 * the newest output of a pipeline.
 */
export interface Retention {
  /** Undefined: the repo has no rules. Throws RepoNotFound. */
  get(repo: RepoName): Promise<RetentionPolicy | undefined>
  /** Undefined: without rules again. Nothing goes before the next garbage collection. Throws RepoNotFound, InvalidInput. */
  set(repo: RepoName, policy: RetentionPolicy | undefined): Promise<void>
  /** What the next garbage collection would remove, as things are. `policy`: as if the repo had these rules. Throws RepoNotFound. */
  preview(repo: RepoName, policy?: RetentionPolicy): AsyncIterable<ExpiredCommit>
}
