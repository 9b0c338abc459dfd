import type { StagedContent } from './content-store.ts'
import type { Attributes, CannedAccess, Checksum, CommitId, FileEntry, Path, Tag, VersionId } from './model/index.ts'

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

/** A PUT whose body has been received and verified. */
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

/** A file that moves to another path of its branch. */
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

/** What a client is told of a change that is durable. */
export interface ChangeResult {
  readonly version: VersionId
  /** The batch that the change is part of. */
  readonly commit: CommitId
  readonly modifiedMs: number
  /** Set where versioning was never enabled: S3 shows no version id. */
  readonly unversioned?: true
}

/** What a client is told of a delete that is durable. */
export interface DeleteResult {
  readonly version: VersionId
  readonly commit: CommitId
  /** False if there was nothing: it is a version all the same. */
  readonly existed: boolean
  /** As of a ChangeResult. */
  readonly unversioned?: true
}
