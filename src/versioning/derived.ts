import type { Transaction } from '../kernel/index.ts'
import type {
  BranchAddress,
  BranchName,
  CommitFailure,
  CommitId,
  CommitRef,
  Origin,
  Path,
  RepoName,
  TreeHash,
} from './model/index.ts'

/** What pipelines need of branches that they make commits on. `tx` composes with the caller's own rows in one transaction. */
export interface Derived {
  /**
   * Makes `output` (repo and branch, created where missing) the output branch of `pipeline`, computed from `inputs`; called again
   * it replaces the inputs. `owner`, `repo`: of the output's repo, as for `createBranch`. Where inputs have heads (or open propagation
   * commits), an output commit is opened at once.
   * Throws RepoNotFound, BranchNotFound, Cycle, ReadOnly (the branch is another pipeline's), InUse (it holds a user's data).
   */
  define(
    tx: Transaction,
    input: {
      output: BranchAddress
      pipeline: string
      inputs: readonly BranchAddress[]
      owner?: string
      repo?: 'new' | 'existing'
    },
  ): Promise<{ readonly commit?: CommitId }>
  /** The branch is ordinary again (its commits stay). Open commits on it fail with kind `stopped`. */
  undefine(tx: Transaction, output: BranchAddress): Promise<void>
  /** Open output commits of all derived branches, oldest first, each with what it is computed from. */
  listOpen(): Promise<readonly OpenOutput[]>
  /** While paused, no output commits are opened on it; it stays read-only. On the way back one is opened if its inputs moved. */
  pause(tx: Transaction, output: BranchAddress, paused: boolean): Promise<{ readonly commit?: CommitId }>
  /** Opens a further output commit on the same inputs as `like` (rerun). */
  reopen(tx: Transaction, like: CommitId): Promise<CommitId>
  /**
   * Finishes an open output commit with this tree; the head moves forward to it if it is newer. If nothing changed it is finished
   * all the same. Throws BranchMoved if the commit is not open any more.
   */
  finish(tx: Transaction, commit: CommitId, root: TreeHash): Promise<void>
  /** Fails it, and every open commit downstream as unrunnable. Returns those. Nothing happens if it is not open any more. */
  fail(tx: Transaction, commit: CommitId, failure: CommitFailure): Promise<readonly CommitRef[]>
  /**
   * Opens a failed output commit again: its tree is there, and what stood in its way is out of it. What failed only because of it is
   * open again too; where a branch downstream has gone on since, a further commit is opened on it. `newer`: nothing happened, since a
   * later commit of the branch ended well or is on its way. Throws BranchMoved if it has not failed, or its branch is no pipeline's.
   */
  revive(tx: Transaction, commit: CommitId): Promise<Revival>
  /** Stores files (content durable and published, tree nodes written) as the tree of one datum. */
  storeOutput(files: readonly OutputFile[], origin: Origin, hold?: TreeHold): Promise<DatumOutput>
  /**
   * Keeps trees that no row refers to yet from being collected, from when they are made (by `storeOutput`, `union`) until `end`: call it
   * when rows refer to what is to stay. What a process held is gone with it.
   */
  hold(): TreeHold
  /**
   * The tree of `commit` made of the outputs of all its datums. Paths that are in `base` with the same content and origin keep their
   * version. `conflict`: the first paths that two datums wrote, with both.
   */
  union(
    commit: CommitId,
    outputs: readonly TreeHash[],
    base: TreeHash,
    hold?: TreeHold,
  ): Promise<
    | { readonly kind: 'ok'; readonly root: TreeHash; readonly files: number; readonly sizeBytes: number }
    | {
        readonly kind: 'conflict'
        readonly paths: readonly { readonly path: Path; readonly datums: readonly [string, string] }[]
      }
  >
}

/** What came of opening a failed output commit again; `commits`: those that are open again, itself first. */
export type Revival =
  | { readonly kind: 'revived'; readonly commits: readonly CommitRef[] }
  | { readonly kind: 'newer'; readonly commit: CommitId; readonly state: 'open' | 'sealed' | 'finished' }

/** A commit that a pipeline has yet to compute. */
export interface OpenOutput {
  readonly commit: CommitId
  readonly repo: RepoName
  readonly branch: BranchName
  readonly pipeline: string
  readonly ordinal: number
  readonly startedMs: number
  /** The newest finished commit of the branch before this one: what the output is compared with. */
  readonly base?: { readonly commit: CommitId; readonly root: TreeHash }
  /** One for each input branch of the pipeline; `root` once that commit is finished. An input branch without any commit is absent. */
  readonly inputs: readonly {
    readonly repo: RepoName
    readonly branch: BranchName
    readonly commit: CommitId
    readonly state: 'open' | 'sealed' | 'finished' | 'failed'
    readonly root: TreeHash
  }[]
}

/** Trees that are kept while no row refers to them. */
export interface TreeHold {
  pin(...roots: readonly TreeHash[]): void
  end(): void
}

/** One file that user code left in `/pfs/out`. */
export interface OutputFile {
  readonly path: Path
  /** Where its bytes are now. */
  readonly diskPath: string
}

/** What one datum wrote, or what all of a job did, as a tree. */
export interface DatumOutput {
  readonly root: TreeHash
  readonly files: number
  readonly sizeBytes: number
}
