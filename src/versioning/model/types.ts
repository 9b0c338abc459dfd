import type { Brand } from '../../kernel/index.ts'

/** A repo's name: `[a-z0-9]([a-z0-9-]*[a-z0-9])?`, at most 63 characters. Made by `parseRepoName`. */
export type RepoName = Brand<string, 'RepoName'>
/** A branch's (or tag's) name; made by `parseBranchName`. */
export type BranchName = Brand<string, 'BranchName'>
/** A transaction's name, without its `tx-`; made by `parseTransactionName`. */
export type TransactionName = Brand<string, 'TransactionName'>
/** 32 lower-case hex digits. */
export type CommitId = Brand<string, 'CommitId'>
/** A key: UTF-8, 1 to 1,024 bytes, no lone surrogates; made by `parsePath`. It is compared by its UTF-8 bytes. */
export type Path = Brand<string, 'Path'>
/** Lower-case hex SHA-256 of a tree's root node; the empty tree is `EMPTY_TREE`. */
export type TreeHash = Brand<string, 'TreeHash'>
/** The row id of a branch; survives nothing: a branch made again under the same name has another. */
export type BranchId = Brand<number, 'BranchId'>

/**
 * Who besides the users with a role may use a branch or a version, by the names that S3 has for it. `public-*`: everybody;
 * `authenticated-read`: every key of the server.
 */
export type CannedAccess = 'private' | 'public-read' | 'public-read-write' | 'authenticated-read'

/** What a client hangs on a version, or on a branch, to find it by. */
export interface Tag {
  readonly key: string
  readonly value: string
}

/** `<commit>-<seq>` on the wire. */
export interface VersionId {
  readonly commit: CommitId
  readonly seq: number
}

/** Where an object's bytes are. Up to 512 bytes inline; up to 1 MiB one chunk; else a manifest, itself stored as a chunk. */
export type Content =
  | { readonly kind: 'inline'; readonly bytes: Buffer }
  | { readonly kind: 'chunk'; readonly sha256: Buffer }
  | { readonly kind: 'manifest'; readonly sha256: Buffer }

/** As S3 names them. */
export type ChecksumAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256'

/** A checksum as S3 shows it; `value` is base64, of a composite one with its `-N`. */
export interface Checksum {
  readonly algorithm: ChecksumAlgorithm
  readonly type: 'FULL_OBJECT' | 'COMPOSITE'
  readonly value: string
}

/** What a client says about an object besides its bytes. */
export interface Attributes {
  readonly contentType?: string
  readonly cacheControl?: string
  readonly contentDisposition?: string
  readonly contentEncoding?: string
  readonly contentLanguage?: string
  readonly expires?: string
  /** User metadata: lower-case names without `x-amz-meta-`. An object without prototype (Object.create(null)) or a plain one. */
  readonly metadata: Readonly<Record<string, string>>
}

/** What a path holds. */
export interface Entry {
  readonly size: number
  /** Without quotes: hex MD5, or `md5-N` of a multipart object. */
  readonly etag: string
  readonly content: Content
  readonly modifiedMs: number
  readonly attributes: Attributes
  readonly checksum?: Checksum
  /** Multipart only: how many parts. Their sizes and checksums are in the manifest. */
  readonly parts?: number
  /** Set on what a pipeline wrote: the job that ran the user code, and the datum. */
  readonly origin?: Origin
}

/** Which job and datum wrote a file, by their ids. */
export interface Origin {
  readonly job: string
  readonly datum: string
}

/** An entry in its place: with its path and version. */
export interface FileEntry extends Entry {
  readonly path: Path
  readonly version: VersionId
  /** Written before versioning was enabled on its branch: S3 calls this version `null`. */
  readonly isNull?: boolean
}

/** `open` gathers changes, `sealed` is being folded; `finished` and `failed` are for good. */
export type CommitState = 'open' | 'sealed' | 'finished' | 'failed'

/** A branch by its names. A transaction is addressed as one too. */
export interface BranchAddress {
  readonly repo: RepoName
  readonly branch: BranchName
}

/** A commit and the repo it is in. */
export interface CommitRef {
  readonly repo: RepoName
  readonly commit: CommitId
}

/** Why a commit failed. `unrunnable`: something it was to be computed from failed (`because`). */
export interface CommitFailure {
  readonly kind: 'failed' | 'unrunnable' | 'stopped'
  readonly reason: string
  readonly because?: CommitRef
}

/** A commit as it is now. Once it is finished it never changes. */
export interface Commit {
  readonly id: CommitId
  readonly repo: RepoName
  /** The branch it was made on; kept after that branch is gone. */
  readonly branch: BranchName
  readonly state: CommitState
  /** First parent first. Set when the commit is sealed; empty for the first commit of a branch. */
  readonly parents: readonly CommitId[]
  /** Its place among the commits of its branch, from 1. */
  readonly ordinal: number
  readonly root: TreeHash
  readonly startedMs: number
  /** When it finished or failed. */
  readonly finishedMs?: number
  /** All files of the tree; markers (`dir/`, 0 bytes) are not counted. Of an open commit: as of its parent. */
  readonly files: number
  readonly sizeBytes: number
  readonly message: string
  /** The keys that wrote into it, in order of name. */
  readonly authors: readonly string[]
  /** True while `commit start` holds it open. */
  readonly pinned: boolean
  /** Only of an open commit that does not seal by itself: by what it is held, in words. */
  readonly heldBy?: string
  /** True for what a pipeline makes. */
  readonly derived: boolean
  readonly failure?: CommitFailure
}

/** A commit that another was computed from, or that was computed from it. */
export interface Provenance extends CommitRef {
  readonly branch: BranchName
  /** True if the commit was computed from it directly, false if by way of another. */
  readonly direct: boolean
}

/** A repo, as it was made. */
export interface Repo {
  readonly name: RepoName
  readonly description: string
  readonly createdMs: number
  readonly defaultBranch: BranchName
  /** True if a pipeline's output goes here. */
  readonly derived: boolean
}

/** A repo with its branches and the size of its default branch's head. */
export interface RepoInfo extends Repo {
  readonly branches: readonly BranchName[]
  readonly sizeBytes: number
  readonly files: number
}

/** A branch as it is now. */
export interface Branch {
  readonly id: BranchId
  readonly repo: RepoName
  readonly name: BranchName
  /** Newest finished commit; undefined until there is one. */
  readonly head?: CommitId
  /** The open batch that PUTs gather in now. */
  readonly openCommit?: CommitId
  readonly createdMs: number
  /** The bucket name that it was created by (`images` or `master.images`). */
  readonly bucket: string
  /** Set when writes are refused: the reason, to be shown (the output of a pipeline). */
  readonly readOnly?: string
  /** True for the output branch of a pipeline. */
  readonly derived: boolean
  /** True if only merges change it. */
  readonly protected: boolean
  /** The batch rules that were set for it; the others are the server's. */
  readonly batchRules: BatchRules
}

/** When a batch is sealed by itself. */
export interface BatchRules {
  /** When nothing was written for so long. */
  readonly idleMs?: number
  /** At this age, however busy it is. */
  readonly maxAgeMs?: number
  /** At so many changes. */
  readonly maxChanges?: number
}

/** An open transaction: writes that are isolated from their branch until it is finished. */
export interface TransactionInfo {
  readonly name: TransactionName
  readonly repo: RepoName
  /** The branch that it is finished on. */
  readonly onto: BranchName
  /** The bucket that it is written by. */
  readonly bucket: string
  /** The open commit; finished, it is a commit of the branch under this id. */
  readonly commit: CommitId
  /** The commit that it started from; undefined on a branch that had none. */
  readonly base?: CommitId
  readonly startedMs: number
  readonly changes: number
  readonly message: string
}

/** What reads address. */
export type Target =
  | { readonly kind: 'branch'; readonly repo: RepoName; readonly branch: BranchName }
  | { readonly kind: 'commit'; readonly repo: RepoName; readonly commit: CommitId }

/** The state of an addressed target that response headers are made of. */
export interface TargetInfo {
  readonly target: Target
  readonly repo: RepoName
  readonly branch: BranchName
  /** Of a branch: the open batch, else the newest sealed commit, else the head. Undefined on a branch never written. */
  readonly commit?: CommitId
  readonly commitState?: CommitState
  /** The pipeline's name if the commit is derived. */
  readonly pipeline?: string
  /** Set for a branch on which versioning was never enabled: S3 shows no version ids. */
  readonly unversioned?: true
  readonly provenance: readonly Provenance[]
}
