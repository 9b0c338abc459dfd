import type { Command } from 'commander'
import type {
  CredentialsJson,
  GrantJson,
  KeyJson,
  RoleJson,
  RoleNameJson,
  UserCreatedJson,
  UserJson,
} from '../../api/contract.ts'
import { MAX_ROTATION_GRACE_MS, MAX_SESSION_MS } from '../../kernel/index.ts'
import type { ApiClient } from '../client.ts'
import { apiPath } from '../client.ts'
import { UsageError } from '../errors.ts'
import { ago, details, parseDuration, shellWord } from '../format.ts'
import { type JsonOption, note, print, printJson, printList, type Session, withJson } from '../session.ts'

interface CreateOptions extends JsonOption {
  readonly email?: string
  readonly admin?: boolean
  /** Commander's form of `--no-create-repos`. */
  readonly createRepos: boolean
}

interface CredentialsOptions extends JsonOption {
  readonly repo: readonly string[]
  readonly prefix?: string
  readonly branch?: string
  readonly transaction?: string
  readonly for?: string
  readonly process?: boolean
}

export function addUserCommands(program: Command, session: Session): void {
  const user = program.command('user').description('users, their keys and their roles on repos')
  addPeople(user, session)
  addRoles(user, session)
  addKeys(user, session)
}

function addPeople(user: Command, session: Session): void {
  withJson(user.command('create <name>'))
    .description('create a user with a key; the secret key is shown this once')
    .option('--email <address>', 'e-mail address')
    .option('--admin', 'may do everything on every repo, and administer the server')
    .option('--no-create-repos', 'may not create repos; by default a user may, and owns what it creates')
    .action(async (name: string, { email, admin = false, createRepos, json }: CreateOptions) => {
      const body = { name, admin, mayCreateRepos: createRepos, ...(email !== undefined && { email }) }
      const made = await (await session.api()).post<UserCreatedJson>('/v1/users', body)
      if (json) return printJson(session, made)
      printExports(session, made.key)
    })
  withJson(user.command('list').description('list the users')).action(async (options: JsonOption) => {
    const users = await (await session.api()).get<UserJson[]>('/v1/users')
    printList(session, options, users, [
      ['NAME', (item) => item.name],
      ['E-MAIL', (item) => item.email ?? '<none>'],
      ['ADMIN', (item) => (item.admin ? 'yes' : 'no')],
      ['KEYS', (item) => item.keys.map((key) => key.accessKeyId).join(', ') || '<none>'],
      ['CREATED', (item) => ago(item.created, session.now())],
    ])
  })
  withJson(
    user.command('inspect [name]').description('show a user with its roles; without a name, whose key is used'),
  ).action(async (name: string | undefined, options: JsonOption) => {
    const found = await findUser(await session.api(), name)
    if (options.json) return printJson(session, found)
    const keys = found.keys.map((key) => key.accessKeyId + (key.expires === undefined ? '' : ` (until ${key.expires})`))
    const mayCreate = found.admin || found.mayCreateRepos
    print(
      session,
      details([
        ['Name', found.name],
        ['E-mail', found.email ?? '<none>'],
        ['Canonical id', found.canonicalId],
        ['Administrator', found.admin ? 'yes' : 'no'],
        ['Creates repos', mayCreate ? 'yes' : 'no'],
        ['Keys', keys.join(', ') || '<none>'],
        ['Roles', found.roles?.map(({ repo, role }) => `${role} of ${repo}`).join(', ') || '<none>'],
        ['Created', ago(found.created, session.now())],
      ]),
    )
  })
  user
    .command('delete <name>')
    .description('delete a user; its keys and roles end now, what it wrote stays under its name')
    .action(async (name: string) => {
      await (await session.api()).delete(apiPath`/v1/users/${name}`)
    })
}

function addRoles(user: Command, session: Session): void {
  user
    .command('grant <name> <repo> <role>')
    .description('give a user a role on a repo: reader, writer or owner')
    .action(async (name: string, repo: string, role: RoleNameJson) => {
      await (await session.api()).put(apiPath`/v1/repos/${repo}/roles/${name}`, { role })
    })
  user
    .command('revoke <name> <repo>')
    .description('take the role of a user on a repo away')
    .action(async (name: string, repo: string) => {
      await (await session.api()).delete(apiPath`/v1/repos/${repo}/roles/${name}`)
    })
  withJson(user.command('roles <repo>').description('list who has which role on a repo')).action(
    async (repo: string, options: JsonOption) => {
      const roles = await (await session.api()).get<RoleJson[]>(apiPath`/v1/repos/${repo}/roles`)
      printList(session, options, roles, [
        ['USER', (item) => item.user],
        ['ROLE', (item) => item.role],
      ])
    },
  )
}

function addKeys(user: Command, session: Session): void {
  withJson(user.command('rotate [name]'))
    .description('make a new key in place of the old one, which ends at once; without a name, for whose key is used')
    .option('--grace <time>', 'the old key goes on for so long (30m, 24h; at most 7 days)')
    .action(async (name: string | undefined, { grace, json }: JsonOption & { grace?: string }) => {
      const api = await session.api()
      const { name: whose } = await findUser(api, name)
      const graceSeconds = grace === undefined ? 0 : seconds('--grace', grace, MAX_ROTATION_GRACE_MS, '7d')
      const key = await api.post<KeyJson>(apiPath`/v1/users/${whose}/rotate`, { graceSeconds })
      if (json) return printJson(session, key)
      printExports(session, key)
    })
  withJson(user.command('credentials'))
    .description(
      'make temporary credentials with the rights of the key that is used, or with less; they end with that key. Prints shell exports.',
    )
    .option('--repo <repo[:role]>', 'only this repo, as reader (the default) or writer; may be repeated', collect, [])
    .option('--prefix <prefix>', 'only keys that begin so; a folder ends with a slash')
    .option('--branch <branch>', 'only the bucket <branch>.<repo>')
    .option('--transaction <name>', 'only the bucket tx-<name>.<repo>, or with --branch tx-<name>.<branch>.<repo>')
    .option('--for <time>', 'how long they last, at most 12h', '1h')
    .option('--process', 'print them as the credential_process of an AWS profile does, which asks again when they end')
    .action(async (options: CredentialsOptions) => {
      const grants = readGrants(options)
      const made = await (await session.api()).post<CredentialsJson>('/v1/credentials', {
        forSeconds: seconds('--for', options.for ?? '1h', MAX_SESSION_MS, '12h'),
        ...(grants.length > 0 && { grants }),
      })
      if (options.process) return printJson(session, forCredentialProcess(made))
      if (options.json) return printJson(session, made)
      printExports(session, made)
      note(session, `they end at ${made.expires}`)
    })
}

/** AWS CLI User Guide, "Sourcing credentials with an external process". */
function forCredentialProcess({ accessKeyId, secretAccessKey, sessionToken, expires }: CredentialsJson): object {
  return {
    Version: 1,
    AccessKeyId: accessKeyId,
    SecretAccessKey: secretAccessKey,
    SessionToken: sessionToken,
    Expiration: expires,
  }
}

function collect(value: string, before: readonly string[]): readonly string[] {
  return [...before, value]
}

function findUser(api: ApiClient, name: string | undefined): Promise<UserJson> {
  return api.get<UserJson>(name === undefined ? '/v1/user' : apiPath`/v1/users/${name}`)
}

function readGrants({ repo: repos, prefix, branch, transaction }: CredentialsOptions): readonly GrantJson[] {
  if (repos.length === 0 && [prefix, branch, transaction].some((bound) => bound !== undefined)) {
    throw new UsageError('--prefix, --branch and --transaction say where in a repo: name it with --repo')
  }
  const onBranch = branch === undefined ? '' : `.${branch}`
  const bucketPart = transaction === undefined ? branch : `tx-${transaction}${onBranch}`
  return repos.map((text) => {
    const [repo = '', role = 'reader', ...rest] = text.split(':')
    if ((role !== 'reader' && role !== 'writer') || rest.length > 0) {
      throw new UsageError(`--repo ${text}: write REPO, REPO:reader or REPO:writer`)
    }
    return {
      repo,
      role,
      ...(bucketPart !== undefined && { branch: bucketPart }),
      ...(prefix !== undefined && { prefix }),
    }
  })
}

function seconds(option: string, text: string, mostMs: number, most: string): number {
  const ms = parseDuration(text)
  if (ms === undefined || ms % 1000 !== 0) throw new UsageError(`${option} ${text}: write a time, as 90s, 30m or 12h`)
  if (ms > mostMs) throw new UsageError(`${option} ${text}: at most ${most}`)
  return ms / 1000
}

/** In the variables that AWS tools and this command read. */
function printExports(session: Session, key: KeyJson & { readonly sessionToken?: string }): void {
  const values = {
    AWS_ACCESS_KEY_ID: key.accessKeyId,
    AWS_SECRET_ACCESS_KEY: key.secretAccessKey,
    ...(key.sessionToken !== undefined && { AWS_SESSION_TOKEN: key.sessionToken }),
  }
  for (const [name, value] of Object.entries(values)) print(session, `export ${name}=${shellWord(value)}\n`)
  // That of another key would make this one invalid.
  if (key.sessionToken === undefined && session.config.awsKey?.sessionToken) print(session, 'unset AWS_SESSION_TOKEN\n')
}
