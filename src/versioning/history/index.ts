export { Batches } from './batches.ts'
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
  writableBranch,
} from './branches.ts'
export { getCommit, listCommits, provenanceOf, subvenanceOf } from './commits.ts'
export type { HistoryContext } from './context.ts'
export { DerivedBranches } from './derived.ts'
export { discardRefused } from './discard.ts'
export { ChangeSignal } from './events.ts'
export { Finisher } from './finisher.ts'
export { flushCommits } from './flush.ts'
export { findCommit, resolveRevision, resolveTarget } from './resolve.ts'
export { restoreBranch } from './restore.ts'
export { versioningMigrations } from './schema.ts'
export { openBatch, sealOpenBatch } from './seal.ts'
export { type ChangeOutcome, type ChangeRequest, Staging } from './staging.ts'
export { startTreeWork, type TreeWork } from './tree-work.ts'
export { BranchUploads } from './uploads.ts'
export { Views } from './views.ts'
