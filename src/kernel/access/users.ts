import { randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import type { Database, Transaction } from '../database/index.ts'
import { InvalidInput } from '../errors.ts'
import { MAX_ROTATION_GRACE_MS, MAX_USERS } from '../limits.ts'
import type { SecretBox } from '../secret-box.ts'
import {
  AccessDenied,
  type AccessKey,
  type Grant,
  type KeyRing,
  type Person,
  type Role,
  UserExists,
  UserNotFound,
} from './model.ts'
import { type TemporaryCredentials, TemporaryKeys } from './temporary.ts'

/** What anybody who may look at a user sees of it: never a secret. */
export interface UserInfo {
  readonly name: string
  readonly email?: string
  readonly canonicalId: string
  readonly admin: boolean
  readonly mayCreateRepos: boolean
  /** The one of the server's root key, which is set or kept elsewhere. */
  readonly root: boolean
  readonly createdMs: number
  readonly keys: readonly KeyInfo[]
}

/** A key of a user, without its secret. */
export interface KeyInfo {
  readonly accessKeyId: string
  readonly createdMs: number
  /** Only of one that was rotated and goes on for a while. */
  readonly expiresMs?: number
}

/** A key as it is shown once, to whoever made it. */
export interface IssuedKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** Who is to be made a user. */
export interface NewUser {
  readonly name: string
  readonly email?: string
  readonly admin?: boolean
  /** Default: true. */
  readonly mayCreateRepos?: boolean
}

/** The users of a store and their keys. What is revoked here is refused from the next request on. */
export interface Users extends KeyRing {
  /** Throws InvalidInput that lists what is wrong; UserExists. */
  create(input: NewUser): Promise<{ readonly user: UserInfo; readonly key: IssuedKey }>
  /** In order of name. */
  list(): Promise<readonly UserInfo[]>
  /** Throws UserNotFound, as the others below. */
  inspect(name: string): Promise<UserInfo>
  /** Its keys and its roles end; what it wrote stays under its name. Throws InvalidInput for the root user. */
  delete(name: string): Promise<void>
  /**
   * A new key in place of the others, which end now or after `graceMs`. `by`: the id of the key that asks. Throws AccessDenied if that is
   * one of this user's that was rotated itself: whoever has it must not outlast it. InvalidInput for the root user.
   */
  rotate(name: string, options?: { readonly graceMs?: number; readonly by?: string }): Promise<IssuedKey>
  /** Credentials for a time, with no more rights than `key` has. Throws AccessDenied, InvalidInput. */
  mint(key: AccessKey, input: { readonly grants?: readonly Grant[]; readonly forMs: number }): TemporaryCredentials
  /** Whose canonical id this is, also after it was deleted; undefined: the root user. */
  person(canonicalId: string | undefined): Promise<Person>
}

/** Where roles are kept: with the repos, so that they come and go with them. */
export interface RoleSource {
  of(canonicalId: string): Promise<ReadonlyMap<string, Role>>
  /** Removes all roles of a user. */
  forget(canonicalId: string): Promise<void>
  /** Called after every change, before the change is answered. */
  onChange(listener: () => void): () => void
}

interface UserRow {
  readonly id: string
  readonly name: string
  readonly email: string | null
  readonly admin: number
  readonly may_create_repos: number
  readonly root: number
  readonly created_ms: number
}

interface KeyRow {
  readonly access_key_id: string
  readonly user_id: string
  readonly sealed: Buffer
  readonly created_ms: number
  readonly expires_ms: number | null
}

interface CachedKey {
  readonly key: AccessKey
  /** When it ends by itself. */
  readonly expiresMs: number
}

/** Keys that were used lately; each is a few hundred bytes. */
const MAX_CACHED = 10_000
/** Names of people that were shown lately. */
const MAX_PEOPLE = 10_000
/** The store can be moved to another server, and its ids with it: they only have to be different. */
const CANONICAL_ID_BYTES = 32

/**
 * Opens the users in `db` (migrated with `accessMigrations`). `rootKey` is the key of the user root, who may do everything and can't
 * be deleted.
 */
export async function openUsers(options: {
  readonly db: Database
  readonly box: SecretBox
  readonly rootKey: IssuedKey
  readonly roles: RoleSource
  readonly clock: Clock
}): Promise<Users> {
  const { db, clock } = options
  await db.write((tx) =>
    tx.run(
      `INSERT INTO users (id, name, admin, may_create_repos, root, created_ms) VALUES (?, 'root', 1, 1, 1, ?)
       ON CONFLICT DO NOTHING`,
      [newCanonicalId(), clock.now()],
    ),
  )
  const root = await db.get<UserRow>('SELECT * FROM users WHERE root = 1')
  return new StoredUsers(options, root!)
}

class StoredUsers implements Users {
  readonly #db: Database
  readonly #box: SecretBox
  readonly #roles: RoleSource
  readonly #clock: Clock
  readonly #root: AccessKey
  readonly #rootRow: UserRow
  readonly #temporary: TemporaryKeys
  readonly #keys = new Map<string, CachedKey>()
  readonly #people = new Map<string, Person>()
  /** Raised by every change: what was read before it is not kept. */
  #generation = 0

  constructor(options: Parameters<typeof openUsers>[0], root: UserRow) {
    this.#db = options.db
    this.#box = options.box
    this.#roles = options.roles
    this.#clock = options.clock
    this.#rootRow = root
    this.#root = Object.freeze({ ...options.rootKey, name: root.name, canonicalId: root.id, admin: true })
    this.#temporary = new TemporaryKeys(options.box)
    options.roles.onChange(() => this.#changed())
  }

  async find(accessKeyId: string, sessionToken?: string): Promise<AccessKey | undefined> {
    if (sessionToken === undefined) return this.#findPermanent(accessKeyId)
    return this.#temporary.find(accessKeyId, sessionToken, (parent) => this.#findPermanent(parent))
  }

  mint(...[key, input]: Parameters<Users['mint']>): TemporaryCredentials {
    return this.#temporary.mint(key, input, this.#clock.now())
  }

  async create(input: NewUser): ReturnType<Users['create']> {
    const { name, email, admin = false, mayCreateRepos = true } = checkNewUser(input)
    const id = newCanonicalId()
    const key = await this.#db.write(async (tx) => {
      await refuseTaken(tx, name, email)
      const { count } = (await tx.get<{ count: number }>(
        'SELECT count(*) AS count FROM users WHERE deleted_ms IS NULL',
      ))!
      if (count >= MAX_USERS) throw new InvalidInput(`there are ${MAX_USERS} users already: delete one first`)
      await tx.run(
        'INSERT INTO users (id, name, email, admin, may_create_repos, created_ms) VALUES (?, ?, ?, ?, ?, ?)',
        [id, name, email ?? null, admin ? 1 : 0, mayCreateRepos ? 1 : 0, this.#clock.now()],
      )
      return this.#issue(tx, id)
    })
    this.#changed()
    return { user: await this.inspect(name), key }
  }

  async list(): Promise<readonly UserInfo[]> {
    const users = await this.#db.all<UserRow>('SELECT * FROM users WHERE deleted_ms IS NULL ORDER BY name')
    const keys = await this.#db.all<KeyRow>('SELECT * FROM user_keys ORDER BY created_ms, access_key_id')
    const byUser = Map.groupBy(keys, (key) => key.user_id)
    return users.map((user) => this.#infoOf(user, byUser.get(user.id) ?? []))
  }

  async inspect(name: string): Promise<UserInfo> {
    const user = await findUser(this.#db, name)
    const keys = await this.#db.all<KeyRow>(
      'SELECT * FROM user_keys WHERE user_id = ? ORDER BY created_ms, access_key_id',
      [user.id],
    )
    return this.#infoOf(user, keys)
  }

  async delete(name: string): Promise<void> {
    const id = await this.#db.write(async (tx) => {
      const user = await findUser(tx, name)
      if (user.root === 1) throw new InvalidInput('the root user can not be deleted: it is the one of the root key')
      await tx.run('DELETE FROM user_keys WHERE user_id = ?', [user.id])
      await tx.run('UPDATE users SET deleted_ms = ? WHERE id = ?', [this.#clock.now(), user.id])
      return user.id
    })
    this.#changed()
    // Its id is never used again: roles that a crash leaves behind mean nothing.
    await this.#roles.forget(id)
  }

  async rotate(name: string, { graceMs = 0, by }: Parameters<Users['rotate']>[1] = {}): Promise<IssuedKey> {
    if (!Number.isInteger(graceMs) || graceMs < 0 || graceMs > MAX_ROTATION_GRACE_MS) {
      throw new InvalidInput(
        `a key can go on for at most ${MAX_ROTATION_GRACE_MS / 86_400_000} days after it was rotated`,
      )
    }
    const key = await this.#db.write(async (tx) => {
      const user = await findUser(tx, name)
      if (user.root === 1) {
        throw new InvalidInput(
          'the root key is not rotated here: set SLUICE_ACCESS_KEY_ID and SLUICE_SECRET_ACCESS_KEY, or move root-key.json away, and start the server again',
        )
      }
      if (by !== undefined) await refuseRotated(tx, user, by)
      const nowMs = this.#clock.now()
      if (graceMs > 0) {
        // One key back at most: those that were rotated before end now.
        await tx.run('DELETE FROM user_keys WHERE user_id = ? AND expires_ms IS NOT NULL', [user.id])
        await tx.run('UPDATE user_keys SET expires_ms = ? WHERE user_id = ?', [nowMs + graceMs, user.id])
      } else {
        await tx.run('DELETE FROM user_keys WHERE user_id = ?', [user.id])
      }
      return this.#issue(tx, user.id)
    })
    this.#changed()
    return key
  }

  async person(canonicalId: string | undefined): Promise<Person> {
    if (canonicalId === undefined || canonicalId === this.#root.canonicalId) {
      return { canonicalId: this.#root.canonicalId, name: this.#root.name }
    }
    const known = this.#people.get(canonicalId)
    if (known) return known
    const row = await this.#db.get<{ name: string }>('SELECT name FROM users WHERE id = ?', [canonicalId])
    const person = { canonicalId, ...(row ? { name: row.name } : {}) }
    // Names never change, so that they may be kept; an id that nobody has may be given to somebody yet.
    if (row) remember(this.#people, canonicalId, person, MAX_PEOPLE)
    return person
  }

  async #findPermanent(accessKeyId: string): Promise<AccessKey | undefined> {
    if (accessKeyId === this.#root.accessKeyId) return this.#root
    const cached = this.#keys.get(accessKeyId)
    if (cached) return cached.expiresMs > this.#clock.now() ? cached.key : undefined
    const generation = this.#generation
    const loaded = await this.#load(accessKeyId)
    if (!loaded) return undefined
    if (generation === this.#generation) remember(this.#keys, accessKeyId, loaded, MAX_CACHED)
    return loaded.expiresMs > this.#clock.now() ? loaded.key : undefined
  }

  async #load(accessKeyId: string): Promise<CachedKey | undefined> {
    const row = await this.#db.get<KeyRow & UserRow>(
      `SELECT u.*, k.access_key_id, k.sealed, k.expires_ms FROM user_keys AS k CROSS JOIN users AS u ON u.id = k.user_id
       WHERE k.access_key_id = ? AND u.deleted_ms IS NULL`,
      [accessKeyId],
    )
    if (!row) return undefined
    const key: AccessKey = {
      accessKeyId,
      secretAccessKey: this.#box.open(row.sealed, keyContext(row.id, accessKeyId), `the key ${accessKeyId}`),
      name: row.name,
      ...(row.email === null ? {} : { email: row.email }),
      canonicalId: row.id,
      admin: row.admin === 1,
      mayCreateRepos: row.may_create_repos === 1,
      roles: await this.#roles.of(row.id),
    }
    return { key, expiresMs: row.expires_ms ?? Number.POSITIVE_INFINITY }
  }

  async #issue(tx: Transaction, userId: string): Promise<IssuedKey> {
    const key = {
      accessKeyId: `SLUICE${randomBytes(7).toString('hex').toUpperCase()}`,
      secretAccessKey: randomBytes(30).toString('base64url'),
    }
    await tx.run('INSERT INTO user_keys (access_key_id, user_id, sealed, created_ms) VALUES (?, ?, ?, ?)', [
      key.accessKeyId,
      userId,
      this.#box.seal(key.secretAccessKey, keyContext(userId, key.accessKeyId)),
      this.#clock.now(),
    ])
    return key
  }

  #infoOf(user: UserRow, keys: readonly KeyRow[]): UserInfo {
    const nowMs = this.#clock.now()
    const root = user.root === 1
    const shown = root
      ? [{ accessKeyId: this.#root.accessKeyId, createdMs: this.#rootRow.created_ms }]
      : keys
          .filter((key) => key.expires_ms === null || key.expires_ms > nowMs)
          .map((key) => ({
            accessKeyId: key.access_key_id,
            createdMs: key.created_ms,
            ...(key.expires_ms === null ? {} : { expiresMs: key.expires_ms }),
          }))
    return {
      name: user.name,
      ...(user.email === null ? {} : { email: user.email }),
      canonicalId: user.id,
      admin: user.admin === 1,
      mayCreateRepos: user.may_create_repos === 1,
      root,
      createdMs: user.created_ms,
      keys: shown,
    }
  }

  #changed(): void {
    this.#generation++
    this.#keys.clear()
  }
}

function remember<T>(cache: Map<string, T>, name: string, value: T, most: number): void {
  for (const oldest of cache.keys()) {
    if (cache.size < most) break
    cache.delete(oldest)
  }
  cache.set(name, value)
}

async function findUser(queries: Pick<Database, 'get'>, name: string): Promise<UserRow> {
  const row = await queries.get<UserRow>('SELECT * FROM users WHERE name = ? AND deleted_ms IS NULL', [name])
  if (!row) throw new UserNotFound(name)
  return row
}

async function refuseRotated(tx: Transaction, user: UserRow, accessKeyId: string): Promise<void> {
  const rotated = await tx.get(
    'SELECT 1 FROM user_keys WHERE access_key_id = ? AND user_id = ? AND expires_ms IS NOT NULL',
    [accessKeyId, user.id],
  )
  if (!rotated) return
  throw new AccessDenied(
    `the key ${accessKeyId} was rotated and goes on for a while only: use the one that took its place`,
  )
}

async function refuseTaken(tx: Transaction, name: string, email: string | undefined): Promise<void> {
  const taken = await tx.get<{ name: string }>(
    'SELECT name FROM users WHERE (name = ? OR email = ?) AND deleted_ms IS NULL LIMIT 1',
    [name, email ?? null],
  )
  if (!taken) return
  const what = taken.name === name ? `user ${name} exists already` : `the e-mail address is that of user ${taken.name}`
  throw new UserExists(`${what}; inspect it, or choose another`, { name: taken.name })
}

function checkNewUser(input: NewUser): NewUser {
  const problems: string[] = []
  if (!/^[a-z0-9]([a-z0-9._@-]{0,61}[a-z0-9])?$/.test(input.name)) {
    problems.push(
      'its name is 1 to 63 lower-case letters, digits, dots, dashes, underscores and @, with a letter or digit at both ends',
    )
  }
  if (input.email !== undefined && !/^[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9.-]{1,190}$/.test(input.email)) {
    problems.push('its e-mail address is written like ada@example.com')
  }
  if (problems.length > 0) throw new InvalidInput(`the user can't be made: ${problems.join('; ')}`, { problems })
  return input
}

/** A sealed secret only opens in its own row. */
function keyContext(userId: string, accessKeyId: string): Buffer {
  return Buffer.from(JSON.stringify(['user-key', userId, accessKeyId]))
}

function newCanonicalId(): string {
  return randomBytes(CANONICAL_ID_BYTES).toString('hex')
}
