export { setBatchRules } from './batch-store.ts'
export { Batches } from './batches.ts'
export { StoredBranchSettings } from './branch-settings.ts'
export {
  controlReason,
  createRepo,
  deleteBranch,
  deleteRepo,
  ensureBranch,
  getBranch,
  getRepo,
  listBranches,
  readRepos,
} from './branches.ts'
export { getCommit, listCommits, provenanceOf, subvenanceOf } from './commits.ts'
export type { HistoryContext } from './context.ts'
export { DerivedBranches } from './derived.ts'
export { discardRefused } from './discard.ts'
export { ChangeSignal } from './events.ts'
export { Finisher } from './finisher.ts'
export { flushCommits } from './flush.ts'
export { measureHistory } from './metrics.ts'
export { OpenCommits } from './open-commits.ts'
export { renamedBefore, renameFile } from './rename.ts'
export { RepoRoles } from './repo-roles.ts'
export { findCommit, resolveRevision, resolveTarget } from './resolve.ts'
export { restoreBranch } from './restore.ts'
export { versioningMigrations } from './schema.ts'
export { StoredSharing } from './sharing.ts'
export { type ChangeOutcome, type ChangeRequest, type GroupWritten, Staging } from './staging.ts'
export { Sweeper } from './sweeper.ts'
export { VersionTags } from './tags.ts'
export { BranchTransactions } from './transactions.ts'
export { startTreeWork, type TreeWork } from './tree-work.ts'
export { BranchUploads } from './uploads.ts'
export { StoredVersions } from './versions.ts'
export { Views } from './views.ts'
