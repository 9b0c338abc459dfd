import { MAX_BUCKET_ADDRESS, MAX_BUCKET_NAME, MAX_PATH_BYTES, MAX_REPO_NAME } from '../../kernel/index.ts'
import {
  type BranchName,
  isCommitPrefix,
  isTransactionName,
  type Path,
  parseBranchName,
  parsePath,
  parseRepoName,
  type RepoName,
  splitTransaction,
} from '../../versioning/index.ts'
import { S3Error } from './codes.ts'

/**
 * What a bucket name says: `<name>.<repo>` or `<repo>`. What `name` is (a branch or a commit) only versioning knows; a transaction
 * is `tx-<name>.<branch>`, or `tx-<name>` on the default branch.
 */
export interface Bucket {
  /** As the client wrote it. */
  readonly text: string
  readonly repo: RepoName
  readonly name: string | undefined
}

/**
 * Splits a bucket name at its last dot. Throws S3Error InvalidBucketName that says what is allowed and the nearest name that is.
 */
export function parseBucket(text: string): Bucket {
  const dot = text.lastIndexOf('.')
  const repoText = text.slice(dot + 1)
  const name = dot < 0 ? undefined : text.slice(0, dot)
  try {
    const repo = parseRepoName(repoText)
    if (name !== undefined && isTransactionName(name)) splitTransaction(name)
    else if (name !== undefined && !isCommitPrefix(name)) parseBranchName(name)
    if (text.length <= MAX_BUCKET_ADDRESS) return { text, repo, name }
  } catch (error) {
    throw invalidBucketName(text, error)
  }
  throw invalidBucketName(text, undefined)
}

/** The branch that a bucket is created or removed as; a bare repo is its default branch, which the caller looks up. */
export function branchOfBucket(bucket: Bucket): BranchName | undefined {
  if (bucket.name === undefined) return undefined
  if (isCommitPrefix(bucket.name)) throw invalidBucketName(bucket.text, undefined)
  return parseBranchName(bucket.name)
}

/** The key as versioning takes it. Throws KeyTooLongError, InvalidArgument. */
export function readKey(key: string): Path {
  // A UTF-16 unit is at most three bytes of UTF-8: short keys need no counting.
  if (key.length * 3 > MAX_PATH_BYTES) {
    const size = Buffer.byteLength(key)
    if (size > MAX_PATH_BYTES) {
      throw new S3Error('KeyTooLongError', 'Your key is too long', {
        Size: String(size),
        MaxSizeAllowed: String(MAX_PATH_BYTES),
      })
    }
  }
  return parsePath(key)
}

export function invalidBucketName(text: string, cause?: unknown): S3Error {
  const nearest = nearestBucketName(text)
  const hint = nearest === undefined || nearest === text ? '' : `; the nearest name that is allowed: ${nearest}`
  return new S3Error(
    'InvalidBucketName',
    'The specified bucket is not valid. Buckets are <branch>.<repo>, <commit>.<repo>, tx-<name>.<branch>.<repo> or <repo>: lower-case letters, digits and ' +
      `dashes, beginning and ending with a letter or digit, a repo of at most ${MAX_REPO_NAME} and a new bucket of at most ${MAX_BUCKET_NAME} characters; a new ` +
      `branch may not be 8 to 32 hex digits alone and may not begin with tx-${hint}`,
    { BucketName: text.slice(0, 255) },
    {},
    cause,
  )
}

/** `word_count` → `word-count`, `Master.Images` → `master.images`; undefined if nothing is left of it. */
function nearestBucketName(text: string): string | undefined {
  const labels = text
    .slice(0, 255)
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9.-]+/g, '-')
    .split('.')
    .map((label) => label.replace(/^-+|-+$/g, ''))
    .filter((label) => label !== '')
  const repo = labels.pop()?.slice(0, MAX_REPO_NAME).replace(/-+$/, '')
  if (!repo || /^\d+$/.test(repo)) return undefined
  const branch = labels
    .join('.')
    .slice(0, Math.max(0, MAX_BUCKET_NAME - 1 - repo.length))
    .replace(/[.-]+$/, '')
  return branch === '' || isCommitPrefix(branch) ? repo : `${branch}.${repo}`
}
