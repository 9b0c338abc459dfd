import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Database, migrate, openSqlite } from '../database/index.ts'
import { InvalidInput } from '../errors.ts'
import { silentLog } from '../log.ts'
import { openSecretBox } from '../secret-box.ts'
import { presignUrl, signRequest, verifyRequest } from '../sigv4/index.ts'
import {
  AccessDenied,
  accessMigrations,
  openUsers,
  type Role,
  type RoleSource,
  type TemporaryCredentials,
  UserExists,
  UserNotFound,
  type Users,
} from './index.ts'

const rootKey = { accessKeyId: 'ROOTKEY', secretAccessKey: 'the secret of the root key' }

/** Roles as a repo floor would keep them. */
function rolesInMemory() {
  const held = new Map<string, Map<string, Role>>()
  const listeners = new Set<() => void>()
  let delay = async () => {}
  const source: RoleSource = {
    of: async (user) => {
      const found = new Map(held.get(user))
      await delay()
      return found
    },
    forget: async (user) => void held.delete(user),
    onChange: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
  return {
    source,
    set: (user: string, repo: string, role: Role | undefined) => {
      const mine = held.get(user) ?? new Map<string, Role>()
      if (role) mine.set(repo, role)
      else mine.delete(repo)
      held.set(user, mine)
      for (const listener of listeners) listener()
    },
    /** What a read of roles waits for after it has read. */
    slow: (wait: () => Promise<void>) => {
      delay = wait
    },
  }
}

describe('users', () => {
  let folder: string
  let db: Database
  let nowMs = Date.UTC(2026, 0, 1)
  const roles = rolesInMemory()
  const clock = { now: () => nowMs }
  const open = async (key = rootKey, keyFolder = folder): Promise<Users> =>
    openUsers({ db, box: await openSecretBox(keyFolder), rootKey: key, roles: roles.source, clock })
  let users: Users

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-users-'))
    db = await openSqlite({ file: join(folder, 'meta.sqlite'), log: silentLog })
    await migrate(db, [accessMigrations])
    users = await open()
  })
  after(async () => {
    await db.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('begin with root, whose id stays when the store is opened again, also with another root key', async () => {
    const [root] = await users.list()
    assert.deepEqual([root?.name, root?.admin, root?.root, root?.keys[0]?.accessKeyId], ['root', true, true, 'ROOTKEY'])
    const other = await open({ accessKeyId: 'OTHER', secretAccessKey: 'x'.repeat(20) })
    assert.equal((await other.find('OTHER'))?.canonicalId, root?.canonicalId)
    assert.equal(await other.find('ROOTKEY'), undefined)
    assert.equal((await users.person(undefined)).canonicalId, root?.canonicalId)
  })

  it('are kept with their keys and rights over a restart, their secrets in clear nowhere', async () => {
    const { user, key } = await users.create({ name: 'ada', email: 'ada@example.com' })
    assert.match(user.canonicalId, /^[0-9a-f]{64}$/)
    for (const ring of [users, await open()]) {
      const found = await ring.find(key.accessKeyId)
      assert.equal(found?.secretAccessKey, key.secretAccessKey)
      assert.deepEqual([found?.name, found?.admin, found?.mayCreateRepos], ['ada', false, true])
    }
    assert.ok(!JSON.stringify([await users.list(), await users.inspect('ada')]).includes(key.secretAccessKey))
    for (const file of ['meta.sqlite', 'meta.sqlite-wal']) {
      assert.ok(!(await readFile(join(folder, file))).includes(key.secretAccessKey), file)
    }
  })

  it('have names, addresses and key ids of their own', async () => {
    await assert.rejects(users.create({ name: 'ada' }), UserExists)
    await assert.rejects(users.create({ name: 'root' }), UserExists)
    await assert.rejects(users.create({ name: 'eve', email: 'ada@example.com' }), { message: /user ada/ })
    for (const name of ['', 'Ada', 'a b', '-a', 'a/b', 'a'.repeat(64), '__proto__']) {
      await assert.rejects(users.create({ name }), InvalidInput, name)
    }
    for (const email of ['ada', 'a@b@c', 'a b@c', 'a\n@b']) {
      await assert.rejects(users.create({ name: 'eve', email }), InvalidInput, email)
    }
    for (const id of ['', 'rootkey', 'ROOTKEY ', '__proto__', "' OR 1=1 --"]) {
      assert.equal(await users.find(id), undefined)
    }
  })

  it('are refused from the next request on when they are deleted, and still named', async () => {
    const { user, key } = await users.create({ name: 'gone', email: 'gone@example.com' })
    assert.ok(await users.find(key.accessKeyId))
    await users.delete('gone')
    assert.equal(await users.find(key.accessKeyId), undefined)
    assert.deepEqual(await users.person(user.canonicalId), { canonicalId: user.canonicalId, name: 'gone' })
    await assert.rejects(users.inspect('gone'), UserNotFound)
    await assert.rejects(users.delete('gone'), UserNotFound)
    const again = await users.create({ name: 'gone', email: 'gone@example.com' })
    assert.notEqual(again.user.canonicalId, user.canonicalId)
    await assert.rejects(users.delete('root'), InvalidInput)
  })

  it('have another key at once when theirs is rotated, or keep the old one for a while if asked', async () => {
    const first = (await users.create({ name: 'turn' })).key
    const second = await users.rotate('turn')
    assert.equal(await users.find(first.accessKeyId), undefined)
    const third = await users.rotate('turn', { graceMs: 60_000 })
    assert.ok(await users.find(second.accessKeyId))
    assert.ok(await users.find(third.accessKeyId))
    assert.equal((await users.inspect('turn')).keys.length, 2)
    nowMs += 59_999
    assert.ok(await users.find(second.accessKeyId))
    nowMs += 1
    assert.equal(await users.find(second.accessKeyId), undefined)
    assert.equal((await users.inspect('turn')).keys.length, 1)
    const fourth = await users.rotate('turn', { graceMs: 60_000 })
    await users.rotate('turn', { graceMs: 60_000 })
    assert.equal(await users.find(third.accessKeyId), undefined)
    assert.ok(await users.find(fourth.accessKeyId))
    for (const graceMs of [-1, 0.5, 8 * 86_400_000]) {
      await assert.rejects(users.rotate('turn', { graceMs }), InvalidInput)
    }
    await assert.rejects(users.rotate('root'), { message: /SLUICE_ACCESS_KEY_ID/ })
    await assert.rejects(users.rotate('nobody'), UserNotFound)
  })

  it('have the roles of this moment, also where one was taken away while the key was looked up', async () => {
    const { user, key } = await users.create({ name: 'roles' })
    assert.equal((await users.find(key.accessKeyId))?.roles?.size, 0)
    roles.set(user.canonicalId, 'images', 'writer')
    assert.equal((await users.find(key.accessKeyId))?.roles?.get('images'), 'writer')
    roles.set(user.canonicalId, 'images', 'reader')
    let read = () => {}
    const hasRead = new Promise<void>((resolve) => {
      read = resolve
    })
    let go = () => {}
    roles.slow(() => {
      read()
      return new Promise((resolve) => {
        go = resolve
      })
    })
    const slow = users.find(key.accessKeyId)
    await hasRead
    roles.slow(async () => {})
    roles.set(user.canonicalId, 'images', undefined)
    go()
    await slow
    assert.equal((await users.find(key.accessKeyId))?.roles?.get('images'), undefined)
  })

  it('are not served with keys that were sealed under another key file', async () => {
    const { key } = await users.create({ name: 'sealed' })
    const elsewhere = await open(rootKey, join(folder, 'elsewhere'))
    await assert.rejects(elsewhere.find(key.accessKeyId), { code: 'Corrupt', message: new RegExp(key.accessKeyId) })
  })

  describe('with temporary credentials', () => {
    let made: TemporaryCredentials
    let permanent: string
    before(async () => {
      const { user, key } = await users.create({ name: 'lender' })
      permanent = key.accessKeyId
      roles.set(user.canonicalId, 'images', 'writer')
      made = await lend()
    })
    const lend = async (grants?: Parameters<Users['mint']>[1]['grants'], forMs = 3_600_000) =>
      users.mint((await users.find(permanent))!, { forMs, ...(grants ? { grants } : {}) })
    const find = (credentials: TemporaryCredentials, ring = users) =>
      ring.find(credentials.accessKeyId, credentials.sessionToken)

    it('stand for their maker, after a restart too', async () => {
      for (const ring of [users, await open()]) {
        const found = await find(made, ring)
        assert.deepEqual([found?.name, found?.secretAccessKey], ['lender', made.secretAccessKey])
        assert.equal(found?.roles?.get('images'), 'writer')
        assert.equal(found?.temporary?.expiresMs, made.expiresMs)
      }
    })

    it('need all that belongs together, unchanged', async () => {
      const other = await lend()
      assert.equal(await users.find(made.accessKeyId), undefined)
      assert.equal(await users.find(made.accessKeyId, other.sessionToken), undefined)
      assert.equal(await users.find(permanent, made.sessionToken), undefined)
      assert.equal(await users.find('ROOTKEY', made.sessionToken), undefined)
      for (const token of ['', 'a', made.sessionToken.slice(1), `${made.sessionToken}A`, `${made.sessionToken}=`]) {
        assert.equal(await users.find(made.accessKeyId, token), undefined)
      }
      for (let at = 0; at < made.sessionToken.length; at += 7) {
        const letter = made.sessionToken[at] === 'A' ? 'B' : 'A'
        const changed = made.sessionToken.slice(0, at) + letter + made.sessionToken.slice(at + 1)
        assert.equal(await users.find(made.accessKeyId, changed), undefined, `changed at ${at}`)
      }
      assert.notEqual(made.secretAccessKey, other.secretAccessKey)
      assert.ok(!Buffer.from(made.sessionToken, 'base64url').includes('lender'))
    })

    it('end when the secret of the root key is another, also under the same id', async () => {
      const lent = users.mint((await users.find(rootKey.accessKeyId))!, { forMs: 3_600_000 })
      const found = async (ring: Users) => (await ring.find(lent.accessKeyId, lent.sessionToken))?.secretAccessKey
      assert.equal(await found(users), lent.secretAccessKey)
      assert.equal(await found(await open()), lent.secretAccessKey)
      const changed = await open({ ...rootKey, secretAccessKey: 'what it was replaced by when it leaked' })
      assert.notEqual(await found(changed), lent.secretAccessKey)
    })

    it('are not opened by another store', async () => {
      const elsewhere = await open(rootKey, join(folder, 'elsewhere'))
      assert.equal(await find(made, elsewhere), undefined)
    })

    it('are no way to get more than the maker has', async () => {
      const grant = { repo: 'images', role: 'writer' } as const
      await assert.rejects(lend([{ ...grant, repo: 'other' }]), AccessDenied)
      await assert.rejects(lend([grant, { repo: 'other', role: 'reader' }]), AccessDenied)
      const key = (await find(await lend([grant])))!
      assert.throws(() => users.mint(key, { forMs: 3_600_000 }), AccessDenied)
      assert.throws(() => users.mint(key, { forMs: 3_600_000, grants: [grant] }), AccessDenied)
    })

    it('last as long as is allowed, and are bound to as much as fits', async () => {
      for (const forMs of [0, -1, 59_999, 12 * 3_600_000 + 1, Number.NaN]) {
        await assert.rejects(lend(undefined, forMs), InvalidInput, String(forMs))
      }
      await assert.rejects(lend([]), InvalidInput)
      const grant = { repo: 'images', role: 'reader' } as const
      await assert.rejects(lend(Array.from({ length: 17 }, () => grant)), InvalidInput)
      await assert.rejects(
        lend(Array.from({ length: 16 }, () => ({ ...grant, prefix: 'p'.repeat(1024) }))),
        /too long together/,
      )
    })

    it('lose with their maker what it loses, and end with its key', async () => {
      const { user, key } = await users.create({ name: 'short' })
      roles.set(user.canonicalId, 'images', 'owner')
      const lent = users.mint((await users.find(key.accessKeyId))!, { forMs: 3_600_000 })
      roles.set(user.canonicalId, 'images', 'reader')
      assert.equal((await find(lent))?.roles?.get('images'), 'reader')
      const next = await users.rotate('short')
      assert.equal(await find(lent), undefined)
      const again = users.mint((await users.find(next.accessKeyId))!, { forMs: 3_600_000 })
      assert.ok(await find(again))
      await users.delete('short')
      assert.equal(await find(again), undefined)
    })

    it('sign requests in headers and URLs until they expire, and never without their token', async () => {
      const input = {
        method: 'GET',
        url: 'http://127.0.0.1/images/a',
        region: 'us-east-1',
        service: 's3',
        now: new Date(nowMs),
      } as const
      const verify = (target: string, headers: Record<string, string>, atMs = nowMs) =>
        verifyRequest(
          { method: 'GET', rawUrl: target, headers, rawHeaders: Object.entries(headers).flat() },
          { findKey: (id, token) => users.find(id, token), nowMs: atMs },
        )
      const signed = (more: Partial<TemporaryCredentials> = {}, at = input) =>
        signRequest({ ...at, ...made, ...more, headers: {}, bodySha256: 'UNSIGNED-PAYLOAD' })
      assert.equal((await verify('/images/a', signed())).key.name, 'lender')
      const { 'x-amz-security-token': _token, ...without } = signed()
      await assert.rejects(verify('/images/a', without), { code: 'UnknownAccessKey' })
      const added = {
        ...signRequest({ ...input, ...made, sessionToken: undefined, headers: {}, bodySha256: 'UNSIGNED-PAYLOAD' }),
        'x-amz-security-token': made.sessionToken,
      }
      await assert.rejects(verify('/images/a', added), { code: 'HeadersNotSigned' })
      await assert.rejects(verify('/images/a', signed({ sessionToken: 'wrong' })), { code: 'InvalidSecurityToken' })
      await assert.rejects(verify('/images/a', signed({ secretAccessKey: 'wrong' })), { code: 'SignatureMismatch' })
      const later = new Date(made.expiresMs)
      await assert.rejects(verify('/images/a', signed({}, { ...input, now: later }), made.expiresMs), {
        code: 'ExpiredSecurityToken',
      })

      const origin = 'http://127.0.0.1'
      const target = presignUrl({ ...input, ...made, expiresSeconds: 604_800 }).slice(origin.length)
      const host = { host: '127.0.0.1' }
      assert.equal((await verify(target, host)).presigned, true)
      await assert.rejects(verify(target, host, made.expiresMs), { code: 'ExpiredSecurityToken' })
      const bare = target.replace(/&X-Amz-Security-Token=[^&]*/, '')
      await assert.rejects(verify(bare, host), { code: 'UnknownAccessKey' })
      const twice = { ...host, 'x-amz-security-token': made.sessionToken }
      const both = presignUrl({ ...input, ...made, expiresSeconds: 60 }).slice(origin.length)
      await assert.rejects(verify(both.replace('=host', '=host%3Bx-amz-security-token'), twice), {
        code: 'InvalidSecurityToken',
      })
      const notOurs = presignUrl({ ...input, ...rootKey, sessionToken: made.sessionToken, expiresSeconds: 60 })
      await assert.rejects(verify(notOurs.slice(origin.length), host), { code: 'InvalidSecurityToken' })
    })
  })
})
