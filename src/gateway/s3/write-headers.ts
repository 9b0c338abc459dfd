import { type BranchAddress, type ChangeResult, type CommitId, NO_VERSION } from '../../versioning/index.ts'
import { shownVersion } from './entry-headers.ts'
import type { FoundEntry } from './find-entry.ts'
import type { ReplyHeaders } from './operation.ts'

/** The id of the version that a write made. */
export function newVersionHeader(result: Pick<ChangeResult, 'version' | 'unversioned'>): ReplyHeaders {
  const id = shownVersion(result, result)
  return id === undefined ? {} : { 'x-amz-version-id': id }
}

/** Which version was copied. */
export function copiedVersionHeader({ entry, info }: FoundEntry): ReplyHeaders {
  const id = shownVersion(entry, info)
  return id === undefined ? {} : { 'x-amz-copy-source-version-id': id }
}

/** Which batch a write went into: it is open, or was a moment ago. Scratch files go into none. */
export function commitHeaders(at: BranchAddress, commit: CommitId): ReplyHeaders {
  if (commit === NO_VERSION.commit) return { 'x-sluice-repo': at.repo, 'x-sluice-branch': at.branch }
  return { 'x-sluice-repo': at.repo, 'x-sluice-branch': at.branch, 'x-sluice-commit': commit }
}

/** The id of the version that was read or tagged, as GET says it. */
export function versionHeader({ entry, info }: FoundEntry): ReplyHeaders {
  const id = shownVersion(entry, info)
  return id === undefined ? {} : { 'x-amz-version-id': id }
}
