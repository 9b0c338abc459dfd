import { MAX_LIST_KEYS } from '../../kernel/index.ts'
import type { Commit, Versioning } from '../../versioning/index.ts'
import {
  addressField,
  branchField,
  parseRevisionAddress,
  type RevisionAddress,
  repoField,
  resolve,
  resolveForFlush,
  resolveSettled,
  revisionField,
} from '../addresses.ts'
import type { Caller } from '../caller.ts'
import type { CommitJson, FlushJson } from '../contract.ts'
import { flag, listOf, optional, parsed, present, text, whole } from '../fields.ts'
import { json, lines, type Route, route } from '../route.ts'
import { commitWithProvenance, differenceJson, flushJson, provenanceJson } from '../views.ts'

const MAX_MESSAGE = 4096
const DEFAULT_PAGE = 100
/** More than anybody flushes together; it bounds the answer's first line. */
const MAX_FLUSHED = 100
const MAX_FLUSH_MS = 7 * 86_400_000
/** Reads at once for a page: enough to keep the database busy, few enough to leave it to others too. */
const READS_AT_ONCE = 16

const commitParams = { repo: repoField, revision: revisionField }
const branchParams = { repo: repoField, branch: branchField }
const message = optional(text('What the commit is about.', MAX_MESSAGE))

export const commitRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits',
      summary: 'Lists commits, newest first.',
      needs: 'read',
      params: { repo: repoField },
      query: {
        branch: optional(branchField),
        limit: optional(whole(`How many at most; ${DEFAULT_PAGE} if left out.`, 1, MAX_LIST_KEYS)),
        before: optional(revisionField),
      },
      answer: { kind: 'json', status: 200, shape: 'Commit', list: true },
    },
    async ({ params: { repo }, query: { branch, limit = DEFAULT_PAGE, before }, services: { versioning } }) => {
      const start = before === undefined ? undefined : (await resolve(versioning, { repo, revision: before })).commit
      await versioning.getRepo(repo)
      const commits = await versioning.listCommits(repo, { limit, ...present({ branch, before: start }) })
      // Commits outlive their branch; that there are none may mean that there never was one.
      if (commits.length === 0 && branch !== undefined) await versioning.getBranch({ repo, branch })
      return json(await withProvenance(versioning, commits))
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits/:revision',
      summary: 'Shows a commit.',
      needs: 'read',
      params: commitParams,
      answer: { kind: 'json', status: 200, shape: 'Commit' },
    },
    async ({ params, services: { versioning } }) => {
      const { repo, commit } = await resolve(versioning, params)
      return json(await commitWithProvenance(versioning, await versioning.getCommit(repo, commit)))
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits/:revision/provenance',
      summary: 'Lists the commits that it was computed from, directly and by way of others.',
      needs: 'read',
      params: commitParams,
      answer: { kind: 'json', status: 200, shape: 'Provenance', list: true },
    },
    async ({ params, services: { versioning } }) => {
      const { commit } = await resolve(versioning, params)
      return json((await versioning.provenance(commit)).map(provenanceJson))
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits/:revision/subvenance',
      summary: 'Lists the commits that were computed from it.',
      needs: 'read',
      params: commitParams,
      answer: { kind: 'json', status: 200, shape: 'Provenance', list: true },
    },
    async ({ params, services: { versioning } }) => {
      const { commit } = await resolve(versioning, params)
      return json((await versioning.subvenance(commit)).map(provenanceJson))
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/commits/:revision/diff',
      summary:
        'What changed up to this commit; by default since its parent. What a named branch has gathered is sealed first, if one may write.',
      needs: 'read',
      within: 'prefix',
      params: commitParams,
      query: {
        from: optional(parsed('`repo@revision` to compare with.', parseRevisionAddress)),
        prefix: optional(text('Only paths that begin so.')),
      },
      answer: { kind: 'lines', shape: 'Difference' },
    },
    async ({ params, query: { from, prefix }, caller, services: { versioning } }) => {
      if (from !== undefined) caller.authorize('read', from.repo, { branch: from.revision, path: prefix ?? '' })
      // Sealing is for those who may write; others see what is finished.
      const find = (address: RevisionAddress) =>
        caller.may('write', address.repo) ? resolveSettled(versioning, address) : resolve(versioning, address)
      const after = await find(params)
      const before =
        from === undefined
          ? ((await versioning.getCommit(after.repo, after.commit)).parents[0] ?? 'empty')
          : (await find(from)).commit
      return lines(versioning.diff(before, after.commit, present({ prefix })), differenceJson)
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/start',
      summary: 'Opens a commit that gathers writes until it is finished, whatever time it takes.',
      needs: 'write',
      params: branchParams,
      body: { message },
      answer: { kind: 'json', status: 201, shape: 'Commit' },
    },
    async ({ params, body: { message }, author, services: { versioning } }) => {
      const commit = await versioning.startCommit(params, { author, ...present({ message }) })
      return json(await commitWithProvenance(versioning, commit), 201)
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/finish',
      summary: 'Finishes the open commit of a branch and waits until it is readable.',
      needs: 'write',
      params: branchParams,
      body: { message },
      answer: { kind: 'json', status: 200, shape: 'Commit' },
    },
    async ({ params, body: { message }, services: { versioning } }) => {
      const commit = await versioning.finishCommit(params, present({ message }))
      return json(await commitWithProvenance(versioning, commit))
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/restore',
      summary:
        'Makes the files of an older commit the newest ones, by a new commit. What the branch has gathered is sealed first.',
      needs: 'write',
      params: branchParams,
      body: { to: revisionField, message },
      answer: { kind: 'json', status: 201, shape: 'Commit' },
    },
    async ({ params, body: { to, message }, author, caller, services: { versioning } }) => {
      // What is brought back can then be read in the branch, so that it takes the right to read it where it is.
      caller.authorize('read', params.repo, { branch: to })
      // `master^` is counted from the newest state, so what was written a moment ago has to be a commit before it is resolved; that
      // seals what the branch has gathered, which is for those who may write there.
      const find = caller.may('write', params.repo, { branch: to }) ? resolveSettled : resolve
      const { commit } = await find(versioning, { repo: params.repo, revision: to })
      const restored = await versioning.restore(params, commit, { author, ...present({ message }) })
      return json(await commitWithProvenance(versioning, restored), 201)
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/flush',
      summary:
        'Waits until everything that follows from the named commits has ended, and says how. What named branches have gathered is sealed first, if one may write there.',
      needs: 'known',
      body: {
        commits: listOf(addressField, MAX_FLUSHED),
        timeoutMs: optional(whole('Gives up after so many milliseconds, with a verdict.', 0, MAX_FLUSH_MS)),
        force: flag('Also seals what `commit start` or a job holds open.'),
      },
      answer: { kind: 'lines', shape: 'Flush' },
    },
    async ({ body: { commits, timeoutMs, force }, caller, services: { versioning }, signal }) => {
      for (const { repo, revision } of commits) caller.authorize('read', repo, { branch: revision })
      const flushed = []
      for (const address of commits) {
        const maySeal = caller.may('write', address.repo, { branch: address.revision })
        flushed.push(await resolveForFlush(versioning, address, { maySeal, force }))
      }
      const events = versioning.flush(flushed, { signal, ...present({ timeoutMs }) })
      return lines(events, async (event) => veil(await flushJson(versioning, event), caller))
    },
  ),
]

/** Of repos that one may not read, a flush tells that they are waited for and how that ends, and not what was written there. */
function veil(event: FlushJson, caller: Caller): FlushJson {
  const isHidden = (repo: string) => !caller.may('read', repo)
  const veiled = ({ failure, ...commit }: CommitJson): CommitJson => {
    if (!isHidden(commit.repo)) return failure ? { ...commit, failure } : commit
    return { ...commit, message: '', authors: [], ...(failure && { failure: { ...failure, reason: 'not shown' } }) }
  }
  switch (event.kind) {
    case 'waiting':
      return { ...event, commits: event.commits.map(veiled) }
    case 'ended':
      return { ...event, commit: veiled(event.commit) }
    case 'verdict': {
      const branches = event.branches.map(({ reason, ...branch }) => ({
        ...branch,
        ...(reason !== undefined && { reason: isHidden(branch.repo) ? 'not shown' : reason }),
      }))
      return { ...event, branches }
    }
  }
}

async function withProvenance(versioning: Versioning, commits: readonly Commit[]): Promise<CommitJson[]> {
  const shown: CommitJson[] = []
  for (let start = 0; start < commits.length; start += READS_AT_ONCE) {
    const some = commits.slice(start, start + READS_AT_ONCE)
    shown.push(...(await Promise.all(some.map((commit) => commitWithProvenance(versioning, commit)))))
  }
  return shown
}
