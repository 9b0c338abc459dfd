import { KIB, MAX_BUCKET_NAME } from '../../../kernel/index.ts'
import { DEFAULT_BRANCH, isTransactionName, RepoExists, type RepoInfo } from '../../../versioning/index.ts'
import { admitSharing, readCannedAcl } from '../acl.ts'
import { type Bucket, branchOfBucket, invalidBucketName } from '../addressing.ts'
import { S3Error } from '../codes.ts'
import { orElse } from '../find-entry.ts'
import { type Context, operation } from '../operation.ts'
import { refuseUnsupportedHeaders } from '../unsupported.ts'
import { malformed, readXml } from '../xml-read.ts'

/** AWS's own; several clients send no request for a bucket of a shorter name. */
const MIN_BUCKET_NAME = 3

export const createBucket = operation({
  name: 'CreateBucket',
  on: 'bucket',
  partly: 'no object lock, no directory buckets, no ownership but BucketOwnerEnforced',
  // To have a key: whether the name is free, the caller's or somebody else's is decided below.
  needs: 'known',
  documentBytes: 64 * KIB,
  read: ({ bucket, headers }, bytes) => {
    refuseUnsupportedHeaders(headers)
    refuseShortName(bucket)
    // Reads may name a commit of a long repo; what is made must be a name that every client takes.
    if (bucket.text.length > MAX_BUCKET_NAME) throw invalidBucketName(bucket.text)
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
    const transaction = isTransactionName(bucket.name ?? '')
    const branch = transaction ? undefined : branchOfBucket(bucket)
    return { bucket, transaction, branch, region: readRegion(bytes), access: readCannedAcl(headers) }
  },
  run: async ({ bucket, transaction, branch, region, access }, context) => {
    if (context.region !== undefined && region !== undefined && region !== context.region) {
      throw new S3Error(
        'IllegalLocationConstraintException',
        `The ${region} location constraint is incompatible for the region this server is in: ${context.region}`,
      )
    }
    if (transaction) {
      if (access !== undefined && access !== 'private') {
        throw new S3Error('InvalidRequest', 'A transaction can not be shared: share its branch')
      }
      await context.admit('write', bucket.repo, { branch: bucket.name })
      const target = await context.target(bucket)
      if (target.kind === 'branch') {
        await context.versioning.transactions.open(target, { author: context.caller.name })
      }
      return bucket
    }
    const repo = await authorizeBucket(bucket, context)
    const name = branch ?? repo?.defaultBranch ?? DEFAULT_BRANCH
    if (repo) await admitSharing(context, bucket.repo, access)
    const { kind } = await context.versioning
      .createBranch(
        { repo: bucket.repo, branch: name },
        { bucket: bucket.text, owner: context.caller.canonicalId, repo: repo ? 'existing' : 'new' },
      )
      .catch((error: unknown) => {
        // Somebody was faster: what was decided above does not hold any more.
        throw error instanceof RepoExists ? alreadyExists(bucket) : error
      })
    // One that was there keeps what it is set to.
    if (access !== undefined && access !== 'private' && kind === 'created') {
      await context.versioning.sharing.shareBranch({ repo: bucket.repo, branch: name }, access)
    }
    return bucket
  },
  write: (bucket) => ({ status: 200, headers: { Location: `/${bucket.text}` } }),
})

/** A free repo is for whoever may make repos; in one that is there, its writers make branches. */
async function authorizeBucket(bucket: Bucket, context: Context): Promise<RepoInfo | undefined> {
  const repo = await context.versioning.getRepo(bucket.repo).catch(orElse('RepoNotFound', undefined))
  if (!repo) context.authorizeNewRepo(bucket.repo)
  else if (!context.may('write', bucket.repo, { branch: bucket.name })) throw alreadyExists(bucket)
  return repo
}

function alreadyExists({ text }: Bucket): S3Error {
  return new S3Error(
    'BucketAlreadyExists',
    'The requested bucket name is not available. The repo that it names belongs to somebody else; select a different name and try again.',
    { BucketName: text },
  )
}

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
