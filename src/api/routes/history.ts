import { InvalidInput, MAX_LIST_KEYS } from '../../kernel/index.ts'
import {
  type Commit,
  type DiffSide,
  InvalidName,
  isTransactionName,
  type LogQuery,
  parseBranchName,
  parseTime,
  type RepoName,
  type Versioning,
} from '../../versioning/index.ts'
import {
  branchField,
  parseRevisionAddress,
  pathField,
  type RevisionAddress,
  repoField,
  resolve,
  resolveSettled,
  revisionField,
} from '../addresses.ts'
import type { Caller } from '../caller.ts'
import type { FileChangeJson } from '../contract.ts'
import { flag, optional, parsed, present, text, whole } from '../fields.ts'
import { json, lines, type Route, route } from '../route.ts'
import { commitsWithProvenance, differenceJson, fileChangeJson } from '../views.ts'

const DEFAULT_PAGE = 100
/** Lines of one answer at most, where fewer are asked for; without a limit an answer ends with what there is. */
const MAX_LINES = 1_000_000

const commitParams = { repo: repoField, revision: revisionField }
const lineLimit = optional(whole('So many lines at most.', 1, MAX_LINES))
const prefixField = optional(text('Only paths that begin so.'))
const fromField = optional(
  parsed('`repo@revision` to compare with, a transaction as `repo@tx-name.branch`, or `empty`.', (value) =>
    value === 'empty' ? value : parseRevisionAddress(value),
  ),
)

export const historyRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits',
      summary: 'Lists commits, newest first: of the repo, or a branch or commit with the history behind it.',
      needs: 'read',
      params: { repo: repoField },
      query: {
        branch: optional(branchField),
        revision: optional(revisionField),
        limit: optional(whole(`How many at most; ${DEFAULT_PAGE} if left out.`, 1, MAX_LIST_KEYS)),
        before: optional(revisionField),
        since: optional(
          parsed('Only commits that became the head at this time or later.', (value) => parseTime(value, 'start')),
        ),
        until: optional(parsed('Only commits that had become the head by this time.', (value) => parseTime(value))),
      },
      answer: { kind: 'json', status: 200, shape: 'Commit', list: true },
    },
    async ({ params: { repo }, query, services: { versioning } }) => {
      const { branch, revision, limit = DEFAULT_PAGE, before, since, until } = query
      if (branch !== undefined && revision !== undefined) {
        throw new InvalidInput('say a branch or a revision, not both', { field: 'revision' })
      }
      const start = before === undefined ? undefined : (await resolve(versioning, { repo, revision: before })).commit
      await versioning.getRepo(repo)
      const page = { limit, ...present({ before: start, sinceMs: since, untilMs: until }) }
      const commits =
        revision === undefined
          ? await versioning.listCommits(repo, { ...page, ...present({ branch }) })
          : await listFrom(versioning, repo, revision, page)
      // Commits outlive their branch; that there are none may mean that there never was one.
      if (commits.length === 0 && branch !== undefined) await versioning.getBranch({ repo, branch })
      return json(await commitsWithProvenance(versioning, commits))
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits/:revision/log',
      summary: 'The commits, newest first, that changed a file, or with `below` anything whose path begins so.',
      needs: 'read',
      within: 'path',
      params: commitParams,
      query: {
        path: pathField,
        below: flag('Everything whose path begins with `path`, not that file alone.'),
        limit: lineLimit,
        before: optional(revisionField),
      },
      answer: { kind: 'lines', shape: 'FileChange' },
    },
    async ({ params, query: { path, below, limit, before }, caller, services: { versioning } }) => {
      const { repo, commit } = await resolve(versioning, params)
      const start = before === undefined ? undefined : (await resolve(versioning, { repo, revision: before })).commit
      const of = below ? { prefix: path } : { path }
      const found = versioning.lookingBack.fileLog(repo, commit, of, present({ limit, before: start }))
      const maySeeAll = caller.may('read', repo, { branch: params.revision })
      return lines(found, async (change) => veiled(await fileChangeJson(versioning, change), maySeeAll))
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits/:revision/diff',
      summary:
        'What changed up to this commit, by default since its parent; of a transaction what it holds now, since it was opened. What a named branch has gathered is sealed first, if one may write.',
      needs: 'read',
      within: 'prefix',
      params: commitParams,
      query: {
        from: fromField,
        prefix: prefixField,
        after: optional(text('Only paths after this one: the last of the page before.')),
        limit: lineLimit,
      },
      answer: { kind: 'lines', shape: 'Difference' },
    },
    async ({ params, query: { from, prefix, after, limit }, caller, services: { versioning } }) => {
      const [one, other] = await sidesOf(versioning, caller, params, from, prefix)
      return lines(versioning.diff(one, other, present({ prefix, after, limit })), differenceJson)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits/:revision/diff/stat',
      summary: 'The same in numbers of files and bytes: folder by folder, and at last all of it.',
      needs: 'read',
      within: 'prefix',
      params: commitParams,
      query: { from: fromField, prefix: prefixField },
      answer: { kind: 'lines', shape: 'DiffStat' },
    },
    async ({ params, query: { from, prefix }, caller, services: { versioning } }) => {
      const [one, other] = await sidesOf(versioning, caller, params, from, prefix)
      return lines(versioning.lookingBack.diffStat(one, other, prefix), (stat) => stat)
    },
  ),
]

/** Who may read only a part of the repo is told that part of a commit. */
function veiled(change: FileChangeJson, maySeeAll: boolean): FileChangeJson {
  if (maySeeAll) return change
  const commit = { ...change.commit, message: '', authors: [], files: 0, sizeBytes: 0, provenance: [] }
  return { ...change, commit }
}

/** A branch with what it holds open; of a branch that is gone what was made on it; else the commit that the revision means. */
async function listFrom(
  versioning: Versioning,
  repo: RepoName,
  revision: string,
  page: LogQuery,
): Promise<readonly Commit[]> {
  const branch = plainBranch(revision)
  const ofBranch = branch === undefined ? [] : await versioning.listCommits(repo, { ...page, branch })
  if (ofBranch.length > 0) return ofBranch
  const isBranch = branch !== undefined && (await versioning.listBranches(repo)).some(({ name }) => name === branch)
  if (isBranch) return []
  const from = await versioning.resolveRevision(repo, revision)
  return versioning.listCommits(repo, { ...page, from })
}

function plainBranch(revision: string) {
  try {
    return parseBranchName(revision)
  } catch (error) {
    if (error instanceof InvalidName) return undefined
    throw error
  }
}

/** What is compared: the older side first. */
async function sidesOf(
  versioning: Versioning,
  caller: Caller,
  address: RevisionAddress,
  from: RevisionAddress | 'empty' | undefined,
  prefix: string | undefined,
): Promise<readonly [DiffSide, DiffSide]> {
  if (from !== undefined && from !== 'empty') {
    caller.authorize('read', from.repo, { branch: from.revision, path: prefix ?? '' })
  }
  const after = await sideOf(versioning, caller, address)
  if (from === 'empty') return ['empty', after]
  const before =
    from === undefined ? await versioning.lookingBack.baseOf(after) : await sideOf(versioning, caller, from)
  return [before, after]
}

async function sideOf(versioning: Versioning, caller: Caller, address: RevisionAddress): Promise<DiffSide> {
  if (isTransactionName(address.revision)) {
    const target = await versioning.resolve(address.repo, address.revision)
    if (target.kind === 'branch') return { transaction: { repo: target.repo, branch: target.branch } }
  }
  // Sealing is for those who may write; others see what is finished.
  const find = caller.may('write', address.repo) ? resolveSettled : resolve
  return (await find(versioning, address)).commit
}
