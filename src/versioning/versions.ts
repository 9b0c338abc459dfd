import type { DeleteResult, WriteConditions } from './changes.ts'
import type { BranchAddress, ConditionFailed, FileEntry, Path, Target, TargetInfo, VersionId } from './model/index.ts'

/** What S3 calls a version by; `null` is what was there before versioning was enabled. */
export type VersionName = VersionId | 'null'

/** One version of a file as S3 shows it. */
export interface FileVersion {
  readonly path: Path
  readonly version: VersionName
  readonly isLatest: boolean
  readonly modifiedMs: number
  /** Null: a delete marker. */
  readonly entry: FileEntry | null
}

/** One page of a listing of versions. */
export interface VersionQuery {
  readonly prefix?: string
  /** Any non-empty string. */
  readonly delimiter?: string
  /**
   * Exclusive. Without a version: all versions of this path, and common prefixes at or before it, are passed over. The version may
   * have been deleted meanwhile.
   */
  readonly after?: { readonly path: string; readonly version?: VersionName }
  /** At most 1,000. */
  readonly limit: number
}

/** By path in UTF-8 byte order, of each path the latest first, then the newest first; together with the prefixes at most `limit`. */
export interface VersionPage {
  readonly versions: readonly FileVersion[]
  readonly prefixes: readonly string[]
  /** Set when there is more: the last that is shown, to pass as `after`. */
  readonly next?: { readonly path: string; readonly version?: VersionName }
}

/** What is to be deleted: a version for good, or without one the file, which leaves a delete marker. */
export interface VersionDelete {
  readonly path: Path
  readonly version?: VersionName
  /** On the version, where one is named. */
  readonly conditions?: WriteConditions
}

/** What came of one delete; a refusal concerns this one alone. */
export type VersionDeleteResult =
  /** The version is not shown any more. If it was the latest, what was before it is there again. */
  | { readonly kind: 'hidden'; readonly marker: boolean; readonly wasLatest: boolean; readonly unversioned?: true }
  /** There is no such version. */
  | { readonly kind: 'absent' }
  /** Without a version: the file was deleted. */
  | { readonly kind: 'deleted'; readonly result: DeleteResult }
  | { readonly kind: 'refused'; readonly error: ConditionFailed }

/**
 * The versions of files as S3 has them: every acknowledged PUT and DELETE of a branch, and of the branches it was made from up to there.
 * A commit shows what there was when it ended. Of a pipeline's output only the current versions are listed.
 */
export interface FileVersions {
  /** A page is one consistent view. */
  list(target: Target, query: VersionQuery): Promise<VersionPage>
  /** Throws VersionNotFound. */
  find(
    target: Target,
    path: Path,
    version: VersionName,
  ): Promise<{ readonly found: FileVersion; readonly info: TargetInfo }>
  /** The delete marker that is the latest version of a path; undefined where there is none. */
  marker(target: Target, path: Path): Promise<FileVersion | undefined>
  /**
   * Up to 1,000, in one transaction; one result each, in order. Finished commits do not change: a deleted version is hidden from now
   * on, and what comes back if it was the latest comes back by a change of its own, which is no new version. Throws ReadOnly.
   */
  delete(at: BranchAddress, deletes: readonly VersionDelete[], author?: string): Promise<readonly VersionDeleteResult[]>
  /** Whether S3 shows version ids. Throws RepoNotFound, BranchNotFound, CommitNotFound. */
  state(target: Target): Promise<'enabled' | 'unset'>
  /**
   * From now on ids are shown; what is there becomes the `null` version of its path. Seals the open batch, a pinned one too. Nothing
   * happens if it is enabled already. Throws ReadOnly.
   */
  enable(at: BranchAddress): Promise<void>
}
