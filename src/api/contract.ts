/**
 * The JSON of the HTTP API `/v1`: what goes over the wire, and nothing else. Times are ISO 8601 in UTC with milliseconds, sizes are
 * bytes, ids are lower-case hex. A field that is optional here is left out when there is nothing to say.
 *
 * Addresses in requests are `repo@revision`; a revision is a branch (its head: finished commits only), a tag, a commit id or an
 * unambiguous prefix of 8 or more digits; with `@{2026-11-13}` or `@{2026-11-13T10:00Z}` what it was then (`{2026-11-13}` alone is the
 * default branch), and then any number of `^` (parent) and `^N`.
 *
 * Answers of kind *lines* are JSON lines (`application/x-ndjson`); empty lines keep the connection alive and are to be skipped;
 * a line `{"error": …}` ends a stream that could not go on.
 */

import type { CommitRefJson, MergeConflictJson, MergeCountsJson } from './contract-graph.ts'

export type * from './contract-access.ts'
export type * from './contract-egress.ts'
export type * from './contract-fsck.ts'
export type * from './contract-gc.ts'
export type * from './contract-graph.ts'
export type * from './contract-pipelines.ts'
export type * from './contract-upkeep.ts'

export const LINES_TYPE = 'application/x-ndjson'
/** The largest JSON body that a request may have. */
export const MAX_JSON_BYTES = 1024 * 1024

export interface ErrorJson {
  readonly error: {
    readonly code: string
    readonly message: string
    readonly data: Readonly<Record<string, unknown>>
    /** Also in the header `x-request-id`, and beside whatever the server's log says about it. */
    readonly requestId: string
  }
}

export interface VersionJson {
  readonly version: string
  readonly api: 'v1'
}

export interface HealthJson {
  /** `full`: the storage is full, writes are refused until there is room again. */
  readonly status: 'ok' | 'full'
}

export interface ReadinessJson {
  /** Anything but `ready` comes with status 503. */
  readonly status: 'ready' | 'full' | 'stopping'
}

export interface RepoJson {
  readonly name: string
  readonly description: string
  readonly created: string
  readonly defaultBranch: string
  /** True if a pipeline's output goes here. */
  readonly derived: boolean
  readonly branches: readonly string[]
  /** Of the default branch's head. */
  readonly sizeBytes: number
  readonly files: number
}

export interface BranchJson {
  readonly repo: string
  readonly name: string
  /** Newest finished commit; null until there is one. */
  readonly head: string | null
  /** The batch that writes gather in now. */
  readonly openCommit: string | null
  readonly created: string
  readonly bucket: string
  /** Why writes are refused; null if they are not. */
  readonly readOnly: string | null
  /** True if only merges change it. */
  readonly protected: boolean
  readonly batch: BatchJson
}

/** When the writes of a branch are made a commit by themselves. */
export interface BatchJson {
  readonly idleMs: number
  readonly maxAgeMs: number
  readonly maxChanges: number
  /** Which of them were set for the branch; the others are the server's. */
  readonly own: readonly ('idleMs' | 'maxAgeMs' | 'maxChanges')[]
}

/** An open transaction. */
export interface TransactionJson {
  /** Without its `tx-`. */
  readonly name: string
  readonly repo: string
  /** The branch that it is finished on. */
  readonly branch: string
  /** What S3 tools write to. */
  readonly bucket: string
  /** The id that its commit has already. */
  readonly commit: string
  /** The commit of the branch that it started from. */
  readonly base: string | null
  readonly started: string
  readonly changes: number
  readonly message: string
}

export type CommitStateJson = 'open' | 'sealed' | 'finished' | 'failed'

export interface CommitJson {
  readonly id: string
  readonly repo: string
  readonly branch: string
  readonly parents: readonly string[]
  readonly state: CommitStateJson
  readonly started: string
  readonly finished: string | null
  readonly sizeBytes: number
  readonly files: number
  readonly message: string
  readonly authors: readonly string[]
  /** Everything that it was computed from, directly or not. */
  readonly provenance: readonly CommitRefJson[]
  /** Only of a failed commit. */
  readonly failure?: FailureJson
  /** Only of an open commit that does not seal by itself: by what it is held, in words. */
  readonly heldBy?: string
}

export interface FailureJson {
  readonly kind: 'failed' | 'unrunnable' | 'stopped'
  readonly reason: string
  readonly because?: CommitRefJson
}

/** `contained`: it is part of the branch already, nothing was changed. `preview`: what would be done. */
export type MergeJson =
  | ({ readonly kind: 'merged'; readonly commit: CommitJson } & MergeCountsJson)
  | { readonly kind: 'contained'; readonly head: string | null }
  | ({
      readonly kind: 'preview'
      readonly head: string | null
      /** The best common ancestors; several after a criss-cross merge. */
      readonly bases: readonly string[]
      readonly conflicts: readonly MergeConflictJson[]
      readonly conflictsTotal: number
    } & MergeCountsJson)

/** `unchanged`: nothing is left of what was to be taken back. */
export type RevertJson =
  | ({ readonly kind: 'reverted'; readonly commit: CommitJson } & MergeCountsJson)
  | { readonly kind: 'unchanged'; readonly head: string | null }

/** `left`: the newest commit of what the branch held; it stays readable by its id until it is collected. */
export interface MovedBranchJson {
  readonly kind: 'moved' | 'unchanged'
  readonly branch: BranchJson
  readonly left: string | null
}

export interface ProvenanceJson extends CommitRefJson {
  readonly branch: string
  /** True if it was computed from it directly, false if by way of another. */
  readonly direct: boolean
}

export interface FileJson {
  readonly path: string
  readonly sizeBytes: number
  readonly etag: string
  readonly contentType: string
  readonly modified: string
  /** `<commit>-<number>`: the versionId on the S3 endpoint. */
  readonly version: string
  readonly metadata: Readonly<Record<string, string>>
  /** Only of what a pipeline wrote. */
  readonly origin?: { readonly job: string; readonly datum: string }
}

export interface DirectoryJson {
  /** Ends with the delimiter. */
  readonly path: string
  readonly files: number
  readonly sizeBytes: number
}

export interface FilesJson {
  readonly repo: string
  /** The commit that the page is of: ask for the next page by it, so that all pages are of one state. */
  readonly commit: string
  readonly files: readonly FileJson[]
  readonly directories: readonly DirectoryJson[]
  /** Pass it as `after` for the next page; null on the last. */
  readonly next: string | null
}

export interface WrittenJson {
  readonly repo: string
  readonly branch: string
  readonly path: string
  /** The open commit that the change is part of; null in a scratch folder (`_temporary/` and its like). */
  readonly commit: string | null
  readonly version: string | null
  readonly etag: string
  readonly sizeBytes: number
}

export interface DeletedJson {
  readonly repo: string
  readonly branch: string
  readonly path: string
  readonly commit: string | null
  readonly version: string | null
  /** False if there was no such file. */
  readonly existed: boolean
}

/** What a move or a copy made. */
export interface PlacedJson {
  readonly commit: CommitJson
  readonly files: number
  readonly sizeBytes: number
}

/** A line of a diff, in path order. */
export interface DifferenceJson {
  readonly kind: 'added' | 'deleted' | 'changed'
  readonly path: string
  readonly before: FileJson | null
  readonly after: FileJson | null
}

/** A line of a diff in numbers: of a folder, of the files right in the prefix (`path` is the prefix), or of all of it (null), which comes last. */
export interface DiffStatJson {
  readonly path: string | null
  readonly added: { readonly files: number; readonly bytes: number }
  readonly deleted: { readonly files: number; readonly bytes: number }
  readonly changed: { readonly files: number; readonly bytesBefore: number; readonly bytesAfter: number }
}

/** A line of the log of a file or folder: a commit that changed it, the newest first. */
export interface FileChangeJson {
  readonly commit: CommitJson
  readonly added: number
  readonly deleted: number
  readonly changed: number
  /** Below zero where it shrank. */
  readonly growthBytes: number
  /** Of a single file. */
  readonly difference?: DifferenceJson
}

export type FlushVerdictKind = 'finished' | 'failed' | 'unrunnable' | 'stopped' | 'timed-out'

/** A line of a flush: first `waiting`, then `ended` for each commit, last `verdict`. */
export type FlushJson =
  | { readonly kind: 'waiting'; readonly flushed: readonly CommitRefJson[]; readonly commits: readonly CommitJson[] }
  | { readonly kind: 'ended'; readonly commit: CommitJson }
  | { readonly kind: 'verdict'; readonly ok: boolean; readonly branches: readonly FlushVerdictJson[] }

export interface FlushVerdictJson extends CommitRefJson {
  readonly branch: string
  readonly verdict: FlushVerdictKind
  readonly reason?: string
}

/** A line of an import: how far it is, and at the end what it made. */
export type ImportJson = { readonly kind: 'placing'; readonly entries: number; readonly files: number } | ImportedJson

export interface ImportedJson {
  readonly kind: 'imported'
  readonly commit: CommitJson
  /** Files of the archive, and their bytes. */
  readonly files: number
  readonly sizeBytes: number
  readonly added: number
  readonly changed: number
  /** There already, with the same content. */
  readonly unchanged: number
  /** Members that were left out: the first of `skippedTotal`. */
  readonly skipped: readonly { readonly name: string; readonly why: string }[]
  readonly skippedTotal: number
}
