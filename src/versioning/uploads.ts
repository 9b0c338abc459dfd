import type { ChangeResult, WriteConditions } from './changes.ts'
import type { StagedContent } from './content-store.ts'
import type { Attributes, BranchAddress, CannedAccess, Checksum, Path, Tag } from './model/index.ts'

/** A multipart upload that is neither completed nor aborted. */
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

/** A part of an upload, as it was stored last. */
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
