import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { migrate, openSqlite, silentLog } from '../../kernel/index.ts'
import { parseBranchName, parseRepoName, RepoExists, RepoNotFound, versioningMigrations } from '../index.ts'
import { openTestStore, type TestStore } from '../testing/store.ts'

const images = parseRepoName('images')
const at = { repo: images, branch: parseBranchName('master') }

describe('roles on repos', () => {
  let store: TestStore
  before(async () => {
    store = await openTestStore()
  })
  after(() => store.close())
  const roles = () => store.versioning.roles

  it('come with the repo for who makes it, and go with it', async () => {
    await store.versioning.createBranch(at, { owner: 'ada', repo: 'new' })
    assert.deepEqual(await roles().list(images), [{ user: 'ada', role: 'owner' }])
    assert.equal(await roles().ownerOf(images), 'ada')
    await roles().set(images, 'bob', 'reader')
    await store.versioning.deleteBranch(at)
    await assert.rejects(roles().list(images), RepoNotFound)
    await assert.rejects(roles().ownerOf(images), RepoNotFound)
    await store.versioning.createRepo(images, { owner: 'eve' })
    assert.deepEqual([...(await roles().of('ada'))], [])
    assert.deepEqual([...(await roles().of('bob'))], [])
    assert.deepEqual([...(await roles().of('eve'))], [['images', 'owner']])
    assert.equal(await roles().ownerOf(images), 'eve')
  })

  it('are kept, replaced, taken away and forgotten, over a restart', async () => {
    await roles().set(images, 'bob', 'reader')
    await roles().set(images, 'bob', 'writer')
    await store.reopen()
    assert.deepEqual([...(await roles().of('bob'))], [['images', 'writer']])
    await roles().set(images, 'bob', undefined)
    assert.deepEqual([...(await roles().of('bob'))], [])
    await roles().forget('eve')
    assert.deepEqual(await roles().list(images), [])
    assert.equal(await roles().ownerOf(images), 'eve')
    await assert.rejects(roles().set(parseRepoName('none'), 'bob', 'reader'), RepoNotFound)
  })

  it('are told of before a change is answered', async () => {
    let told = 0
    const stop = roles().onChange(() => {
      told++
    })
    const counted = async (work: Promise<unknown>) => {
      const before = told
      await work
      return told - before
    }
    const repo = parseRepoName('told')
    assert.ok((await counted(store.versioning.createRepo(repo, { owner: 'ada' }))) > 0)
    assert.ok((await counted(roles().set(repo, 'bob', 'reader'))) > 0)
    assert.ok((await counted(roles().forget('bob'))) > 0)
    assert.ok((await counted(store.versioning.deleteRepo(repo))) > 0)
    const branch = { repo, branch: at.branch }
    assert.ok((await counted(store.versioning.createBranch(branch, { owner: 'ada' }))) > 0)
    assert.ok((await counted(store.versioning.deleteBranch(branch))) > 0)
    stop()
  })

  it('are what a caller relied on: a repo that came or went meanwhile is not touched', async () => {
    const other = { repo: images, branch: parseBranchName('dev') }
    await assert.rejects(store.versioning.createBranch(other, { repo: 'new' }), RepoExists)
    await assert.rejects(
      store.versioning.createBranch({ ...at, repo: parseRepoName('gone') }, { repo: 'existing' }),
      RepoNotFound,
    )
    assert.deepEqual((await store.versioning.getRepo(images)).branches, ['master'])
  })

  it('of repos that are older than users are none, and the root user is their owner', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-old-store-'))
    const db = await openSqlite({ file: join(folder, 'meta.sqlite'), log: silentLog })
    try {
      const { floor, migrations } = versioningMigrations
      await migrate(db, [{ floor, migrations: migrations.slice(0, 1) }])
      await db.write((tx) => tx.run("INSERT INTO repos VALUES ('old', '', 0, 'master')"))
      await migrate(db, [versioningMigrations])
      assert.deepEqual(await db.all('SELECT name, owner FROM repos'), [{ name: 'old', owner: null }])
      assert.deepEqual(await db.all('SELECT * FROM repo_roles'), [])
    } finally {
      await db.close()
      await rm(folder, { recursive: true, force: true })
    }
  })
})
