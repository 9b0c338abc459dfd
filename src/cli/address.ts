import { UsageError } from './errors.ts'

/** `repo@branch-or-commit:path`, taken apart; whether its parts are allowed names is for the server to say. */
export interface Address {
  readonly repo: string
  readonly revision: string | undefined
  readonly path: string | undefined
}

/** The path begins after the first colon: neither repos nor revisions can hold one, but in the time of `@{2026-11-13T10:00Z}`. */
export function parseAddress(text: string): Address {
  const time = /^[^:{}]*\{[^{}]*\}/.exec(text)
  const colon = text.indexOf(':', time?.[0].length ?? 0)
  const [front, path] = colon < 0 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)]
  const at = front.indexOf('@')
  const [repo, revision] = at < 0 ? [front, undefined] : [front.slice(0, at), front.slice(at + 1)]
  if (repo === '') throw new UsageError(`${JSON.stringify(text)} names no repo: write repo@branch-or-commit:path`)
  if (revision === '') throw new UsageError(`${JSON.stringify(text)} names no branch or commit after the @`)
  return { repo, revision, path: path === '' ? undefined : path }
}

/** `repo@revision` without a path. */
export function parseRevision(text: string): { repo: string; revision: string } {
  const { repo, revision, path } = parseAddress(text)
  if (revision === undefined) throw new UsageError(`${text} names no branch or commit: write ${repo}@BRANCH-OR-COMMIT`)
  if (path !== undefined) throw new UsageError(`${text} names a path: leave :${path} out here`)
  return { repo, revision }
}

/** `repo@branch`: where something is written. */
export function parseBranch(text: string): { repo: string; branch: string } {
  const { repo, revision } = parseRevision(text)
  return { repo, branch: branchName(text, revision) }
}

/** `repo@revision:path` of one file. */
export function parseFile(text: string): { repo: string; revision: string; path: string } {
  const { repo, revision, path } = parseAddress(text)
  if (revision === undefined || path === undefined) {
    throw new UsageError(`${text} does not name a file: write repo@branch-or-commit:path`)
  }
  return { repo, revision, path }
}

/** `repo@branch[:path]` to write to. */
export function parseTarget(text: string): { repo: string; branch: string; path: string | undefined } {
  const { repo, revision, path } = parseAddress(text)
  if (revision === undefined) throw new UsageError(`${text} names no branch: write repo@branch:path`)
  return { repo, branch: branchName(text, revision), path }
}

/** A revision of that repo, written as `master^` or as `images@master^`. */
export function revisionIn(repo: string, text: string): string {
  // `master@{2026-11-13}` begins with a branch, and not with a repo.
  if (!text.includes('@') || text.startsWith('@') || /^[^@]*@\{/.test(text)) return text
  const other = parseRevision(text)
  if (other.repo === repo) return other.revision
  throw new UsageError(`${text} is of another repo: name a branch, tag or commit of ${repo}`)
}

/** What a revision starts from: `master` of `master^^` and of `master@{2026-11-13}`; empty: the default branch, of `{2026-11-13}`. */
export function baseOf(revision: string): string {
  return /^[^@^{]*/.exec(revision)?.[0] ?? ''
}

/** Whether that is a commit's id or the beginning of one: branches never look so. */
export function isCommitId(base: string): boolean {
  return /^[0-9a-f]{8,32}$/.test(base)
}

function branchName(text: string, revision: string): string {
  if (/[\^@{]/.test(revision) || isCommitId(revision)) {
    throw new UsageError(
      `${text} names a commit: only a branch can be written to, as repo@branch, and 8 to 32 hex digits alone are no branch's name`,
    )
  }
  return revision
}
