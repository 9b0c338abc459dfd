import type { BranchAddress, BranchName, Commit, CommitId, Path, RepoName } from './model/index.ts'
import type { Difference } from './trees.ts'

/** Which commits a page of a log shows. */
export interface LogQuery {
  /**
   * What the branch holds open and the first-parent history behind it, commits of the branches that it was made from included; of a
   * pipeline's output all its commits, failed ones too. Of a branch that is gone: what was made on it under this name.
   */
  readonly branch?: BranchName
  /** In place of a branch: this commit and its first-parent history. Without either: all commits of the repo, in the order they were made. */
  readonly from?: CommitId
  /** At most 1,000, which it is where it is left out. */
  readonly limit?: number
  /** Only what comes after this commit in the log: the last one of the page before. */
  readonly before?: CommitId
  /** Only commits that became the head at this time or later. */
  readonly sinceMs?: number
  /** Only commits that had become the head by this time. Of a whole repo both times order it by when they did. */
  readonly untilMs?: number
}

/** One side of a diff: a finished commit, nothing at all, or what an open transaction holds now. */
export type DiffSide = CommitId | 'empty' | { readonly transaction: BranchAddress }

/** Which differences a diff shows. */
export interface DiffQuery {
  readonly prefix?: string
  /** Only paths after this one, in the order of their UTF-8 bytes: the last one of the page before. */
  readonly after?: string
  /** So many at most. */
  readonly limit?: number
}

/** Files and bytes of a kind of difference; of changed files the bytes before and after. */
export interface DiffStat {
  /** A folder right below the prefix, with its `/`; the prefix itself for the files right in it; null: all of it. */
  readonly path: string | null
  readonly added: { readonly files: number; readonly bytes: number }
  readonly deleted: { readonly files: number; readonly bytes: number }
  readonly changed: { readonly files: number; readonly bytesBefore: number; readonly bytesAfter: number }
}

/** Whose history it is: that of one file, or of everything below a prefix. */
export type FileLogOf = { readonly path: Path } | { readonly prefix: string }

/** A commit that changed something, compared with its first parent. */
export interface FileChange {
  readonly commit: Commit
  readonly added: number
  readonly deleted: number
  readonly changed: number
  /** By how many bytes it grew; below zero it shrank. */
  readonly growthBytes: number
  /** Of one file: how. */
  readonly difference?: Difference
}

/** What was there before. */
export interface LookingBack {
  /** The commit of a diff that says nothing else: of a commit its first parent, of a transaction the commit that it was opened on. */
  baseOf(side: DiffSide): Promise<DiffSide>
  /** A diff in numbers, folder by folder as it goes on; the last line is all of it. Throws what `diff` throws. */
  diffStat(before: DiffSide, after: DiffSide, prefix?: string): AsyncIterable<DiffStat>
  /**
   * The commits of the first-parent history of `from` that changed a file, or anything below a prefix, the newest first, as they are
   * found: those whose diff to their parent shows it, however that came (writes, a restore, a merge, a pipeline). `before`: only those
   * that come after this one, the last of the page before. Throws CommitNotFound, also where `before` is not of that history, and
   * CommitUnavailable.
   */
  fileLog(
    repo: RepoName,
    from: CommitId,
    of: FileLogOf,
    query?: { limit?: number; before?: CommitId },
  ): AsyncIterable<FileChange>
}
