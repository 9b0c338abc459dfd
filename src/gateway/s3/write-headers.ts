import type { BranchAddress, CommitId } from '../../versioning/index.ts'
import type { ReplyHeaders } from './operation.ts'

/** Which batch a write went into: it is open, or was a moment ago. */
export function commitHeaders(at: BranchAddress, commit: CommitId): ReplyHeaders {
  return { 'x-sluice-repo': at.repo, 'x-sluice-branch': at.branch, 'x-sluice-commit': commit }
}
