import { type BranchAddress, isTransactionName } from '../../versioning/index.ts'
import type { Bucket } from './addressing.ts'
import { S3Error } from './codes.ts'
import { orElse } from './find-entry.ts'
import type { Context } from './operation.ts'

/** The branch whose settings are to be changed. Throws InvalidRequest for a transaction: they would go with it. */
export async function settableBranch(context: Pick<Context, 'branch'>, bucket: Bucket): Promise<BranchAddress> {
  if (isTransactionName(bucket.name ?? '')) {
    throw new S3Error(
      'InvalidRequest',
      'A transaction has no tags, CORS rules or ACL of its own: set those of its branch',
    )
  }
  return context.branch(bucket)
}

/**
 * A setting of what a bucket reads from: of a commit it is that of the branch that it was made on, so that pages that may read a branch
 * may read its commits. Undefined where that branch is gone. Throws what `target` and `describe` throw.
 */
export async function readBucketSetting<T>(
  context: Pick<Context, 'target' | 'describe'>,
  bucket: Bucket,
  read: (at: BranchAddress) => Promise<T | undefined>,
): Promise<T | undefined> {
  const { target, repo, branch } = await context.describe(await context.target(bucket))
  const found = read({ repo, branch })
  return target.kind === 'commit' ? found.catch(orElse('BranchNotFound', undefined)) : found
}
