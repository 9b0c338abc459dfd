import { KIB } from '../../../kernel/index.ts'
import { DEFAULT_BRANCH } from '../../../versioning/index.ts'
import { branchOfBucket } from '../addressing.ts'
import { S3Error } from '../codes.ts'
import { orElse } from '../find-entry.ts'
import { operation } from '../operation.ts'
import { refuseUnsupportedHeaders } from '../unsupported.ts'
import { malformed, readXml } from '../xml-read.ts'

export const createBucket = operation({
  name: 'CreateBucket',
  on: 'bucket',
  needs: 'owner',
  documentBytes: 64 * KIB,
  read: ({ bucket, headers }, bytes) => {
    refuseUnsupportedHeaders(headers)
    if (headers['x-amz-bucket-object-lock-enabled']?.toLowerCase() === 'true') {
      throw new S3Error('NotImplemented', 'Object lock is not implemented: create the bucket without it')
    }
    const ownership = headers['x-amz-object-ownership']
    if (ownership !== undefined && ownership !== 'BucketOwnerEnforced') {
      throw new S3Error(
        'NotImplemented',
        `The object ownership ${ownership} is not implemented: there is BucketOwnerEnforced only`,
      )
    }
    return { bucket, branch: branchOfBucket(bucket), region: readRegion(bytes) }
  },
  run: async ({ bucket, branch, region }, context) => {
    if (context.region !== undefined && region !== undefined && region !== context.region) {
      throw new S3Error(
        'IllegalLocationConstraintException',
        `The ${region} location constraint is incompatible for the region this server is in: ${context.region}`,
      )
    }
    const name =
      branch ??
      (await context.versioning
        .getRepo(bucket.repo)
        .then((repo) => repo.defaultBranch, orElse('RepoNotFound', DEFAULT_BRANCH)))
    await context.versioning.createBranch({ repo: bucket.repo, branch: name }, { bucket: bucket.text })
    return bucket
  },
  write: (bucket) => ({ status: 200, headers: { Location: `/${bucket.text}` } }),
})

function readRegion(bytes: Buffer): string | undefined {
  if (bytes.length === 0) return undefined
  const root = readXml(bytes, 'CreateBucketConfiguration')
  if (root.child('Bucket') || root.child('Location')) throw malformed('directory buckets are not supported')
  return root.child('LocationConstraint')?.text.trim() || undefined
}
