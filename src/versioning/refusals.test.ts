import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { afterEach, beforeEach, describe, it } from 'node:test'
import {
  BranchNotFound,
  ConditionFailed,
  InvalidName,
  parsePath,
  parseRepoName,
  ReadOnly,
  RepoNotFound,
  UploadNotFound,
} from './index.ts'
import { branchOf, listAll, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

const images = branchOf('images@master')

describe('a versioned store', () => {
  let store: TestStore

  beforeEach(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(images)
  })

  afterEach(() => store.close())

  const put = (path: string, text: string) => putText(store.versioning, images, path, text)
  const commit = () => sealCommit(store.versioning, images)

  it('lets one of many conditional PUTs win', async () => {
    const tries = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) =>
        putText(store.versioning, images, 'lock', String(i), { conditions: { ifNoneMatch: '*' } }),
      ),
    )
    assert.equal(tries.filter((one) => one.status === 'fulfilled').length, 1)
    const refused = tries.filter((one) => one.status === 'rejected')
    assert.ok(refused.every((one) => one.reason instanceof ConditionFailed))
  })

  it('decides conditions against the tree as well as against staged changes', async () => {
    await put('a', '1')
    await commit()
    const { etag } = await store.versioning.stat(images, parsePath('a'))
    const change = (conditions: object, path = 'a') => putText(store.versioning, images, path, '2', { conditions })
    await assert.rejects(change({ ifNoneMatch: '*' }), ConditionFailed)
    await assert.rejects(change({ ifMatch: 'other' }), ConditionFailed)
    await assert.rejects(change({ ifMatch: etag }, 'missing'), {
      code: 'ConditionFailed',
      data: { condition: 'If-Match', missing: true },
    })
    await change({ ifMatch: etag })
    await assert.rejects(change({ ifMatch: etag }), ConditionFailed)
    await store.versioning.delete(images, parsePath('a'))
    await change({ ifNoneMatch: '*' })
  })

  it('gives the disk space of a large body back when its PUT or part is refused', async () => {
    const { versioning } = store
    const large = async () => {
      const writer = versioning.content.writer({ expectedBytes: 64 * 1024 * 1024 })
      await writer.write(Buffer.alloc(3 * 1024 * 1024, 7))
      return writer.finish()
    }
    const packs = async () =>
      (await readdir(`${store.folder}/packs`, { recursive: true })).filter((name) => name.endsWith('.pack'))
    await put('a', 'x'.repeat(1000))
    const before = await packs()
    const path = parsePath('a')
    const refused = {
      path,
      staged: await large(),
      etag: 'e',
      attributes: { metadata: {} },
      conditions: { ifNoneMatch: '*' },
    } as const
    await assert.rejects(versioning.put(images, refused), ConditionFailed)
    const part = { number: 1, staged: await large(), md5: 'e' }
    await assert.rejects(versioning.uploads.putPart(images, path, 'none', part), UploadNotFound)
    assert.deepEqual(await packs(), before)
    await versioning.put(images, { ...refused, staged: await large(), conditions: {} })
    assert.equal((await packs()).length, before.length + 1)
    assert.equal(
      (await versioning.content.readBytes((await versioning.stat(images, path)).content, { start: 0, end: 3 })).length,
      3,
    )
  })

  it('refuses an entry that no tree could hold, and nobody else with it', async () => {
    const attributes = { contentDisposition: 'x'.repeat(20_000), metadata: {} }
    const outcomes = await Promise.allSettled([
      put('a', '1'),
      putText(store.versioning, images, 'b', '2', { attributes }),
      put('c', '3'),
    ])
    assert.deepEqual(
      outcomes.map((outcome) => outcome.status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    assert.equal((await commit()).files, 2)
  })

  it('refuses every way to write into the control folder', async () => {
    await put('a', '1')
    const source = await store.versioning.stat(images, parsePath('a'))
    const path = parsePath('.sluice/flush.json')
    await assert.rejects(put(path, 'x'), ReadOnly)
    await assert.rejects(store.versioning.copy(images, path, { source, attributes: source.attributes }), ReadOnly)
    await assert.rejects(store.versioning.delete(images, parsePath('.sluice')), ReadOnly)
    await assert.rejects(store.versioning.deleteMany(images, [{ path: parsePath('a') }, { path }]), ReadOnly)
    await assert.rejects(store.versioning.uploads.create(images, { path, attributes: { metadata: {} } }), ReadOnly)
    assert.deepEqual(await listAll(store.versioning, images), ['a'])
    await put('.sluicegate', 'x')
  })

  it('refuses names of branches and repos that are not there', async () => {
    await assert.rejects(putText(store.versioning, branchOf('images@nowhere'), 'a', '1'), BranchNotFound)
    await assert.rejects(putText(store.versioning, branchOf('nothing@master'), 'a', '1'), RepoNotFound)
    await assert.rejects(store.versioning.getRepo(parseRepoName('nothing')), RepoNotFound)
    await assert.rejects(store.versioning.list(branchOf('images@nowhere'), { limit: 1 }), BranchNotFound)
    await assert.rejects(store.versioning.stat(branchOf('nothing@master'), parsePath('a')), RepoNotFound)
    await assert.rejects(store.versioning.list(branchOf('nothing@master'), { limit: 1 }), RepoNotFound)
  })

  it('makes no repo of a name that is a transaction whose branch was forgotten', async () => {
    const name = parseRepoName('tx-load')
    await assert.rejects(store.versioning.createRepo(name), InvalidName)
    await assert.rejects(store.versioning.createBranch(branchOf('tx-load@master')), InvalidName)
    await assert.rejects(store.versioning.getRepo(name), RepoNotFound)
  })
})
