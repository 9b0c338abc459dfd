import type { Backups } from './backups.ts'
import type { BranchSettings, ObjectTags, Sharing } from './beside.ts'
import type { ChangeResult, DeleteResult, FileWrite, RenameInput, WriteConditions } from './changes.ts'
import type { CommitTags } from './commit-tags.ts'
import type { ContentStore } from './content-store.ts'
import type { Derived } from './derived.ts'
import type { FlushEvent } from './flush.ts'
import type { Imports } from './imports.ts'
import type { DiffQuery, DiffSide, LogQuery, LookingBack } from './looking-back.ts'
import type { Maintenance } from './maintenance.ts'
import type { Merges } from './merges.ts'
import type {
  Attributes,
  BatchRules,
  Branch,
  BranchAddress,
  CannedAccess,
  Checksum,
  Commit,
  CommitId,
  CommitRef,
  ConditionFailed,
  Entry,
  FileEntry,
  Path,
  Provenance,
  Repo,
  RepoInfo,
  RepoName,
  Tag,
  Target,
  TargetInfo,
} from './model/index.ts'
import type { Moves } from './moves.ts'
import type { Retention } from './retention.ts'
import type { Roles } from './roles.ts'
import type { Transactions } from './transactions.ts'
import type { Difference, ListQuery, ListResult, Trees } from './trees.ts'
import type { Uploads } from './uploads.ts'
import type { FileVersions } from './versions.ts'

/**
 * The versioning engine. Methods throw the errors of `model/errors.ts`, StorageFull and Corrupt; what a caller chooses by is returned
 * as a tagged value. `repo@revision` takes a branch (its head: finished commits only), a tag, a commit id or unambiguous prefix of
 * 8 or more digits (the repo's own commits first); each with `@{time}` (the newest commit of its first-parent history that had become
 * the head by then; `{time}` alone is of the default branch), and then any number of `^` and `^N`.
 */
export interface Versioning {
  readonly content: ContentStore
  readonly trees: Trees
  readonly uploads: Uploads
  readonly derived: Derived
  readonly versions: FileVersions
  readonly tags: ObjectTags
  readonly sharing: Sharing
  readonly settings: BranchSettings
  readonly transactions: Transactions
  readonly lookingBack: LookingBack
  readonly moves: Moves
  readonly merges: Merges
  readonly commitTags: CommitTags
  readonly roles: Roles
  readonly backups: Backups
  readonly maintenance: Maintenance
  readonly retention: Retention
  readonly imports: Imports

  /** `owner`: the canonical id of the user who then has that role; left out it is the root user. */
  createRepo(name: RepoName, input?: { description?: string; owner?: string }): Promise<Repo>
  getRepo(name: RepoName): Promise<RepoInfo>
  listRepos(): Promise<readonly RepoInfo[]>
  /** With everything in it. Throws InUse if a pipeline reads or writes it. */
  deleteRepo(name: RepoName): Promise<void>

  /**
   * Creates the branch, and its repo where it is missing. `at`: a commit of the repo to start from. `existing` if it was there
   * (nothing changes; BranchExists if `at` was given). `owner`: of the repo, if it is made. `repo`: what the caller relied on when it
   * decided that this may be done; throws RepoExists, RepoNotFound if that has changed.
   */
  createBranch(
    at: BranchAddress,
    input?: { from?: CommitId; bucket?: string; owner?: string; repo?: 'new' | 'existing' },
  ): Promise<{ kind: 'created' | 'existing'; branch: Branch }>
  getBranch(at: BranchAddress): Promise<Branch>
  listBranches(repo?: RepoName): Promise<readonly Branch[]>
  /** Throws BranchNotEmpty unless `force`; the repo goes with its last branch. InUse if a pipeline reads or writes it. */
  deleteBranch(at: BranchAddress, input?: { force?: boolean }): Promise<void>
  /**
   * Points the branch at another finished commit of its repo, whatever the size. Nothing is lost: what it held, its open batch included, is
   * the commit `left` and those before it, which stay readable by their ids until they are collected. `expect`: the commit that must be its
   * newest. `unchanged` if it is there already. Throws BranchMoved (of `expect`), CommitNotFound, CommitUnavailable, ReadOnly.
   */
  moveBranch(
    at: BranchAddress,
    to: CommitId,
    input?: { expect?: CommitId; author?: string },
  ): Promise<{ kind: 'moved' | 'unchanged'; branch: Branch; left?: CommitId }>
  /**
   * Protected, only merges change the branch: all other writes, restore, move and deletion are refused. What its batch holds is made a
   * commit. Throws ReadOnly for the output of a pipeline.
   */
  protectBranch(at: BranchAddress, isProtected: boolean): Promise<Branch>

  /**
   * What a bucket's last label and first part mean (`name` = branch, transaction, commit id or prefix of this or another repo). Throws
   * RepoNotFound, BranchNotFound, CommitNotFound, AmbiguousCommit, CommitUnavailable.
   */
  resolve(repo: RepoName, name: string | undefined): Promise<Target>
  /** For response headers. */
  describe(target: Target): Promise<TargetInfo>
  /**
   * `revision` as above. Throws CommitNotFound, AmbiguousCommit. The commit may be in any state. `settle` first seals the batch of a
   * branch (not a pinned one) and waits until it is finished, so that the head holds all that was acknowledged: for commands that
   * compare or move a branch.
   */
  resolveRevision(repo: RepoName, revision: string, options?: { settle?: boolean }): Promise<CommitId>
  /** By full id or unambiguous prefix, in any repo. */
  findCommit(id: string): Promise<CommitRef>

  /** Of a branch: its live view. Throws PathNotFound; CommitUnavailable. */
  stat(target: Target, path: Path): Promise<FileEntry>
  /** `stat` and `describe` of one and the same view, for less than the price of both. */
  find(target: Target, path: Path): Promise<{ readonly entry: FileEntry; readonly info: TargetInfo }>
  list(target: Target, query: ListQuery): Promise<ListResult>

  /**
   * Says that a body for this branch is being received, until the returned function is called: a batch is not sealed as idle while
   * a write is in flight. Never throws; safe to call for a branch that does not exist.
   */
  writing(at: BranchAddress): () => void
  /**
   * Says that a job has deleted files which it may be about to write again: the batch waits longer for it, until `_SUCCESS` is written.
   * Never throws.
   */
  rewriting(at: BranchAddress): void
  /** A job has just made a folder in this branch: as long as its batch holds nothing else, it waits for what is written there. */
  preparing(at: BranchAddress): void
  /** When a batch of the branch is sealed by itself: its own rules, and the server's for the rest. */
  batchRules(at: BranchAddress): Required<BatchRules>
  /** In place of its own rules before; at once, also for an open batch. Throws InvalidInput, ReadOnly, BranchNotFound. */
  setBatchRules(at: BranchAddress, rules: BatchRules): Promise<void>
  /** Durable and visible when it resolves. Throws ReadOnly, ConditionFailed, BranchNotFound, StorageFull. */
  put(at: BranchAddress, write: FileWrite): Promise<ChangeResult>
  delete(
    at: BranchAddress,
    path: Path,
    input?: { conditions?: WriteConditions; author?: string },
  ): Promise<DeleteResult>
  /** Up to 1,000 in one transaction; one result per path, in order. */
  deleteMany(
    at: BranchAddress,
    deletes: readonly { path: Path; conditions?: WriteConditions }[],
    author?: string,
  ): Promise<readonly ({ kind: 'deleted'; result: DeleteResult } | { kind: 'refused'; error: ConditionFailed })[]>
  /** Never moves bytes. `entry` is what `stat` gave of the source. */
  copy(
    at: BranchAddress,
    path: Path,
    input: {
      source: Entry
      attributes: Attributes
      checksum?: Checksum
      conditions?: WriteConditions
      author?: string
      tags?: readonly Tag[]
      access?: CannedAccess
    },
  ): Promise<ChangeResult>
  /**
   * Moves a file to another path: a PUT there and a DELETE here, both or neither, with its time and tags. Never moves bytes. Throws
   * BranchMoved (look again), ConditionFailed, RenameTokenUsed, ReadOnly.
   */
  rename(at: BranchAddress, input: RenameInput): Promise<ChangeResult>
  /** Whether this rename was done under this token within a day. Throws RenameTokenUsed if another one was. */
  renamed(at: BranchAddress, rename: { token: string; from: Path; path: Path }): Promise<boolean>

  getCommit(repo: RepoName, id: CommitId): Promise<Commit>
  /** One page of a log, newest first. Throws CommitNotFound if `before` is no commit of the repo (any more). */
  listCommits(repo: RepoName, query?: LogQuery): Promise<readonly Commit[]>
  provenance(commit: CommitId): Promise<readonly Provenance[]>
  /** The same of a page of commits, by one statement; without those that were computed from nothing. */
  provenances(commits: readonly CommitId[]): Promise<ReadonlyMap<CommitId, readonly Provenance[]>>
  /** Everything computed from it, in topological order. */
  subvenance(commit: CommitId): Promise<readonly Provenance[]>

  /** Pins the open batch, or opens one: no idle, age or size rule until `finishCommit`. */
  startCommit(at: BranchAddress, input?: { message?: string; author?: string }): Promise<Commit>
  /** Seals the branch's open batch and waits until it is finished. Throws NothingToFinish. */
  finishCommit(at: BranchAddress, input?: { message?: string }): Promise<Commit>
  /**
   * Seals an open batch if there is one (unless `force` not one that is pinned or that a job holds); returns the newest commit. That may be
   * open still: then somebody holds it.
   */
  seal(at: BranchAddress, input?: { force?: boolean }): Promise<CommitRef | undefined>
  /** Resolves when it is finished or failed. */
  waitForCommit(commit: CommitId, signal?: AbortSignal): Promise<Commit>

  /** Makes the tree of `to` the head by one new commit; the open batch is sealed first. */
  restore(at: BranchAddress, to: CommitId, input?: { author?: string; message?: string }): Promise<Commit>
  /**
   * Between finished commits, which may be of different repos, and what open transactions hold now; in the order of the paths. Throws
   * CommitNotFound, CommitUnavailable, TransactionNotFound.
   */
  diff(before: DiffSide, after: DiffSide, query?: DiffQuery): AsyncIterable<Difference>

  /**
   * Waits until everything that follows from these commits has ended; ends by itself with a verdict, also on failure and at the
   * time limit. The first event names what is awaited.
   */
  flush(
    commits: readonly CommitRef[],
    options?: { timeoutMs?: number; signal?: AbortSignal },
  ): AsyncIterable<FlushEvent>

  /** Called after every commit, head move or finished output; only to wake somebody up: it carries nothing and may be missed. */
  onChange(listener: () => void): () => void
  /** True while the store refuses writes because it is full. For health. */
  readonly full: boolean
  close(): Promise<void>
}
