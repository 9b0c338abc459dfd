import { InvalidInput } from '../../kernel/index.ts'
import type { CommitId, MergeResolution, RepoName, Versioning } from '../../versioning/index.ts'
import { branchField, repoField, resolve, resolveSettled, revisionField } from '../addresses.ts'
import type { Caller } from '../caller.ts'
import type { MergeJson, MovedBranchJson, RevertJson } from '../contract.ts'
import { type Field, flag, optional, present, text, whole } from '../fields.ts'
import { previewJson } from '../merge-views.ts'
import { json, type Route, route } from '../route.ts'
import { branchJson, commitWithProvenance } from '../views.ts'

const MAX_MESSAGE = 4096
/** Paths that are decided one by one in a request; more are decided by `all`. */
const MAX_DECISIONS = 10_000

const branchParams = { repo: repoField, branch: branchField }
const message = optional(text('What the commit is about.', MAX_MESSAGE))
const sides = ['ours', 'theirs'] as const
const sideSchema = { type: 'string', enum: sides }

const resolveField: Field<MergeResolution | undefined> = {
  schema: {
    type: 'object',
    description:
      'Which side files are taken from that both sides changed: `ours` is the branch, `theirs` what is brought onto it. `paths` for single files, `all` for the rest.',
    properties: { all: sideSchema, paths: { type: 'object', additionalProperties: sideSchema } },
    additionalProperties: false,
  },
  required: false,
  read: (value, name) => (value === undefined ? undefined : readResolution(value, name)),
}

export const mergeRoutes: readonly Route[] = [
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/merge',
      summary:
        'Merges a commit or branch of the repo into a branch, as one commit with two parents; what the branch has gathered is part of it. Refused with the files, their sides and nothing changed if both sides changed the same ones.',
      needs: 'write',
      params: branchParams,
      body: {
        from: revisionField,
        message,
        resolve: resolveField,
        allowUnrelated: flag('Also if they have no common ancestor: as if both had begun with nothing.'),
        dryRun: flag('Only says what would be done.'),
      },
      answer: { kind: 'json', status: 200, shape: 'Merge' },
    },
    async ({ params, body, author, caller, services: { versioning } }) => {
      const { from, message, resolve, allowUnrelated, dryRun } = body
      const commit = await readable(versioning, caller, params.repo, from)
      const input = { author, allowUnrelated, ...present({ message: message ?? `merge ${from}`, resolve }) }
      if (dryRun) return json(previewJson(await versioning.merges.preview(params, commit, input)))
      const merged = await versioning.merges.merge(params, commit, input)
      const answer: MergeJson =
        merged.kind === 'contained'
          ? merged
          : { kind: 'merged', commit: await commitWithProvenance(versioning, merged.commit), ...merged.counts }
      return json(answer)
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/revert',
      summary: 'Takes back what one commit changed, whatever came since, by a new commit. Conflicts as for a merge.',
      needs: 'write',
      params: branchParams,
      body: {
        commit: revisionField,
        message,
        resolve: resolveField,
        mainline: optional(whole('Of a merge: which parent it goes back to.', 1, 2)),
      },
      answer: { kind: 'json', status: 200, shape: 'Revert' },
    },
    async ({ params, body: { commit: revision, ...rest }, author, caller, services: { versioning } }) => {
      const commit = await readable(versioning, caller, params.repo, revision)
      const input = { author, ...present(rest) }
      const reverted = await versioning.merges.revert(params, commit, input)
      const answer: RevertJson =
        reverted.kind === 'unchanged'
          ? { kind: 'unchanged', head: reverted.head ?? null }
          : { kind: 'reverted', commit: await commitWithProvenance(versioning, reverted.commit), ...reverted.counts }
      return json(answer)
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/move',
      summary:
        'Points a branch at another commit of its repo. What it held is left behind: readable by its id until it is collected.',
      needs: 'owner',
      params: branchParams,
      body: {
        to: revisionField,
        expect: optional(revisionField),
      },
      answer: { kind: 'json', status: 200, shape: 'MovedBranch' },
    },
    async ({ params, body: { to, expect }, author, caller, services: { versioning } }) => {
      const commit = await readable(versioning, caller, params.repo, to)
      const expected =
        expect === undefined ? undefined : (await resolve(versioning, { repo: params.repo, revision: expect })).commit
      const moved = await versioning.moveBranch(params, commit, { author, ...present({ expect: expected }) })
      const answer: MovedBranchJson = {
        kind: moved.kind,
        branch: branchJson(moved.branch, versioning.batchRules(params)),
        left: moved.left ?? null,
      }
      return json(answer)
    },
  ),
  route(
    {
      method: 'PUT',
      path: '/v1/repos/:repo/branches/:branch/protection',
      summary: 'Protects a branch, or no longer: only merges change one that is protected.',
      needs: 'owner',
      params: branchParams,
      body: { protected: flag('True: only merges change it.') },
      answer: { kind: 'json', status: 200, shape: 'Branch' },
    },
    async ({ params, body, services: { versioning } }) => {
      const branch = await versioning.protectBranch(params, body.protected)
      return json(branchJson(branch, versioning.batchRules(params)))
    },
  ),
]

/** The commit that is brought somewhere, by who may read it. What a branch has gathered is sealed for those who may write there. */
async function readable(versioning: Versioning, caller: Caller, repo: RepoName, revision: string): Promise<CommitId> {
  caller.authorize('read', repo, { branch: revision })
  const find = caller.may('write', repo, { branch: revision }) ? resolveSettled : resolve
  return (await find(versioning, { repo, revision })).commit
}

function readResolution(value: unknown, name: string): MergeResolution {
  const { all, paths, ...unknown } = objectOf(value, name)
  const [stranger] = Object.keys(unknown)
  if (stranger !== undefined) throw new InvalidInput(`${name} has an unknown field ${JSON.stringify(stranger)}`)
  const decisions = paths === undefined ? [] : Object.entries(objectOf(paths, `${name}.paths`))
  if (decisions.length > MAX_DECISIONS) {
    throw new InvalidInput(`${name}.paths has more than ${MAX_DECISIONS} files: decide the others by ${name}.all`)
  }
  return {
    ...(all === undefined ? {} : { all: sideOf(all, `${name}.all`) }),
    ...(paths === undefined
      ? {}
      : { paths: Object.fromEntries(decisions.map(([path, side]) => [path, sideOf(side, `${name}.paths`)])) }),
  }
}

function objectOf(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw new InvalidInput(`${name} must be an object`)
}

function sideOf(value: unknown, name: string): 'ours' | 'theirs' {
  const side = sides.find((known) => known === value)
  if (side === undefined) throw new InvalidInput(`${name} must say ours or theirs`)
  return side
}
