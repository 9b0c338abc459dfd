import { authorizeNewRepo } from '../../kernel/index.ts'
import { type Branch, type RepoName, RepoNotFound, type Versioning } from '../../versioning/index.ts'
import { branchField, repoField, resolve, revisionField } from '../addresses.ts'
import type { BranchJson } from '../contract.ts'
import { flag, optional, present, text } from '../fields.ts'
import { empty, json, type Route, route } from '../route.ts'
import { branchJson, repoJson } from '../views.ts'

const MAX_DESCRIPTION = 4096
/** Of a repo itself, not of what is in it. */
const anywhere = { branch: undefined, outside: true } as const

export const repoRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/repos',
      summary: 'Lists the repos that one may read.',
      needs: 'known',
      answer: { kind: 'json', status: 200, shape: 'Repo', list: true },
    },
    async ({ caller, services }) => {
      const repos = await services.versioning.listRepos()
      return json(repos.filter(({ name }) => caller.may('read', name, anywhere)).map(repoJson))
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos',
      summary: 'Creates a repo, which then belongs to the user.',
      needs: 'known',
      body: { name: repoField, description: optional(text('What it is for.', MAX_DESCRIPTION)) },
      answer: { kind: 'json', status: 201, shape: 'Repo' },
    },
    async ({ body: { name, description }, caller, services: { versioning } }) => {
      authorizeNewRepo(caller.key, name)
      await versioning.createRepo(name, { owner: caller.key.canonicalId, ...present({ description }) })
      return json(repoJson(await versioning.getRepo(name)), 201)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo',
      summary: 'Shows a repo.',
      needs: 'read',
      params: { repo: repoField },
      answer: { kind: 'json', status: 200, shape: 'Repo' },
    },
    async ({ params, services }) => json(repoJson(await services.versioning.getRepo(params.repo))),
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/repos/:repo',
      summary: 'Deletes a repo with all its branches, commits and files.',
      needs: 'owner',
      params: { repo: repoField },
      answer: { kind: 'empty' },
    },
    async ({ params, services }) => {
      await services.versioning.deleteRepo(params.repo)
      return empty
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/branches',
      summary: 'Lists the branches of a repo.',
      needs: 'read',
      params: { repo: repoField },
      answer: { kind: 'json', status: 200, shape: 'Branch', list: true },
    },
    async ({ params, services: { versioning } }) => {
      await versioning.getRepo(params.repo)
      return json((await versioning.listBranches(params.repo)).map((branch) => shown(versioning, branch)))
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches',
      summary: 'Creates a branch, empty or at any commit of the repo; creates the repo where it is missing.',
      needs: 'known',
      params: { repo: repoField },
      body: { name: branchField, from: optional(revisionField) },
      answer: { kind: 'json', status: 201, shape: 'Branch' },
    },
    async ({ params: { repo }, body: { name, from }, caller, services: { versioning } }) => {
      const isNew = await isMissing(versioning, repo)
      if (isNew) authorizeNewRepo(caller.key, repo)
      else caller.authorize('write', repo)
      const start = from === undefined ? undefined : (await resolve(versioning, { repo, revision: from })).commit
      const { kind, branch } = await versioning.createBranch(
        { repo, branch: name },
        { owner: caller.key.canonicalId, repo: isNew ? 'new' : 'existing', ...present({ from: start }) },
      )
      return json(shown(versioning, branch), kind === 'created' ? 201 : 200)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/branches/:branch',
      summary: 'Shows a branch.',
      needs: 'read',
      params: { repo: repoField, branch: branchField },
      answer: { kind: 'json', status: 200, shape: 'Branch' },
    },
    async ({ params, services: { versioning } }) => json(shown(versioning, await versioning.getBranch(params))),
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/repos/:repo/branches/:branch',
      summary: 'Deletes a branch, and the repo with its last branch.',
      needs: 'owner',
      params: { repo: repoField, branch: branchField },
      query: { force: flag('Also if it still holds files.') },
      answer: { kind: 'empty' },
    },
    async ({ params, query, services }) => {
      await services.versioning.deleteBranch(params, { force: query.force })
      return empty
    },
  ),
]

function shown(versioning: Versioning, branch: Branch): BranchJson {
  return branchJson(branch, versioning.batchRules({ repo: branch.repo, branch: branch.name }))
}

async function isMissing(versioning: Versioning, repo: RepoName): Promise<boolean> {
  try {
    await versioning.getRepo(repo)
    return false
  } catch (error) {
    if (error instanceof RepoNotFound) return true
    throw error
  }
}
