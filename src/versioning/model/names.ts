import { MAX_BUCKET_NAME, MAX_PATH_BYTES, MAX_REPO_NAME } from '../../kernel/index.ts'
import { InvalidName, InvalidPath } from './errors.ts'
import type { BranchName, Path, RepoName } from './types.ts'

const repoPattern = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/
const commitPrefixPattern = /^[0-9a-f]{8,32}$/

/** The branch that a bucket without a branch's name means. */
export const DEFAULT_BRANCH = 'master' as BranchName

const repoRule = `a repo's name has 1 to ${MAX_REPO_NAME} characters: a-z, 0-9 and - inside`
const branchRule =
  "a branch's name has labels of a-z, 0-9 and - inside, with dots between them; it is not 8 to 32 hex digits alone and does not begin with tx-"

/** Checks a repo's name. Throws InvalidName that says what is allowed and the nearest name that is. */
export function parseRepoName(name: string): RepoName {
  if (repoPattern.test(name) && name.length <= MAX_REPO_NAME) return name as RepoName
  throw invalid(name, repoRule, nearestLabel(name).slice(0, MAX_REPO_NAME).replace(/-+$/, ''))
}

/** Checks a branch's name. Throws InvalidName. */
export function parseBranchName(name: string): BranchName {
  const allowed =
    name.length > 0 &&
    name.length <= MAX_BUCKET_NAME &&
    name.split('.').every((label) => repoPattern.test(label)) &&
    !commitPrefixPattern.test(name) &&
    !name.startsWith('tx-') &&
    !/^(\d{1,3}\.){2,3}\d{1,3}$/.test(name)
  if (allowed) return name as BranchName
  let nearest = name
    .split('.')
    .map(nearestLabel)
    .filter(Boolean)
    .join('.')
    .replace(/^(tx-)+/, '')
  if (commitPrefixPattern.test(nearest)) nearest = `b-${nearest}`
  throw invalid(name, branchRule, nearest)
}

/** Whether a name could be a commit's id or a prefix of one that is long enough. */
export function isCommitPrefix(name: string): boolean {
  return commitPrefixPattern.test(name)
}

/** Checks a key. Throws InvalidPath (`data.tooLong` where that is why). */
export function parsePath(path: string): Path {
  if (path.length === 0) throw new InvalidPath('a key must not be empty')
  if (!path.isWellFormed()) throw new InvalidPath('a key must be valid UTF-8')
  if (path.includes('\0')) throw new InvalidPath('a key must not contain a NUL character')
  if (path.length > MAX_PATH_BYTES || Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new InvalidPath(`a key must not be longer than ${MAX_PATH_BYTES} bytes of UTF-8`, { tooLong: true })
  }
  return path as Path
}

/** The hidden folder of every bucket: what is read there is made on the spot, and nothing can be written there. */
export const CONTROL_FOLDER = '.sluice/'

/** Whether a path is the control folder or in it: no file can be there. */
export function isControlPath(path: string): boolean {
  return path.startsWith(CONTROL_FOLDER) || path === '.sluice'
}

/** Whether an entry is a folder marker, as tools make them: 0 bytes under a key that ends in `/`. */
export function isMarker(path: string, size: number): boolean {
  return size === 0 && path.endsWith('/')
}

function invalid(name: string, rule: string, nearest: string): InvalidName {
  const hint = nearest && nearest !== name ? `; the nearest allowed name is ${nearest}` : ''
  return new InvalidName(`${JSON.stringify(name)} is not allowed: ${rule}${hint}`, {
    name,
    rule,
    ...(nearest ? { nearest } : {}),
  })
}

function nearestLabel(label: string): string {
  return label
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '-')
    .replace(/^-+|-+$/g, '')
}
