import type { BatchConfig, Clock, Database, Log } from '../../kernel/index.ts'
import type { Content } from '../content/index.ts'
import type { CommitId } from '../model/index.ts'
import type { NodeStore, TreeSettings } from '../tree/index.ts'
import type { ChangeSignal } from './events.ts'
import type { Forgetting } from './forgetting.ts'
import type { Leases } from './leases.ts'
import type { RemovalGate } from './removal-gate.ts'
import type { RepoRoles } from './repo-roles.ts'
import type { TreeWork } from './tree-work.ts'

/** What the parts of this folder share. */
export interface HistoryContext {
  readonly db: Database
  readonly content: Content
  /** For reading; trees are written by `treeWork`. */
  readonly nodes: NodeStore
  readonly treeWork: TreeWork
  /** For the few changes that are merged within a transaction. */
  readonly treeSettings: TreeSettings
  readonly clock: Clock
  readonly log: Log
  readonly batch: BatchConfig
  /** Whether S3 shows version ids on new branches from the beginning, or once a client enables versioning. */
  readonly versioned: boolean
  readonly signal: ChangeSignal
  readonly roles: RepoRoles
  /** Trees that no row refers to yet, or any more: whoever makes one begins a lease before it reads what it starts from. */
  readonly leases: Leases
  /** Nodes and packs are removed only through it: never while the store is copied. */
  readonly gate: RemovalGate
  /** A purge changes what never changes else: whoever remembers trees or changes forgets them then. */
  readonly forgetting: Forgetting
  readonly newCommitId: () => CommitId
}
