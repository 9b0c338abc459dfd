import {
  type AccessKey,
  accessMigrations,
  type Grant,
  type IssuedKey,
  migrate,
  openSecretBox,
  openUsers,
  type Role,
  systemClock,
  type TemporaryCredentials,
  type Users,
} from '../../kernel/index.ts'
import { parseRepoName, type Versioning } from '../../versioning/index.ts'
import type { GatewayOptions } from '../gateway.ts'
import { startTestServer, type TestServer, testKey } from './server.ts'

/** A gateway with users of its own. */
export interface PeopledServer extends TestServer {
  readonly users: Users
  /** A new user's key. */
  user(name: string): Promise<IssuedKey & { readonly canonicalId: string }>
  grant(name: string, repo: string, role: Role | undefined): Promise<void>
  /** Temporary credentials of the user with this key. */
  lend(key: IssuedKey, grants?: readonly Grant[]): Promise<TemporaryCredentials>
}

/** `watch` may put something in front of the store that the gateway works with. */
export async function startPeopledServer(
  options: Partial<GatewayOptions> & { watch?: (versioning: Versioning) => Versioning } = {},
): Promise<PeopledServer> {
  const { watch = (same: Versioning) => same, ...rest } = options
  const opening = Promise.withResolvers<Users>()
  const server = await startTestServer({
    ...rest,
    prepare: async ({ db, folder, versioning }) => {
      await migrate(db, [accessMigrations])
      const box = await openSecretBox(folder)
      const users = await openUsers({ db, box, rootKey: testKey, roles: versioning.roles, clock: systemClock })
      opening.resolve(users)
      return { keys: users, people: users, versioning: watch(versioning) }
    },
  })
  const opened = await opening.promise
  const { store } = server
  const keyOf = async ({ accessKeyId }: IssuedKey): Promise<AccessKey> => (await opened.find(accessKeyId))!
  return {
    ...server,
    users: opened,
    user: async (name) => {
      const { user, key } = await opened.create({ name, email: `${name}@example.com` })
      return { ...key, canonicalId: user.canonicalId }
    },
    grant: async (name, repo, role) =>
      store.versioning.roles.set(parseRepoName(repo), (await opened.inspect(name)).canonicalId, role),
    lend: async (key, grants) => opened.mint(await keyOf(key), { forMs: 3_600_000, ...(grants ? { grants } : {}) }),
  }
}
