import {
  EGRESS_STATES,
  type EgressInfo,
  EgressNotFound,
  type EgressQuery,
  type EgressStatus,
} from '../../egress/index.ts'
import { MAX_LIST_KEYS } from '../../kernel/index.ts'
import { type CommitId, CommitNotFound, type RepoName, RepoNotFound } from '../../versioning/index.ts'
import { addressField, repoField } from '../addresses.ts'
import type { Caller } from '../caller.ts'
import { egressInfoJson, egressJson, verifyJson } from '../egress-views.ts'
import { anyJson, choice, flag, optional, present, text, whole } from '../fields.ts'
import { json, lines, type Route, route, type Services } from '../route.ts'

const DEFAULT_PAGE = 100
const MAX_ID = 128

const egress = text('Id of the egress, or a prefix of 8 or more digits.', MAX_ID, 1)

/** Pushes to object stores outside: those of jobs, and those that were asked for by hand. */
export const egressRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/egress',
      summary: 'Lists the egresses of repos that one may read, newest first.',
      needs: 'known',
      query: {
        repo: optional(repoField),
        state: optional(choice('Only those in this state.', EGRESS_STATES)),
        before: optional(text('Id of the egress that the page before ended with.', MAX_ID, 1)),
        limit: optional(whole(`How many at most; ${DEFAULT_PAGE} if left out.`, 1, MAX_LIST_KEYS)),
      },
      answer: { kind: 'json', status: 200, shape: 'Egress', list: true },
    },
    async ({ query: { repo, limit = DEFAULT_PAGE, ...query }, caller, services }) => {
      const repos = await visibleRepos(services, caller, repo)
      const found = await listVisible(services, caller, { limit, ...present({ ...query, repos }) })
      return json(found.map(egressJson))
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/egress',
      summary:
        'Pushes a finished commit to an object store outside; it is queued, and its id answered. For administrators.',
      needs: 'admin',
      body: {
        commit: addressField,
        egress: anyJson('Where to and how, as `egress` of a pipeline says it: {"URL": …, "secret": …}.'),
      },
      answer: { kind: 'json', status: 201, shape: 'EgressRequested' },
    },
    async ({ body, caller, services }) => {
      const { canonicalId, name } = caller.key
      const { egress, notes } = await services.egress.run({
        ...body.commit,
        egress: body.egress,
        askedBy: { canonicalId, name },
      })
      return json({ egress: egressInfoJson(egress), notes }, 201)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/egress/:egress',
      summary: 'Shows an egress, with what became of each try.',
      needs: 'known',
      params: { egress },
      answer: { kind: 'json', status: 200, shape: 'Egress' },
    },
    async ({ params, caller, services }) => json(egressInfoJson(await findEgress(services, caller, params.egress))),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/egress/:egress/retry',
      summary:
        'Runs an egress again that has failed; what has arrived is not sent again. With one of a job, the job is revived. For administrators.',
      needs: 'admin',
      params: { egress },
      answer: { kind: 'json', status: 200, shape: 'Egress' },
    },
    async ({ params, services }) => {
      const { id, job } = await services.egress.inspect(params.egress)
      if (job === undefined) return json(egressInfoJson(await services.egress.retry(id)))
      await services.pipelines.retryEgress(job)
      return json(egressInfoJson(await services.egress.inspect(id)))
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/egress/:egress/cancel',
      summary:
        'Gives an egress up; what has arrived stays where it is. A job whose output it is fails. For administrators.',
      needs: 'admin',
      params: { egress },
      answer: { kind: 'json', status: 200, shape: 'Egress' },
    },
    async ({ params, services }) => json(egressInfoJson(await services.egress.kill(params.egress))),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/egress/:egress/verify',
      summary:
        'Compares what is at the target of an egress with what was put there, and names what is other; the last line sums up. For administrators.',
      needs: 'admin',
      params: { egress },
      body: {
        deep: flag('Reads every object back and compares its bytes; else sizes and checksums of the listing.'),
        repair: flag('Asks for a new egress that sends again what has drifted.'),
      },
      answer: { kind: 'lines', shape: 'Verify' },
    },
    async ({ params, body: { deep, repair }, caller, services, signal }) => {
      const { id } = await services.egress.inspect(params.egress)
      const { canonicalId, name } = caller.key
      const by = repair ? { repair: { canonicalId, name } } : {}
      return lines(services.egress.verify(id, { deep, signal, ...by }), verifyJson)
    },
  ),
]

/** An egress is for those who may read what it pushes. Throws AccessDenied, EgressNotFound, AmbiguousEgress. */
async function findEgress(services: Services, caller: Caller, idOrPrefix: string): Promise<EgressInfo> {
  const found = await services.egress.inspect(idOrPrefix)
  caller.authorize('read', found.repo)
  if (!(await isVisible(services, caller, found))) throw new EgressNotFound(idOrPrefix)
  return found
}

/** A page of those that the caller may see. */
async function listVisible(
  services: Services,
  caller: Caller,
  query: EgressQuery & { readonly limit: number },
): Promise<readonly EgressStatus[]> {
  const { limit } = query
  const found: EgressStatus[] = []
  for (let { before } = query; ; ) {
    const page = await services.egress.list({ ...query, ...present({ before }) })
    for (const one of page) if (await isVisible(services, caller, one)) found.push(one)
    before = page.at(-1)?.id
    if (page.length < limit || found.length >= limit) return found.slice(0, limit)
  }
}

/**
 * Names of repos come back, and what was pushed out of the repo of before is not for readers of the new one: they are shown what was
 * pushed of its own commits.
 */
async function isVisible(
  { versioning }: Services,
  caller: Caller,
  { repo, commit }: Pick<EgressStatus, 'repo' | 'commit'>,
): Promise<boolean> {
  if (caller.may('read', undefined)) return true
  try {
    await versioning.getCommit(repo, commit as CommitId)
    return true
  } catch (error) {
    if (error instanceof CommitNotFound || error instanceof RepoNotFound) return false
    throw error
  }
}

/** Undefined: all. Throws AccessDenied, RepoNotFound. */
async function visibleRepos(
  { versioning }: Services,
  caller: Caller,
  repo: RepoName | undefined,
): Promise<readonly string[] | undefined> {
  if (repo !== undefined) {
    caller.authorize('read', repo)
    await versioning.getRepo(repo)
    return [repo]
  }
  if (caller.may('read', undefined)) return undefined
  return (await versioning.listRepos()).map(({ name }) => name).filter((name) => caller.may('read', name))
}
