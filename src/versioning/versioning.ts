import type { Readable } from 'node:stream'
import type { Transaction } from '../kernel/index.ts'
import type {
  Attributes,
  Branch,
  BranchName,
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
  Target,
  TargetInfo,
  TreeHash,
  VersionId,
} from './model/index.ts'

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

/** Conditions as HTTP has them, decided inside the metadata transaction. ETags without quotes. */
export interface WriteConditions {
  readonly ifNoneMatch?: '*'
  readonly ifMatch?: string
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
}

export interface ChangeResult {
  readonly version: VersionId
  /** The batch that the change is part of. */
  readonly commit: CommitId
  readonly modifiedMs: number
}

export interface DeleteResult {
  readonly version: VersionId
  readonly commit: CommitId
  /** False if there was nothing: it is a version all the same. */
  readonly existed: boolean
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
    input: Pick<UploadInfo, 'path' | 'attributes' | 'checksumAlgorithm' | 'checksumType' | 'author'>,
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

export interface BranchAddress {
  readonly repo: RepoName
  readonly branch: BranchName
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
   * it replaces the inputs. Where inputs have heads (or open propagation commits), an output commit is opened at once.
   * Throws RepoNotFound, BranchNotFound, Cycle, ReadOnly (the branch is another pipeline's), InUse (it holds a user's data).
   */
  define(
    tx: Transaction,
    input: { output: BranchAddress; pipeline: string; inputs: readonly BranchAddress[] },
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

  createRepo(name: RepoName, input?: { description?: string }): Promise<Repo>
  getRepo(name: RepoName): Promise<RepoInfo>
  listRepos(): Promise<readonly RepoInfo[]>
  /** With everything in it. Throws InUse if a pipeline reads or writes it. */
  deleteRepo(name: RepoName): Promise<void>

  /**
   * Creates the branch, and its repo where it is missing. `at`: a commit of the repo to start from. `existing` if it was there
   * (nothing changes; BranchExists if `at` was given).
   */
  createBranch(
    at: BranchAddress,
    input?: { from?: CommitId; bucket?: string },
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
    },
  ): Promise<ChangeResult>

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
  /** Seals the branch's open batch and waits until it is finished; with nothing open: CommitNotFound. */
  finishCommit(at: BranchAddress, input?: { message?: string }): Promise<Commit>
  /** Seals an open batch if there is one (not a pinned one unless `force`); returns the newest commit, sealed or finished. */
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
