import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import {
  AccessDenied,
  type AccessKey,
  authorize,
  authorizeNewRepo,
  type Grant,
  isAllowed,
  mayCreateRepos,
  type Need,
  type Place,
  type Role,
  roles,
  rootKeyRing,
} from './index.ts'

const needs: readonly Need[] = ['known', 'read', 'write', 'owner', 'admin']
const user = (more: Partial<AccessKey> = {}): AccessKey => ({
  accessKeyId: 'USER',
  secretAccessKey: 'a secret',
  name: 'ada',
  canonicalId: 'a'.repeat(64),
  admin: false,
  ...more,
})
const withRole = (role: Role) => user({ roles: new Map([['images', role]]) })
const bound = (grants?: readonly Grant[], role: Role = 'owner') => ({
  ...withRole(role),
  temporary: { expiresMs: 1, ...(grants ? { grants } : {}) },
})
const may = (key: AccessKey, place?: Place) =>
  needs.filter((need) => need !== 'known' && isAllowed(key, need, 'images', place))

describe('the root ring', () => {
  it('knows the root key and no other, and no session of it', async () => {
    const ring = rootKeyRing({ accessKeyId: 'ROOT', secretAccessKey: 'a secret' })
    assert.match((await ring.find('ROOT'))?.canonicalId ?? '', /^[0-9a-f]{64}$/)
    for (const id of ['root', '', 'ROOT ', '__proto__']) assert.equal(await ring.find(id), undefined)
    assert.equal(await ring.find('ROOT', 'a token'), undefined)
  })
})

describe('a role', () => {
  it('lets its user do what it says and no more, on its repo and no other', () => {
    assert.deepEqual(may(user()), [])
    assert.deepEqual(may(withRole('reader')), ['read'])
    assert.deepEqual(may(withRole('writer')), ['read', 'write'])
    assert.deepEqual(may(withRole('owner')), ['read', 'write', 'owner'])
    assert.deepEqual(may(user({ admin: true })), ['read', 'write', 'owner', 'admin'])
    for (const role of roles) {
      for (const need of needs.slice(1)) {
        for (const repo of ['image', 'images2', 'constructor', '__proto__', '', undefined]) {
          assert.equal(isAllowed(withRole(role), need, repo), false, `${role} ${need} ${repo}`)
        }
      }
    }
  })

  it('is not needed to be known, and is asked for by name when it is missing', () => {
    authorize(user(), 'known', undefined)
    assert.throws(() => authorize(user(), 'write', 'images'), {
      code: 'AccessDenied',
      message: /USER.*write on repo images.*an owner of the repo/,
      data: { need: 'write', repo: 'images' },
    })
    assert.throws(() => authorize(user(), 'admin', undefined), { message: /USER.*administer this server/ })
  })

  it('is not what lets a user make a repo', () => {
    assert.equal(mayCreateRepos(withRole('owner')), false)
    assert.equal(mayCreateRepos(user({ mayCreateRepos: true })), true)
    assert.equal(mayCreateRepos(user({ admin: true })), true)
    assert.throws(() => authorizeNewRepo(user(), 'new'), AccessDenied)
  })
})

describe('a temporary key', () => {
  const whole: Place = { branch: 'master' }
  const below = (path: string, branch = 'master'): Place => ({ branch, path })

  it('never administers, whoever made it', () => {
    const key = { ...user({ admin: true }), temporary: { expiresMs: 1 } }
    assert.deepEqual(may(key), ['read', 'write', 'owner'])
    assert.equal(isAllowed(key, 'read', undefined), true)
    assert.equal(isAllowed(key, 'admin', undefined), false)
  })

  it('has the rights that its maker has now, where it is bound to nothing', () => {
    for (const role of roles) assert.deepEqual(may(bound(undefined, role)), may(withRole(role)))
  })

  it('has no more than its grant, and no more than its maker', () => {
    const grant = { repo: 'images', role: 'writer' } as const
    assert.deepEqual(may(bound([grant])), ['read', 'write'])
    assert.deepEqual(may(bound([grant], 'reader')), ['read'])
    assert.deepEqual(may(bound([{ ...grant, role: 'reader' }])), ['read'])
    assert.deepEqual(may(bound([{ ...grant, repo: 'other' }])), [])
    assert.deepEqual(may(bound([])), [])
    const admin = { ...bound([grant]), admin: true }
    assert.equal(isAllowed(admin, 'read', 'other'), false)
    assert.equal(isAllowed(admin, 'read', undefined), false)
    assert.equal(mayCreateRepos(admin), false)
  })

  it('bound to a branch or a transaction, reaches that bucket alone', () => {
    for (const branch of ['master', 'tx-load.master']) {
      const key = bound([{ repo: 'images', role: 'writer', branch }])
      assert.deepEqual(may(key, { branch }), ['read', 'write'])
      for (const other of [undefined, 'maste', 'master2', 'tx-load', 'tx-load.master2', 'a'.repeat(32)]) {
        assert.deepEqual(may(key, { branch: other }), [], String(other))
      }
      assert.deepEqual(may(key), [])
    }
  })

  it('bound to a prefix, reaches what begins with it byte by byte, and nothing that is about all', () => {
    const key = bound([{ repo: 'images', role: 'writer', prefix: 'team/a/' }])
    for (const path of ['team/a/', 'team/a/x', 'team/a/../b', 'team/a//']) {
      assert.deepEqual(may(key, below(path)), ['read', 'write'], path)
    }
    for (const path of [
      '',
      'team',
      'team/a',
      'team/b/x',
      '/team/a/x',
      'Team/a/x',
      './team/a/x',
      'team/b/../a/x',
      '.sluice/log.json',
    ]) {
      assert.deepEqual(may(key, below(path)), [], path)
    }
    assert.deepEqual(may(key, whole), [])
    assert.deepEqual(may(key), [])
    assert.deepEqual(may(key, { branch: undefined, outside: true }), ['read', 'write'])
  })

  it('is refused as one without a signature where it is nobody’s', () => {
    assert.throws(
      () => authorize({ ...bound([]), accessKeyId: '' }, 'read', 'images', whole),
      /the request is not signed/,
    )
    assert.throws(() => authorize(bound([]), 'read', 'images', whole), /the temporary key/)
  })

  it('with several grants, never mixes one with another', () => {
    const key = bound([
      { repo: 'images', role: 'reader', prefix: 'in/' },
      { repo: 'images', role: 'writer', branch: 'tx-a.master', prefix: 'out/' },
    ])
    assert.deepEqual(may(key, below('in/x')), ['read'])
    assert.deepEqual(may(key, below('out/x')), [])
    assert.deepEqual(may(key, below('out/x', 'tx-a.master')), ['read', 'write'])
    assert.deepEqual(may(key, below('in/x', 'tx-a.master')), ['read'])
  })
})
