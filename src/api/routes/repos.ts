import { branchField, repoField, resolve, revisionField } from '../addresses.ts'
import { flag, optional, present, text } from '../fields.ts'
import { empty, json, type Route, route } from '../route.ts'
import { branchJson, repoJson } from '../views.ts'

const MAX_DESCRIPTION = 4096

export const repoRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/repos',
      summary: 'Lists the repos.',
      needs: 'read',
      answer: { kind: 'json', status: 200, shape: 'Repo', list: true },
    },
    async ({ services }) => json((await services.versioning.listRepos()).map(repoJson)),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos',
      summary: 'Creates a repo.',
      needs: 'admin',
      body: { name: repoField, description: optional(text('What it is for.', MAX_DESCRIPTION)) },
      answer: { kind: 'json', status: 201, shape: 'Repo' },
    },
    async ({ body: { name, description }, services: { versioning } }) => {
      await versioning.createRepo(name, present({ description }))
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
      return json((await versioning.listBranches(params.repo)).map(branchJson))
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches',
      summary: 'Creates a branch, empty or at any commit of the repo; creates the repo where it is missing.',
      needs: 'write',
      params: { repo: repoField },
      body: { name: branchField, from: optional(revisionField) },
      answer: { kind: 'json', status: 201, shape: 'Branch' },
    },
    async ({ params: { repo }, body: { name, from }, services: { versioning } }) => {
      const start = from === undefined ? undefined : (await resolve(versioning, { repo, revision: from })).commit
      const { kind, branch } = await versioning.createBranch({ repo, branch: name }, present({ from: start }))
      return json(branchJson(branch), kind === 'created' ? 201 : 200)
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
    async ({ params, services }) => json(branchJson(await services.versioning.getBranch(params))),
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
