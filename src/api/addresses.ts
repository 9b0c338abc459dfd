import { InvalidInput } from '../kernel/index.ts'
import {
  type BranchAddress,
  BranchNotFound,
  CommitNotFound,
  type CommitRef,
  InvalidName,
  type Path,
  parseBranchName,
  parsePath,
  parseRepoName,
  ReadOnly,
  type RepoName,
  type Versioning,
} from '../versioning/index.ts'
import { parsed } from './fields.ts'

/** The fields that say what a request is about. */

export const repoField = parsed('Name of the repo.', parseRepoName)
export const branchField = parsed('Name of the branch.', parseBranchName)
export const pathField = parsed('Path of the file in the repo.', parsePath)
export const revisionField = parsed(
  'A branch (its head), a tag, a commit id or a prefix of 8 or more digits; with `@{2026-11-13}` what it was then (`{2026-11-13}` alone: the default branch); then any number of `^` and `^N`.',
  (value) => value,
)

/** `repo@revision`, in two parts. */
export interface RevisionAddress {
  readonly repo: RepoName
  readonly revision: string
}

export function parseRevisionAddress(value: string): RevisionAddress {
  const at = value.indexOf('@')
  if (at < 0) throw new InvalidInput(`${JSON.stringify(value)} lacks its revision: write repo@branch or repo@commit`)
  const revision = value.slice(at + 1)
  if (revision === '') throw new InvalidInput(`${JSON.stringify(value)} names no revision after the @`)
  return { repo: parseRepoName(value.slice(0, at)), revision }
}

export const addressField = parsed('`repo@revision`', parseRevisionAddress)

/** Reserved for the control documents of the S3 endpoint, which are made on reading. */
const CONTROL_FOLDER = '.sluice'

/** A path that may be written to. */
export function writablePath(path: Path): Path {
  if (path === CONTROL_FOLDER || path.startsWith(`${CONTROL_FOLDER}/`)) {
    throw new ReadOnly(`${CONTROL_FOLDER}/ is reserved for control documents: write to another path`, { path })
  }
  return path
}

/** The commit that a revision means as things are. */
export async function resolve(versioning: Versioning, address: RevisionAddress): Promise<CommitRef> {
  return { repo: address.repo, commit: await versioning.resolveRevision(address.repo, address.revision) }
}

/**
 * The commit that a revision means, after what its branch has gathered is finished: for commands about the newest state, which the
 * caller may have written a moment ago. A pinned batch stays open and is left out.
 */
export async function resolveSettled(versioning: Versioning, address: RevisionAddress): Promise<CommitRef> {
  const { repo, revision } = address
  return { repo, commit: await versioning.resolveRevision(repo, revision, { settle: true }) }
}

/**
 * The commit that a flush of the revision starts from: of a branch, its batch, sealed now where that is allowed, or else its newest
 * commit; it need not be finished yet. `force` also seals a batch that somebody holds open.
 */
export async function resolveForFlush(
  versioning: Versioning,
  address: RevisionAddress,
  { maySeal, force }: { maySeal: boolean; force: boolean },
): Promise<CommitRef> {
  const at = await branchAt(versioning, address)
  if (at === undefined) return resolve(versioning, address)
  const newest = maySeal ? await versioning.seal(at, { force }) : await newestCommit(versioning, at)
  if (newest !== undefined) return newest
  throw new CommitNotFound(`${at.repo}@${at.branch} has no commit yet: write a file to it first`, { ...at })
}

async function newestCommit(versioning: Versioning, at: BranchAddress): Promise<CommitRef | undefined> {
  const { commit } = await versioning.describe({ kind: 'branch', ...at })
  return commit === undefined ? undefined : { repo: at.repo, commit }
}

/** The branch that a revision names, if it is nothing more than a branch. */
async function branchAt(versioning: Versioning, address: RevisionAddress): Promise<BranchAddress | undefined> {
  try {
    const at = { repo: address.repo, branch: parseBranchName(address.revision) }
    await versioning.getBranch(at)
    return at
  } catch (error) {
    if (error instanceof BranchNotFound || error instanceof InvalidName) return undefined
    throw error
  }
}
