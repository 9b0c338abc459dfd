import type { BranchAddress, Commit, CommitRef } from './model/index.ts'
import type { OnWork } from './work.ts'

/** What goes where. A folder ends in `/` (or is empty: everything), and so does what it is to become; a file does not. */
export interface PlaceInput {
  readonly from: string
  readonly to: string
  /** Replaces files that are there. Other files of the target folder stay in any case. */
  readonly force?: boolean
  readonly message?: string
  readonly author?: string
  readonly onWork?: OnWork
}

export interface Placed {
  readonly commit: Commit
  readonly files: number
  readonly sizeBytes: number
}

/**
 * Files and folders moved and copied by one commit, all of it or nothing, and no bytes moved. Each file gets a version of that commit.
 * What is written to the branch meanwhile stays where it was written.
 */
export interface Moves {
  /**
   * Within a branch, what it holds open included (its batch is sealed, whoever holds it). Files keep their times, tags and ACLs, as with
   * `rename`; versions that they had stay listed under their old names. Throws PathNotFound, FilesExist, InvalidInput (into itself, scratch
   * folders), InvalidPath (too long), ReadOnly, BranchMoved.
   */
  move(at: BranchAddress, input: PlaceInput): Promise<Placed>
  /** From a finished commit of any repo. Files get the time of the copy, and their tags; not their ACLs. Throws what `move` throws. */
  copy(at: BranchAddress, source: CommitRef, input: PlaceInput): Promise<Placed>
}
