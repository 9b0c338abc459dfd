import {
  type Grant,
  InvalidInput,
  MAX_GRANTS,
  MAX_PATH_BYTES,
  MAX_ROTATION_GRACE_MS,
  roles,
} from '../../kernel/index.ts'
import { parseBranchName, parseRepoName } from '../../versioning/index.ts'
import { repoField } from '../addresses.ts'
import type { Caller } from '../caller.ts'
import type { RoleJson } from '../contract.ts'
import {
  choice,
  type Field,
  fieldsOfJson,
  flagOr,
  listOf,
  optional,
  parsed,
  present,
  readFields,
  text,
  whole,
} from '../fields.ts'
import { empty, json, type Route, route } from '../route.ts'
import { credentialsJson, userJson } from '../views.ts'

const MAX_NAME = 63
const MAX_EMAIL = 254
/** The bounds themselves are the kernel's; these keep numbers sane. */
const MAX_SECONDS = 86_400
const DEFAULT_SECONDS = 3_600

const user = text('Name of the user.', MAX_NAME, 1)

/** What stands before the repo in a bucket's name: a branch, or a transaction. */
const bucketPart = parsed('A branch, or a transaction as `tx-<name>` or `tx-<name>.<branch>`.', (value) => {
  const transaction = /^tx-[a-z0-9]([a-z0-9-]*[a-z0-9])?(?:\.(.+))?$/.exec(value)
  if (!transaction) return parseBranchName(value)
  if (transaction[2] !== undefined) parseBranchName(transaction[2])
  return value
})

const prefix = parsed('What all keys begin with; a folder ends with a slash.', (value) => {
  if (Buffer.byteLength(value) <= MAX_PATH_BYTES) return value
  throw new InvalidInput(`a prefix has at most ${MAX_PATH_BYTES} bytes`)
})

const grantFields = {
  repo: parsed('Name of the repo.', parseRepoName),
  role: choice('What may be done there.', ['reader', 'writer']),
  branch: optional(bucketPart),
  prefix: optional(prefix),
}

const grantField: Field<Grant> = {
  schema: {
    type: 'object',
    properties: Object.fromEntries(Object.entries(grantFields).map(([name, field]) => [name, field.schema])),
    required: ['repo', 'role'],
    additionalProperties: false,
  },
  required: true,
  read(value, name) {
    const { repo, role, ...bounds } = readFields(grantFields, fieldsOfJson(value), name)
    return { repo, role, ...present(bounds) }
  },
}

const peopleRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/user',
      summary: 'Shows the user of the key that the request is signed with.',
      needs: 'known',
      answer: { kind: 'json', status: 200, shape: 'User' },
    },
    async ({ caller, services: { users, versioning } }) => {
      const { canonicalId, name } = caller.key
      return json(userJson(await users.inspect(name), await versioning.roles.of(canonicalId)))
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/users',
      summary: 'Lists the users.',
      needs: 'admin',
      answer: { kind: 'json', status: 200, shape: 'User', list: true },
    },
    async ({ services: { users } }) => json((await users.list()).map((info) => userJson(info))),
  ),
  route(
    {
      method: 'POST',
      path: '/v1/users',
      summary: 'Creates a user with a key; its secret part is in this answer and nowhere else.',
      needs: 'admin',
      body: {
        name: user,
        email: optional(text('E-mail address.', MAX_EMAIL, 1)),
        admin: flagOr('May do everything on every repo, and administer the server.', false),
        mayCreateRepos: flagOr('May make repos, which it then owns; true if left out.', true),
      },
      answer: { kind: 'json', status: 201, shape: 'UserCreated' },
    },
    async ({ body: { email, ...body }, services: { users } }) => {
      const made = await users.create({ ...body, ...present({ email }) })
      return json({ user: userJson(made.user), key: made.key }, 201)
    },
  ),
  route(
    {
      method: 'GET',
      path: '/v1/users/:user',
      summary: 'Shows a user, with its roles. Others than administrators see themselves only.',
      needs: 'known',
      params: { user },
      answer: { kind: 'json', status: 200, shape: 'User' },
    },
    async ({ params, caller, services: { users, versioning } }) => {
      requireSelf(caller, params.user)
      const info = await users.inspect(params.user)
      return json(userJson(info, await versioning.roles.of(info.canonicalId)))
    },
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/users/:user',
      summary: 'Deletes a user: its keys and roles end now. What it wrote stays under its name.',
      needs: 'admin',
      params: { user },
      answer: { kind: 'empty' },
    },
    async ({ params, services: { users } }) => {
      await users.delete(params.user)
      return empty
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/users/:user/rotate',
      summary: 'Makes a new key for a user. The old one, and what was made with it, ends now or after a while.',
      needs: 'known',
      params: { user },
      body: {
        graceSeconds: optional(whole('How long the old key goes on.', 0, MAX_ROTATION_GRACE_MS / 1000)),
      },
      answer: { kind: 'json', status: 201, shape: 'Key' },
    },
    async ({ params, body: { graceSeconds = 0 }, caller, services: { users } }) => {
      caller.requirePermanent('rotate keys')
      requireSelf(caller, params.user)
      const by = caller.key.accessKeyId
      return json(await users.rotate(params.user, { graceMs: graceSeconds * 1000, by }), 201)
    },
  ),
  route(
    {
      method: 'POST',
      path: '/v1/credentials',
      summary:
        'Makes temporary credentials with the rights of this key, or with less: bound to repos, branches, transactions and prefixes.',
      needs: 'known',
      body: {
        grants: optional(listOf(grantField, MAX_GRANTS)),
        forSeconds: optional(whole(`How long they last; ${DEFAULT_SECONDS} if left out.`, 1, MAX_SECONDS)),
      },
      answer: { kind: 'json', status: 201, shape: 'Credentials' },
    },
    async ({ body: { grants, forSeconds = DEFAULT_SECONDS }, caller, services: { users } }) =>
      json(credentialsJson(users.mint(caller.key, { forMs: forSeconds * 1000, ...present({ grants }) })), 201),
  ),
]

const roleParams = { repo: repoField, user }

const roleRoutes: readonly Route[] = [
  route(
    {
      method: 'GET',
      path: '/v1/repos/:repo/roles',
      summary: 'Lists who has which role on a repo. Administrators need none, and are not listed.',
      needs: 'owner',
      params: { repo: repoField },
      answer: { kind: 'json', status: 200, shape: 'Role', list: true },
    },
    async ({ params: { repo }, services: { users, versioning } }) => {
      const listed: RoleJson[] = []
      for (const { user: canonicalId, role } of await versioning.roles.list(repo)) {
        const { name } = await users.person(canonicalId)
        listed.push({ repo, user: name ?? canonicalId, canonicalId, role })
      }
      return json(listed)
    },
  ),
  route(
    {
      method: 'PUT',
      path: '/v1/repos/:repo/roles/:user',
      summary: 'Gives a user a role on a repo, in place of the one it has.',
      needs: 'owner',
      params: roleParams,
      body: { role: choice('What it may do: read, write, or everything.', roles) },
      answer: { kind: 'json', status: 200, shape: 'Role' },
    },
    async ({ params, body: { role }, caller, services: { users, versioning } }) => {
      caller.requirePermanent('grant roles')
      const { name, canonicalId } = await users.inspect(params.user)
      await versioning.roles.set(params.repo, canonicalId, role)
      const granted: RoleJson = { repo: params.repo, user: name, canonicalId, role }
      return json(granted)
    },
  ),
  route(
    {
      method: 'DELETE',
      path: '/v1/repos/:repo/roles/:user',
      summary: 'Takes the role of a user on a repo away; that it has none is no error.',
      needs: 'owner',
      params: roleParams,
      answer: { kind: 'empty' },
    },
    async ({ params, caller, services: { users, versioning } }) => {
      caller.requirePermanent('revoke roles')
      await versioning.roles.set(params.repo, (await users.inspect(params.user)).canonicalId, undefined)
      return empty
    },
  ),
]

export const userRoutes: readonly Route[] = [...peopleRoutes, ...roleRoutes]

/** Whoever is no administrator learns nothing about others, not even whether they are there. */
function requireSelf(caller: Caller, name: string): void {
  if (caller.key.name !== name) caller.authorize('admin', undefined)
}
