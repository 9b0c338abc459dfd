import type { BatchConfig, Clock, Database, Log } from '../../kernel/index.ts'
import type { Content } from '../content/index.ts'
import type { CommitId } from '../model/index.ts'
import type { NodeStore } from '../tree/index.ts'
import type { ChangeSignal } from './events.ts'
import type { RepoRoles } from './repo-roles.ts'
import type { TreeWork } from './tree-work.ts'

/** What the parts of this folder share. */
export interface HistoryContext {
  readonly db: Database
  readonly content: Content
  /** For reading; all trees are written by `treeWork`. */
  readonly nodes: NodeStore
  readonly treeWork: TreeWork
  readonly clock: Clock
  readonly log: Log
  readonly batch: BatchConfig
  /** Whether S3 shows version ids on new branches from the beginning, or once a client enables versioning. */
  readonly versioned: boolean
  readonly signal: ChangeSignal
  readonly roles: RepoRoles
  readonly newCommitId: () => CommitId
}
