import { InvalidInput } from '../../kernel/index.ts'
import type { CommitId, MergeResolution, MergeSide, RepoName, Versioning } from '../../versioning/index.ts'
import { branchField, repoField, resolve, resolveSettled, revisionField } from '../addresses.ts'
import type { Caller } from '../caller.ts'
import type { MergeJson, MovedBranchJson, RevertJson } from '../contract.ts'
import { type Field, flag, optional, present, text, whole } from '../fields.ts'
import { previewJson } from '../merge-views.ts'
import { answerOf, progressField } from '../progress.ts'
import { json, type Route, route } from '../route.ts'
import { branchJson, commitWithProvenance } from '../views.ts'

const MAX_MESSAGE = 4096
/** Paths, and folders, that are decided one by one in a request; more are decided by folders or `all`. */
const MAX_DECISIONS = 10_000

const branchParams = { repo: repoField, branch: branchField }
const message = optional(text('What the commit is about.', MAX_MESSAGE))
const sides = ['ours', 'theirs'] as const
const sideSchema = { type: 'string', enum: sides }

const resolveField: Field<MergeResolution | undefined> = {
  schema: {
    type: 'object',
    description:
      'Which side files are taken from that both sides changed: `ours` is the branch, `theirs` what is brought onto it. `paths` for single files, `folders` (names that end in `/`; the longest counts) for what is in them, `all` for the rest.',
    properties: {
      all: sideSchema,
      paths: { type: 'object', additionalProperties: sideSchema },
      folders: { type: 'object', additionalProperties: sideSchema },
    },
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
        progress: progressField,
      },
      answer: { kind: 'json', status: 200, shape: 'Merge', progress: 'Working' },
    },
    async ({ params, body, author, caller, services: { versioning } }) => {
      const { from, message, resolve, allowUnrelated, dryRun, progress } = body
      caller.authorize('read', params.repo, { branch: from })
      return answerOf(progress, async (onWork): Promise<MergeJson> => {
        const commit = await newest(versioning, caller, params.repo, from)
        const input = { author, allowUnrelated, onWork, ...present({ message: message ?? `merge ${from}`, resolve }) }
        if (dryRun) return previewJson(await versioning.merges.preview(params, commit, input))
        const merged = await versioning.merges.merge(params, commit, input)
        if (merged.kind === 'contained') return merged
        return { kind: 'merged', commit: await commitWithProvenance(versioning, merged.commit), ...merged.counts }
      })
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
        progress: progressField,
      },
      answer: { kind: 'json', status: 200, shape: 'Revert', progress: 'Working' },
    },
    async ({ params, body: { commit: revision, progress, ...rest }, author, caller, services: { versioning } }) => {
      caller.authorize('read', params.repo, { branch: revision })
      return answerOf(progress, async (onWork): Promise<RevertJson> => {
        const commit = await newest(versioning, caller, params.repo, revision)
        await authorizeParent(versioning, caller, { repo: params.repo, revision, commit, mainline: rest.mainline })
        const reverted = await versioning.merges.revert(params, commit, { author, onWork, ...present(rest) })
        if (reverted.kind === 'unchanged') return { kind: 'unchanged', head: reverted.head ?? null }
        return { kind: 'reverted', commit: await commitWithProvenance(versioning, reverted.commit), ...reverted.counts }
      })
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
        progress: progressField,
      },
      answer: { kind: 'json', status: 200, shape: 'MovedBranch', progress: 'Working' },
    },
    async ({ params, body: { to, expect, progress }, author, caller, services: { versioning } }) => {
      caller.authorize('read', params.repo, { branch: to })
      const expected = expect === undefined ? undefined : await expectedCommit(versioning, caller, params.repo, expect)
      return answerOf(progress, async (): Promise<MovedBranchJson> => {
        const commit = await newest(versioning, caller, params.repo, to)
        const moved = await versioning.moveBranch(params, commit, { author, ...present({ expect: expected }) })
        const branch = branchJson(moved.branch, versioning.batchRules(params))
        return { kind: moved.kind, branch, left: moved.left ?? null }
      })
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
async function newest(versioning: Versioning, caller: Caller, repo: RepoName, revision: string): Promise<CommitId> {
  const find = caller.may('write', repo, { branch: revision }) ? resolveSettled : resolve
  return (await find(versioning, { repo, revision })).commit
}

/**
 * A revert brings back what a parent of the commit has. Who is bound to a branch may see that where it was the branch's own state, and not
 * where it is of a commit that was merged, or that the branch was made from or moved to. Throws AccessDenied.
 */
async function authorizeParent(
  versioning: Versioning,
  caller: Caller,
  {
    repo,
    revision,
    commit,
    mainline = 1,
  }: { repo: RepoName; revision: string; commit: CommitId; mainline: number | undefined },
): Promise<void> {
  if (caller.may('read', repo)) return
  const { branch } = await versioning.getCommit(repo, commit)
  if (branch !== revision || mainline > 1) caller.authorize('read', repo)
}

/** A whole id is only compared: nothing is told of what it names. Throws AccessDenied for what the caller may not read. */
async function expectedCommit(
  versioning: Versioning,
  caller: Caller,
  repo: RepoName,
  expect: string,
): Promise<CommitId> {
  if (/^[0-9a-f]{32}$/.test(expect)) return expect as CommitId
  caller.authorize('read', repo, { branch: expect })
  return (await resolve(versioning, { repo, revision: expect })).commit
}

function readResolution(value: unknown, name: string): MergeResolution {
  const { all, paths, folders, ...unknown } = objectOf(value, name)
  const [stranger] = Object.keys(unknown)
  if (stranger !== undefined) throw new InvalidInput(`${name} has an unknown field ${JSON.stringify(stranger)}`)
  const byFolder = folders === undefined ? undefined : readDecisions(folders, `${name}.folders`)
  const noFolder = Object.keys(byFolder ?? {}).find((folder) => !folder.endsWith('/'))
  if (noFolder !== undefined) {
    throw new InvalidInput(
      `${name}.folders names ${JSON.stringify(noFolder)}: a folder ends in /; files stand in ${name}.paths`,
    )
  }
  return {
    ...(all === undefined ? {} : { all: sideOf(all, `${name}.all`) }),
    ...(paths === undefined ? {} : { paths: readDecisions(paths, `${name}.paths`) }),
    ...(byFolder === undefined ? {} : { folders: byFolder }),
  }
}

function readDecisions(value: unknown, name: string): Readonly<Record<string, MergeSide>> {
  const decisions = Object.entries(objectOf(value, name))
  if (decisions.length > MAX_DECISIONS) {
    throw new InvalidInput(
      `${name} has more than ${MAX_DECISIONS} names: decide the others by folders that they are in, or for all`,
    )
  }
  return Object.fromEntries(decisions.map(([path, side]) => [path, sideOf(side, name)]))
}

function objectOf(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw new InvalidInput(`${name} must be an object`)
}

function sideOf(value: unknown, name: string): MergeSide {
  const side = sides.find((known) => known === value)
  if (side === undefined) throw new InvalidInput(`${name} must say ours or theirs`)
  return side
}
