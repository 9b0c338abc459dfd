import type { Readable } from 'node:stream'
import type { Role, Transaction } from '../kernel/index.ts'
import type { BranchSettings, ObjectTags, Sharing } from './beside.ts'
import type {
  Attributes,
  BatchRules,
  Branch,
  BranchAddress,
  BranchName,
  CannedAccess,
  Checksum,
  Commit,
  CommitFailure,
  CommitId,
  CommitRef,
  Content,
  Entry,
  FileEntry,
  Origin,
  Path,
  Provenance,
  Repo,
  RepoInfo,
  RepoName,
  Tag,
  Target,
  TargetInfo,
  TransactionInfo,
  TreeHash,
  VersionId,
} from './model/index.ts'

export type { BranchAddress } from './model/index.ts'

/** `end` is exclusive. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** Bytes that are durable but that nothing refers to yet. Whoever holds one hands it to a change or lets it go: no clean-up. */
export interface StagedContent {
  readonly size: number
  readonly content: Content
  /** What the transaction that uses it must publish; opaque outside `content/`. */
  readonly chunks: readonly ChunkPlace[]
}

export interface ChunkPlace {
  readonly sha256: Buffer
  readonly pack: number
  readonly offset: number
  readonly length: number
}

/** Takes one body of any size in constant memory. Exactly one of `finish` and `abort` ends it. */
export interface ContentWriter {
  /** Keeps the buffer until the promise resolves; waits while the disk is behind. Throws StorageFull. */
  write(bytes: Buffer): Promise<void>
  /** Resolves when all is durable. */
  finish(): Promise<StagedContent>
  abort(): Promise<void>
}

export interface ContentStore {
  /** Stores a whole body of at most 1 MiB; `sha256` saves hashing it again where the caller has verified it. */
  putBytes(bytes: Buffer, sha256?: Buffer): Promise<StagedContent>
  /** `expectedBytes` (from Content-Length) decides whether it gets a pack of its own. */
  writer(options?: { readonly expectedBytes?: number }): ContentWriter
  /** Every chunk is checked against its hash before any byte of it is passed on; Corrupt otherwise. */
  read(content: Content, range?: ByteRange): Readable
  /** As `read`, without copying: a piece is the caller's only until it asks for the next one, and is not to be written to. */
  lend(content: Content, range?: ByteRange): AsyncIterable<Buffer>
  /** For bodies known to be small (at most 1 MiB is read at once). */
  readBytes(content: Content, range?: ByteRange): Promise<Buffer>
  /** Sizes and checksums of the parts of a multipart object, in order of number; undefined if it is not one. */
  parts(content: Content): Promise<readonly StoredPart[] | undefined>
}

export interface StoredPart {
  readonly number: number
  readonly size: number
  readonly md5: string
  readonly checksum?: string
}

/** Conditions as HTTP has them, decided inside the metadata transaction. ETags without quotes; `*` is any file at all. */
export interface WriteConditions {
  readonly ifNoneMatch?: string
  readonly ifMatch?: string
  /** Rename only: of what is at the new path. */
  readonly ifModifiedSinceMs?: number
  readonly ifUnmodifiedSinceMs?: number
  /** Delete only. */
  readonly ifMatchSize?: number
  readonly ifMatchModifiedMs?: number
}

export interface FileWrite {
  readonly path: Path
  readonly staged: StagedContent
  readonly etag: string
  readonly attributes: Attributes
  readonly checksum?: Checksum
  readonly conditions?: WriteConditions
  /** Display name of the key that writes; kept in the commit's authors. */
  readonly author?: string
  /** Written in the same transaction. */
  readonly tags?: readonly Tag[]
  readonly access?: CannedAccess
}

export interface ChangeResult {
  readonly version: VersionId
  /** The batch that the change is part of. */
  readonly commit: CommitId
  readonly modifiedMs: number
  /** Set where versioning was never enabled: S3 shows no version id. */
  readonly unversioned?: true
}

export interface DeleteResult {
  readonly version: VersionId
  readonly commit: CommitId
  /** False if there was nothing: it is a version all the same. */
  readonly existed: boolean
  /** As of a ChangeResult. */
  readonly unversioned?: true
}

export interface ListQuery {
  readonly prefix?: string
  /** Any non-empty string. */
  readonly delimiter?: string
  /** Exclusive: keys and common prefixes at or before it (in UTF-8 order) are not shown. */
  readonly after?: string
  /** At most 1,000. */
  readonly limit: number
}

/** Entries and prefixes are each in UTF-8 byte order, and together at most `limit`. */
export interface ListResult {
  readonly entries: readonly FileEntry[]
  readonly prefixes: readonly string[]
  /** Set when there is more: the last key or common prefix shown, to pass as `after`. */
  readonly next?: string
}

export interface UploadInfo {
  readonly id: string
  readonly path: Path
  readonly attributes: Attributes
  readonly createdMs: number
  readonly checksumAlgorithm?: Checksum['algorithm']
  readonly checksumType?: Checksum['type']
  readonly author?: string
  /** The canonical id of the author. */
  readonly initiator?: string
  /** The object gets them. */
  readonly tags?: readonly Tag[]
  readonly access?: CannedAccess
}

export interface PartInfo {
  readonly number: number
  readonly size: number
  /** Hex MD5: the part's ETag. */
  readonly md5: string
  readonly modifiedMs: number
  readonly checksum?: Checksum
}

/** Multipart uploads of a branch. Nothing of them is visible until `complete`. */
export interface Uploads {
  create(
    at: BranchAddress,
    input: Pick<
      UploadInfo,
      'path' | 'attributes' | 'checksumAlgorithm' | 'checksumType' | 'author' | 'initiator' | 'tags' | 'access'
    >,
  ): Promise<UploadInfo>
  /** Throws UploadNotFound, also if the upload is of another branch or path. */
  get(at: BranchAddress, path: Path, id: string): Promise<UploadInfo>
  /** A part sent again replaces the one before. Durable when it resolves. */
  putPart(
    at: BranchAddress,
    path: Path,
    id: string,
    part: { number: number; staged: StagedContent; md5: string; checksum?: Checksum },
  ): Promise<PartInfo>
  listParts(
    at: BranchAddress,
    path: Path,
    id: string,
    page: { after: number; limit: number },
  ): Promise<{ parts: readonly PartInfo[]; truncated: boolean }>
  list(
    at: BranchAddress,
    query: { prefix?: string; after?: { path: string; id?: string }; limit: number },
  ): Promise<{ uploads: readonly UploadInfo[]; truncated: boolean }>
  /**
   * Makes the object of the named parts. `checksum`, where given, is what the object gets (the caller computed it).
   * Repeated with the same parts it answers as the first time. Throws InvalidPart, InvalidPartOrder, PartTooSmall.
   */
  complete(
    at: BranchAddress,
    path: Path,
    id: string,
    input: {
      parts: readonly { number: number; etag: string }[]
      checksum?: Checksum
      conditions?: WriteConditions
    },
  ): Promise<ChangeResult & { readonly etag: string; readonly size: number; readonly checksum?: Checksum }>
  abort(at: BranchAddress, path: Path, id: string): Promise<void>
}

/** What S3 calls a version by; `null` is what was there before versioning was enabled. */
export type VersionName = VersionId | 'null'

/** One version of a file as S3 shows it. */
export interface FileVersion {
  readonly path: Path
  readonly version: VersionName
  readonly isLatest: boolean
  readonly modifiedMs: number
  /** Null: a delete marker. */
  readonly entry: FileEntry | null
}

export interface VersionQuery {
  readonly prefix?: string
  /** Any non-empty string. */
  readonly delimiter?: string
  /**
   * Exclusive. Without a version: all versions of this path, and common prefixes at or before it, are passed over. The version may
   * have been deleted meanwhile.
   */
  readonly after?: { readonly path: string; readonly version?: VersionName }
  /** At most 1,000. */
  readonly limit: number
}

/** By path in UTF-8 byte order, of each path the latest first, then the newest first; together with the prefixes at most `limit`. */
export interface VersionPage {
  readonly versions: readonly FileVersion[]
  readonly prefixes: readonly string[]
  /** Set when there is more: the last that is shown, to pass as `after`. */
  readonly next?: { readonly path: string; readonly version?: VersionName }
}

/** What is to be deleted: a version for good, or without one the file, which leaves a delete marker. */
export interface VersionDelete {
  readonly path: Path
  readonly version?: VersionName
  /** On the version, where one is named. */
  readonly conditions?: WriteConditions
}

export type VersionDeleteResult =
  /** The version is not shown any more. If it was the latest, what was before it is there again. */
  | { readonly kind: 'hidden'; readonly marker: boolean; readonly wasLatest: boolean; readonly unversioned?: true }
  /** There is no such version. */
  | { readonly kind: 'absent' }
  /** Without a version: the file was deleted. */
  | { readonly kind: 'deleted'; readonly result: DeleteResult }
  | { readonly kind: 'refused'; readonly error: ConditionFailedLike }

/**
 * The versions of files as S3 has them: every acknowledged PUT and DELETE of a branch, and of the branches it was made from up to there.
 * A commit shows what there was when it ended. Of a pipeline's output only the current versions are listed.
 */
export interface FileVersions {
  /** A page is one consistent view. */
  list(target: Target, query: VersionQuery): Promise<VersionPage>
  /** Throws VersionNotFound. */
  find(
    target: Target,
    path: Path,
    version: VersionName,
  ): Promise<{ readonly found: FileVersion; readonly info: TargetInfo }>
  /** The delete marker that is the latest version of a path; undefined where there is none. */
  marker(target: Target, path: Path): Promise<FileVersion | undefined>
  /**
   * Up to 1,000, in one transaction; one result each, in order. Finished commits do not change: a deleted version is hidden from now
   * on, and what comes back if it was the latest comes back by a change of its own, which is no new version. Throws ReadOnly.
   */
  delete(at: BranchAddress, deletes: readonly VersionDelete[], author?: string): Promise<readonly VersionDeleteResult[]>
  /** Whether S3 shows version ids. Throws RepoNotFound, BranchNotFound, CommitNotFound. */
  state(target: Target): Promise<'enabled' | 'unset'>
  /**
   * From now on ids are shown; what is there becomes the `null` version of its path. Seals the open batch, a pinned one too. Nothing
   * happens if it is enabled already. Throws ReadOnly.
   */
  enable(at: BranchAddress): Promise<void>
}

export interface RenameInput {
  /** As `find` gave it: if another version has taken its place since, BranchMoved is thrown and nothing is done. */
  readonly source: FileEntry
  readonly path: Path
  /** Of what is at the new path now. */
  readonly conditions?: WriteConditions
  /** Asked again with the same token within a day, it answers as the first time and does nothing. */
  readonly token?: string
  readonly author?: string
}

/** Who may do what on which repo, by the canonical ids of users. Who these users are, this floor does not know. */
export interface Roles {
  /** Throws RepoNotFound. */
  list(repo: RepoName): Promise<readonly { readonly user: string; readonly role: Role }[]>
  /** By repo. */
  of(user: string): Promise<ReadonlyMap<string, Role>>
  /** Undefined takes the role away. Throws RepoNotFound. */
  set(repo: RepoName, user: string, role: Role | undefined): Promise<void>
  /** Takes all roles of a user away. */
  forget(user: string): Promise<void>
  /** Who made the repo; undefined: the root user. Throws RepoNotFound. */
  ownerOf(repo: RepoName): Promise<string | undefined>
  /** Called after every change of a role, also by a repo that was made or removed, before that is answered. */
  onChange(listener: () => void): () => void
}

/**
 * Open commits of one writer each, isolated from their branch until they are finished on it. A transaction is addressed as a branch
 * `tx-<name>.<branch>` (see `transactionBranch`), and read and written as one; it is never listed as one.
 */
export interface Transactions {
  /**
   * On what the branch holds now: its batch is sealed first, unless somebody holds that open. `existing` if it was open already. Throws
   * RepoNotFound, BranchNotFound, ReadOnly, TransactionLimit.
   */
  open(
    at: BranchAddress,
    input?: { message?: string; author?: string },
  ): Promise<{ kind: 'created' | 'existing'; transaction: TransactionInfo }>
  /** Throws TransactionNotFound. */
  get(at: BranchAddress): Promise<TransactionInfo>
  /** Those that are open on a branch, in the order they were opened. */
  list(onto: BranchAddress): Promise<readonly TransactionInfo[]>
  /**
   * Applies it to its branch as one commit, all or nothing; visible there when it resolves. Without uploads that were not completed and
   * without scratch files. Asked again within a day, with the same message, it answers with the same commit. Throws
   * TransactionConflict (it stays open), TransactionNotFound, BranchMoved, ReadOnly.
   */
  finish(
    at: BranchAddress,
    input?: { message?: string; author?: string },
  ): Promise<CommitRef & { readonly branch: BranchName }>
  /** Removes it with everything written in it. Throws TransactionNotFound. */
  abort(at: BranchAddress): Promise<void>
}

export type Difference =
  | { readonly kind: 'added'; readonly path: Path; readonly after: FileEntry }
  | { readonly kind: 'deleted'; readonly path: Path; readonly before: FileEntry }
  | { readonly kind: 'changed'; readonly path: Path; readonly before: FileEntry; readonly after: FileEntry }

/** Immutable, content-addressed maps path → entry. */
export interface Trees {
  get(root: TreeHash, path: Path): Promise<FileEntry | undefined>
  list(root: TreeHash, query: ListQuery): Promise<ListResult>
  /** All entries below a prefix, in UTF-8 byte order. */
  walk(root: TreeHash, prefix?: string): AsyncIterable<FileEntry>
  /**
   * Differences from `before` to `after` in path order; equal subtrees are not visited. Entries that differ only in version,
   * time or origin do not count, unless `strict`.
   */
  diff(before: TreeHash, after: TreeHash, options?: { prefix?: string; strict?: boolean }): AsyncIterable<Difference>
  /** Objects and bytes below a prefix: O(log n). Markers are counted as objects here. */
  measure(root: TreeHash, prefix?: string): Promise<{ objects: number; bytes: number }>
}

/** One file that user code left in `/pfs/out`. */
export interface OutputFile {
  readonly path: Path
  /** Where its bytes are now. */
  readonly diskPath: string
}

/** What pipelines need of branches that they make commits on. `tx` composes with the caller's own rows in one transaction. */
export interface Derived {
  /**
   * Makes `output` (repo and branch, created where missing) the output branch of `pipeline`, computed from `inputs`; called again
   * it replaces the inputs. `owner`, `repo`: of the output's repo, as for
   * `createBranch`. Where inputs have heads (or open propagation commits), an output commit is opened at once.
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
  /** Stores files (content durable and published, tree nodes written) as the tree of one datum. */
  storeOutput(files: readonly OutputFile[], origin: Origin): Promise<DatumOutput>
  /**
   * The tree of `commit` made of the outputs of all its datums. Paths that are in `base` with the same content and origin keep their
   * version. `conflict`: the first paths that two datums wrote, with both.
   */
  union(
    commit: CommitId,
    outputs: readonly TreeHash[],
    base: TreeHash,
  ): Promise<
    | { readonly kind: 'ok'; readonly root: TreeHash; readonly files: number; readonly sizeBytes: number }
    | {
        readonly kind: 'conflict'
        readonly paths: readonly { readonly path: Path; readonly datums: readonly [string, string] }[]
      }
  >
}

export interface DatumOutput {
  readonly root: TreeHash
  readonly files: number
  readonly sizeBytes: number
}

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

export type FlushEvent =
  | { readonly kind: 'waiting'; readonly flushed: readonly CommitRef[]; readonly commits: readonly FlushCommit[] }
  | { readonly kind: 'ended'; readonly commit: FlushCommit }
  | { readonly kind: 'verdict'; readonly ok: boolean; readonly branches: readonly FlushVerdict[] }

export interface FlushCommit extends CommitRef {
  readonly branch: BranchName
  readonly state: Commit['state']
  readonly parent?: CommitId
  readonly startedMs: number
  readonly finishedMs?: number
  readonly sizeBytes: number
  readonly failure?: CommitFailure
}

export interface FlushVerdict extends CommitRef {
  readonly branch: BranchName
  readonly verdict: 'finished' | 'failed' | 'unrunnable' | 'stopped' | 'timed-out'
  readonly reason?: string
}

/**
 * The versioning engine. Methods throw the errors of `model/errors.ts`, StorageFull and Corrupt; what a caller chooses by is returned
 * as a tagged value. `repo@revision` takes a branch (its head: finished commits only), a commit id or unambiguous prefix of
 * 8 or more digits (the repo's own commits first), each with any number of `^` and `^N`.
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
  readonly roles: Roles

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
   * What a bucket's last label and first part mean (`name` = branch, tag, commit id or prefix of this or another repo). Throws
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
  ): Promise<readonly ({ kind: 'deleted'; result: DeleteResult } | { kind: 'refused'; error: ConditionFailedLike })[]>
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
  /** Newest first by the branches' order. */
  listCommits(
    repo: RepoName,
    query?: { branch?: BranchName; limit?: number; before?: CommitId },
  ): Promise<readonly Commit[]>
  provenance(commit: CommitId): Promise<readonly Provenance[]>
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
  /** Between finished commits, which may be of different repos. */
  diff(before: CommitId | 'empty', after: CommitId, options?: { prefix?: string }): AsyncIterable<Difference>

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

export interface ConditionFailedLike {
  readonly code: 'ConditionFailed'
  readonly message: string
  readonly data: Readonly<Record<string, unknown>>
}
