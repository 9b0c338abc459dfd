import { KIB } from '../../../kernel/index.ts'
import { DEFAULT_BRANCH } from '../../../versioning/index.ts'
import { type Bucket, branchOfBucket } from '../addressing.ts'
import { S3Error } from '../codes.ts'
import { orElse } from '../find-entry.ts'
import { operation } from '../operation.ts'
import { refuseUnsupportedHeaders } from '../unsupported.ts'
import { malformed, readXml } from '../xml-read.ts'

/** AWS's own; several clients send no request for a bucket of a shorter name. */
const MIN_BUCKET_NAME = 3

export const createBucket = operation({
  name: 'CreateBucket',
  on: 'bucket',
  needs: 'owner',
  documentBytes: 64 * KIB,
  read: ({ bucket, headers }, bytes) => {
    refuseUnsupportedHeaders(headers)
    refuseShortName(bucket)
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

function refuseShortName({ text, repo }: Bucket): void {
  if (text.length >= MIN_BUCKET_NAME) return
  throw new S3Error(
    'InvalidBucketName',
    `The specified bucket is not valid: a bucket has at least ${MIN_BUCKET_NAME} characters; the repo ${repo} is created as ${DEFAULT_BRANCH}.${repo}`,
    { BucketName: text },
  )
}

function readRegion(bytes: Buffer): string | undefined {
  if (bytes.length === 0) return undefined
  const root = readXml(bytes, 'CreateBucketConfiguration')
  if (root.child('Bucket') || root.child('Location')) throw malformed('directory buckets are not supported')
  return root.child('LocationConstraint')?.text.trim() || undefined
}
