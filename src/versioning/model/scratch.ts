import type { CommitId, VersionId } from './types.ts'

/**
 * Folders that jobs keep unfinished files in: Hadoop's file committers (and the manifest committer), the S3A magic committer of
 * Hadoop 3.3 and of 3.4, Spark's dynamic overwrite, Hive's inserts. Only folders: a file that is called `_temporary` is a file.
 */
const scratchFolder = /(?:^|\/)(?:_temporary|__magic|__magic_job-[^/]*|\.spark-staging-[^/]*|\.hive-staging[^/]*)\//

/** The scratch folder that a path is in, as `table/_temporary/`; undefined for an ordinary path. */
export function scratchArea(path: string): string | undefined {
  const found = scratchFolder.exec(path)
  return found ? path.slice(0, found.index + found[0].length) : undefined
}

/** The folder whose job ended well, if that is what a file of this path says: `table/` for `table/_SUCCESS`. */
export function succeededFolder(path: string): string | undefined {
  if (path !== '_SUCCESS' && !path.endsWith('/_SUCCESS')) return undefined
  return path.slice(0, -'_SUCCESS'.length)
}

/** Stands where scratch files, which are no versions and part of no commit, would have their version. */
export const NO_VERSION: VersionId = Object.freeze({ commit: '0'.repeat(32) as CommitId, seq: 0 })

/** Whether this is the id of something: not that of a scratch file. */
export function isVersion(version: VersionId): boolean {
  return version.seq !== NO_VERSION.seq || version.commit !== NO_VERSION.commit
}
