import {
  addressField,
  branchField,
  repoField,
  resolve,
  resolveForFlush,
  resolveSettled,
  revisionField,
} from '../addresses.ts'
import type { Caller } from '../caller.ts'
import type { CommitJson, FlushJson } from '../contract.ts'
import { flag, listOf, optional, present, text, whole } from '../fields.ts'
import { json, lines, type Route, route } from '../route.ts'
import { commitWithProvenance, flushJson, provenanceJson } from '../views.ts'

const MAX_MESSAGE = 4096
/** More than anybody flushes together; it bounds the answer's first line. */
const MAX_FLUSHED = 100
const MAX_FLUSH_MS = 7 * 86_400_000

const commitParams = { repo: repoField, revision: revisionField }
const branchParams = { repo: repoField, branch: branchField }
const message = optional(text('What the commit is about.', MAX_MESSAGE))

export const commitRoutes: readonly Route[] = [
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
