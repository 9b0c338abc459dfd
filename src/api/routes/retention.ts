import type { ExpiredCommit, RetentionPolicy } from '../../versioning/index.ts'
import { repoField } from '../addresses.ts'
import type { ExpiredJson, RetentionJson } from '../contract.ts'
import { optional, present, whole } from '../fields.ts'
import { empty, json, lines, type Route, route } from '../route.ts'
import { isoTime } from '../times.ts'

const MAX_DAYS = 36_500
const MAX_COMMITS = 1_000_000_000

const rules = {
  keepDays: optional(whole('Keeps what was finished within so many days.', 1, MAX_DAYS)),
  keepCommits: optional(whole('Keeps the newest so many commits of each branch.', 1, MAX_COMMITS)),
}

/** What is kept of a repo. */
export const retentionRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/retention',
      summary: 'Shows the rules by which commits of a repo are kept; without any, all that a branch or a tag leads to.',
      needs: 'read',
      params: { repo: repoField },
      answer: { kind: 'json', status: 200, shape: 'Retention' },
    },
    async ({ params, services: { versioning } }) =>
      json(((await versioning.retention.get(params.repo)) ?? {}) satisfies RetentionJson),
  ),
  route(
    {
      method: 'PUT',
      path: '/v1/repos/:repo/retention',
      summary:
        'Sets them, in place of those before. What none of them keeps goes with the next garbage collection, for good.',
      needs: 'owner',
      params: { repo: repoField },
      body: rules,
      answer: { kind: 'json', status: 200, shape: 'Retention' },
    },
    async ({ params, body, services: { versioning } }) => {
      const policy: RetentionPolicy = present(body)
      await versioning.retention.set(params.repo, policy)
      return json(policy satisfies RetentionJson)
    },
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/repos/:repo/retention',
      summary: 'Lets go of the rules: everything that a branch or a tag leads to is kept.',
      needs: 'owner',
      params: { repo: repoField },
      answer: { kind: 'empty' },
    },
    async ({ params, services: { versioning } }) => {
      await versioning.retention.set(params.repo, undefined)
      return empty
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/retention/preview',
      summary:
        'Lists the commits that the next garbage collection removes, by the rules of the repo or by those given.',
      needs: 'read',
      params: { repo: repoField },
      query: rules,
      answer: { kind: 'lines', shape: 'Expired' },
    },
    async ({ params, query, services: { versioning } }) => {
      const policy = present(query)
      const given = Object.keys(policy).length > 0 ? policy : undefined
      return lines(versioning.retention.preview(params.repo, given), expiredJson)
    },
  ),
]

function expiredJson({ finishedMs, ...expired }: ExpiredCommit): ExpiredJson {
  return { ...expired, finished: isoTime(finishedMs) }
}
