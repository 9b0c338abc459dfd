import type { Backups } from './backups.ts'
import {
  Batches,
  BranchFiles,
  BranchMerges,
  BranchMoves,
  BranchTransactions,
  BranchUploads,
  DerivedBranches,
  Finisher,
  type GroupWritten,
  type HistoryContext,
  KeptVersions,
  type Landing,
  OpenCommits,
  Staging,
  StoredBranchSettings,
  StoredCommitTags,
  StoredHistory,
  StoredSharing,
  StoredVersions,
  Sweeper,
  VersionTags,
  Views,
} from './history/index.ts'
import { type ImportPlace, StoredImports } from './imports/index.ts'
import type { StoreMaintenance } from './maintenance/index.ts'
import type { Retention } from './retention.ts'
import { createTrees } from './tree/index.ts'

/** What is made before the engine, from the store's files. */
export interface EngineParts {
  readonly context: HistoryContext
  readonly imports: ImportPlace
  readonly backups: Backups
  readonly retention: Retention
  readonly maintenance: StoreMaintenance
}

/** Puts the parts of the history together: who tells whom that something was written, sealed or dropped. */
export function wireHistory(context: HistoryContext, importPlace: ImportPlace) {
  const finisher = new Finisher(context)
  const batches = new Batches({
    rules: context.batch,
    clock: context.clock,
    log: context.log,
    seal: (at) => open.sealIdle(at),
  })
  const open = new OpenCommits(context, batches, finisher)
  const onWritten = (group: GroupWritten) => {
    batches.written(group)
    finisher.written(group)
  }
  const staging = new Staging(context, onWritten)
  const views = new Views(context)
  const kept = new KeptVersions(context.db, views)
  const tags = new VersionTags(context.db, kept)
  const sharing = new StoredSharing(context.db, kept)
  const sweeper = new Sweeper(context, () => batches.forgetQuiet())
  const landing: Landing = {
    context,
    waitForCommit: (commit) => open.waitFor(commit),
    sealed: (at, branchId) => open.sealed(at, branchId),
  }
  return {
    batches,
    open,
    staging,
    views,
    tags,
    sharing,
    sweeper,
    finisher,
    content: context.content,
    trees: createTrees(context.nodes),
    roles: context.roles,
    lookingBack: new StoredHistory(context, views),
    versions: new StoredVersions({
      context,
      staging,
      views,
      onWritten,
      onSealed: landing.sealed,
      finished: landing.waitForCommit,
    }),
    settings: new StoredBranchSettings(context.db),
    files: new BranchFiles({ context, staging, tags, sharing }),
    uploads: new BranchUploads(context, staging, batches, { tags, sharing }),
    derived: new DerivedBranches(context),
    merges: new BranchMerges(landing),
    moves: new BranchMoves({ landing, views, tags, sharing }),
    commitTags: new StoredCommitTags(context),
    imports: new StoredImports({ ...importPlace, context, landing, settle: (at) => open.settle(at) }),
    transactions: new BranchTransactions(context, {
      settle: (at) => open.settle(at),
      waitForCommit: landing.waitForCommit,
      sealed: landing.sealed,
      dropped: () => sweeper.wake(),
    }),
  }
}

export type History = ReturnType<typeof wireHistory>
