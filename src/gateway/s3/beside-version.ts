import type { BranchAddress, FileEntry } from '../../versioning/index.ts'
import type { Bucket } from './addressing.ts'
import { orElse } from './find-entry.ts'
import type { Context } from './operation.ts'

/**
 * Of the tags and the ACL of a version, before they are changed: branches that show one version share them, so that a key which is bound
 * to a branch (or a transaction) changes them only where that branch made the version. Throws AccessDenied.
 */
export async function admitBesideVersion(
  context: Context,
  bucket: Bucket,
  at: BranchAddress,
  { path, version }: Pick<FileEntry, 'path' | 'version'>,
): Promise<void> {
  const anyBranch = { branch: undefined, path }
  if (context.may('write', bucket.repo, anyBranch)) return
  const made = await context.versioning.getCommit(at.repo, version.commit).catch(orElse('CommitNotFound', undefined))
  if (made?.branch !== at.branch) await context.admit('write', bucket.repo, anyBranch)
}
