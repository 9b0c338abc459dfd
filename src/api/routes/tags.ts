import { parseBranchName } from '../../versioning/index.ts'
import { repoField, resolve, resolveSettled, revisionField } from '../addresses.ts'
import { optional, parsed, present, text, whole } from '../fields.ts'
import { tagJson } from '../merge-views.ts'
import { empty, json, type Route, route } from '../route.ts'

const MAX_MESSAGE = 4096
const MAX_PAGE = 1_000

const tagField = parsed('Name of the tag: as of a branch, and no branch has it.', parseBranchName)
const tagParams = { repo: repoField, tag: tagField }

/** Tags: names of commits that never move. */
export const tagRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/tags',
      summary: 'Lists the tags of a repo by name.',
      needs: 'read',
      params: { repo: repoField },
      query: {
        after: optional(text('Only names after this one: the last of the page before.')),
        limit: optional(whole(`How many at most; ${MAX_PAGE} if left out.`, 1, MAX_PAGE)),
      },
      answer: { kind: 'json', status: 200, shape: 'Tag', list: true },
    },
    async ({ params, query, services: { versioning } }) => {
      const tags = await versioning.commitTags.list(params.repo, present(query))
      return json(tags.map(tagJson))
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/tags',
      summary:
        'Tags a finished commit. A branch that is named is settled first. One that names this very commit already stays as it is.',
      needs: 'write',
      params: { repo: repoField },
      body: { name: tagField, at: revisionField, message: optional(text('What it is for.', MAX_MESSAGE)) },
      answer: { kind: 'json', status: 201, shape: 'Tag' },
    },
    async ({ params: { repo }, body: { name, at, message }, author, caller, services: { versioning } }) => {
      caller.authorize('read', repo, { branch: at })
      const find = caller.may('write', repo, { branch: at }) ? resolveSettled : resolve
      const { commit } = await find(versioning, { repo, revision: at })
      const { kind, tag } = await versioning.commitTags.create(repo, name, commit, { author, ...present({ message }) })
      return json(tagJson(tag), kind === 'created' ? 201 : 200)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/tags/:tag',
      summary: 'Shows a tag.',
      needs: 'read',
      params: tagParams,
      answer: { kind: 'json', status: 200, shape: 'Tag' },
    },
    async ({ params, services: { versioning } }) =>
      json(tagJson(await versioning.commitTags.get(params.repo, params.tag))),
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/repos/:repo/tags/:tag',
      summary: 'Deletes a tag; its commit stays, as long as something else keeps it.',
      needs: 'owner',
      params: tagParams,
      answer: { kind: 'empty' },
    },
    async ({ params, services: { versioning } }) => {
      await versioning.commitTags.delete(params.repo, params.tag)
      return empty
    },
  ),
]
