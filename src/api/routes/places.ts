import { type Placed, parsePath, type Versioning } from '../../versioning/index.ts'
import { addressField, branchField, repoField, resolve, resolveSettled } from '../addresses.ts'
import type { PlacedJson } from '../contract.ts'
import { flag, optional, parsed, present, text } from '../fields.ts'
import { answerOf, progressField } from '../progress.ts'
import { type Route, route } from '../route.ts'
import { commitWithProvenance } from '../views.ts'

const MAX_MESSAGE = 4096

const branchParams = { repo: repoField, branch: branchField }
const message = optional(text('What the commit is about.', MAX_MESSAGE))
const force = flag('Replaces files that are there.')
/** A folder may be all there is. */
const folderOrFile = (description: string) => ({
  ...parsed(description, (value) => value),
  read: (value: unknown, name: string) => (value === '' ? '' : parsed(description, parsePath).read(value, name)),
})
const from = folderOrFile('A file, or a folder with its `/`.')
const to = folderOrFile('What it is to be called: a file, or a folder with its `/`.')
const anywhere = folderOrFile('A file, a folder with its `/`, or everything where it is empty.')

export const placeRoutes: readonly Route[] = [
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/files/move',
      summary:
        'Moves a file or folder within a branch by one commit; what it has gathered is sealed, and no content is moved.',
      needs: 'write',
      params: branchParams,
      body: { from, to, force, message, progress: progressField },
      answer: { kind: 'json', status: 201, shape: 'Placed', progress: 'Working' },
    },
    ({ params, body: { message, progress, ...body }, author, services: { versioning } }) =>
      answerOf(
        progress,
        async (onWork) => {
          const input = { ...body, author, onWork, ...present({ message }) }
          return placedJson(versioning, await versioning.moves.move(params, input))
        },
        201,
      ),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/repos/:repo/branches/:branch/files/copy',
      summary:
        'Copies a file or folder of any commit one may read to a branch, by one commit and without copying content. What a named source branch has gathered is sealed first, if one may write there.',
      needs: 'write',
      params: branchParams,
      body: { source: addressField, from: anywhere, to: anywhere, force, message, progress: progressField },
      answer: { kind: 'json', status: 201, shape: 'Placed', progress: 'Working' },
    },
    async ({ params, body: { source, message, progress, ...body }, author, caller, services: { versioning } }) => {
      caller.authorize('read', source.repo, { branch: source.revision, path: body.from })
      const maySeal = caller.may('write', source.repo, { branch: source.revision })
      return answerOf(
        progress,
        async (onWork) => {
          const commit = await (maySeal ? resolveSettled : resolve)(versioning, source)
          const input = { ...body, author, onWork, ...present({ message }) }
          return placedJson(versioning, await versioning.moves.copy(params, commit, input))
        },
        201,
      )
    },
  ),
]

async function placedJson(versioning: Versioning, { commit, files, sizeBytes }: Placed): Promise<PlacedJson> {
  return { commit: await commitWithProvenance(versioning, commit), files, sizeBytes }
}
