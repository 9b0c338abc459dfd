import type { BranchAddress, Commit, CommitId } from './model/index.ts'

/** What an import is told besides the archive. */
export interface ImportOptions {
  /** Stands before every name; mostly a folder, with its slash. */
  readonly prefix?: string
  readonly message?: string
  readonly author?: string
  /** Members that can't be files of a repo (links, devices, names that are no keys) are left out and named, not refused. */
  readonly skip?: boolean
  /** The modification time of each file is kept as its user metadata `mtime`, in seconds, as rclone and s3fs write it. */
  readonly keepTimes?: boolean
  /** Runs when all of the archive has come, before anything is made of it; throws if the body was not what its sender meant. */
  readonly verify?: () => void
  /** Aborted when whoever asked has gone. */
  readonly signal?: AbortSignal
}

/** A member of the archive that was left out, and why. */
export interface SkippedMember {
  readonly name: string
  readonly why: string
}

/** What was done. */
export interface ImportResult {
  readonly commit: Commit
  /** Files of the archive, and their bytes; of two under one name, both. */
  readonly files: number
  readonly bytes: number
  readonly added: number
  readonly changed: number
  /** There already, with the same content and attributes: these keep their version. */
  readonly unchanged: number
  /** The first of `skippedTotal`. */
  readonly skipped: readonly SkippedMember[]
  readonly skippedTotal: number
}

export type ImportEvent =
  /** `entries` of `files` are in their place. */
  | { readonly kind: 'placing'; readonly entries: number; readonly files: number }
  | ({ readonly kind: 'imported' } & ImportResult)

/** An archive that has come as a whole; its content is durable, and nothing refers to it yet. */
export interface ReceivedArchive {
  readonly commit: CommitId
  readonly files: number
  readonly bytes: number
  /** Makes the commit; the last event is the result. To be called once, and gone through to its end. Throws MergeConflict, BranchMoved, … */
  land(): AsyncIterable<ImportEvent>
}

/** Whole archives at once: all of their files become ONE commit, or none. */
export interface Imports {
  /**
   * Takes a tar archive, plain or compressed with gzip or zstd, in constant memory. Throws InvalidArchive, which names the member that can't
   * be stored, ImportLimit, BranchNotFound, ReadOnly, StorageFull, what `verify` throws: then nothing has changed. Where it resolves, `land` is to be called.
   */
  receive(at: BranchAddress, archive: AsyncIterable<Buffer>, options?: ImportOptions): Promise<ReceivedArchive>
}
