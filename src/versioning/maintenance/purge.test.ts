import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { InvalidInput, openSqlite, silentLog } from '../../kernel/index.ts'
import { type Commit, InUse, PathNotFound, RepoNotFound } from '../model/index.ts'
import type { PurgeEvent, PurgeInput } from '../purges.ts'
import { assertSound } from '../testing/fsck.ts'
import { branchOf, getText, listAll, openTestStore, putText, sealCommit, type TestStore } from '../testing/store.ts'

const images = branchOf('images@master')
const side = branchOf('images@side')
const other = branchOf('other@master')
const text = () => randomBytes(3_000).toString('hex')

type Done = Extract<PurgeEvent, { kind: 'done' }>

async function purge(store: TestStore, input: Partial<PurgeInput> & { path: string }): Promise<Done> {
  const full = { repo: images.repo, reason: 'a right to be forgotten', by: 'admin', ...input }
  for await (const event of store.versioning.maintenance.purges.run(full)) if (event.kind === 'done') return event
  throw new Error('it did not end')
}

/** Whether the packs, or a node of a tree, have these bytes anywhere. */
async function isStored(store: TestStore, bytes: string): Promise<boolean> {
  const folder = join(store.folder, 'packs')
  for (const name of await readdir(folder, { recursive: true })) {
    if (name.endsWith('.pack') && (await readFile(join(folder, name))).includes(bytes)) return true
  }
  const nodes = await openSqlite({ file: join(store.folder, 'nodes.sqlite'), log: silentLog })
  try {
    return (await nodes.all<{ body: Buffer }>('SELECT body FROM node')).some(({ body }) => body.includes(bytes))
  } finally {
    await nodes.close()
  }
}

describe('purge', () => {
  let store: TestStore
  let secret: string
  let shared: string
  let commits: Commit[]

  beforeEach(async () => {
    store = await openTestStore()
    const { versioning } = store
    await versioning.createBranch(images)
    await versioning.createBranch(other)
    secret = text()
    shared = text()
    commits = []
    await putText(versioning, images, 'dir/secret', secret)
    await putText(versioning, images, 'dir/shared', shared)
    await putText(versioning, images, 'kept', 'kept')
    await putText(versioning, other, 'copy', shared)
    // So that the packs are mostly in use.
    for (let i = 0; i < 10; i++) await putText(versioning, other, `bulk-${i}`, text())
    commits.push(await sealCommit(versioning, images))
    await putText(versioning, images, 'dir/secret', 'small-secret')
    commits.push(await sealCommit(versioning, images))
    await versioning.createBranch(side, { from: commits[0]!.id })
    await putText(versioning, side, 'more', 'more')
    commits.push(await sealCommit(versioning, side))
    // Staged, and not in any commit yet.
    await putText(versioning, images, 'dir/secret', secret)
    await putText(versioning, images, 'dir/other', 'other')
  })

  afterEach(() => store.close())

  it('takes a path out of every commit, branch and version, and its bytes out of the store', async () => {
    const { versioning } = store
    const done = await purge(store, { path: 'dir/secret' })
    assert.equal(done.purge.versions, 3)
    assert.ok(done.purge.commits >= 3)
    assert.ok(done.purge.finishedMs !== undefined)
    for (const { id } of commits) {
      const at = { kind: 'commit', repo: images.repo, commit: id } as const
      await assert.rejects(getText(versioning, at, 'dir/secret'), PathNotFound)
      assert.equal(await getText(versioning, at, 'dir/shared'), shared)
    }
    assert.deepEqual(await listAll(versioning, images), ['dir/other', 'dir/shared', 'kept'])
    assert.deepEqual(await listAll(versioning, side), ['dir/shared', 'kept', 'more'])
    assert.equal((await versioning.getCommit(images.repo, commits[0]!.id)).files, 2)
    assert.equal(await isStored(store, secret), false)
    assert.equal(await isStored(store, 'small-secret'), false)
    assert.equal(await isStored(store, 'dir/secret'), false)
    assert.equal(await isStored(store, shared), true)
    await assertSound(store, { deep: true })
    const sealed = await sealCommit(versioning, images)
    assert.equal(sealed.files, 3)
    const page = await versioning.versions.list(images, { limit: 100 })
    assert.equal(JSON.stringify(page).includes('dir/secret'), false)
    await store.reopen()
    assert.deepEqual(await listAll(store.versioning, images), ['dir/other', 'dir/shared', 'kept'])
    await assertSound(store, { deep: true })
  })

  it('takes all that begins with a prefix, and leaves what another repo has of it', async () => {
    const { versioning } = store
    await purge(store, { path: 'dir/', prefix: true })
    assert.deepEqual(await listAll(versioning, images), ['kept'])
    assert.equal(await getText(versioning, other, 'copy'), shared)
    assert.equal(await isStored(store, shared), true)
    assert.equal(await isStored(store, secret), false)
    await assertSound(store, { deep: true })
  })

  it('forgets what was read before: listings and commits in memory no longer show it', async () => {
    const { versioning } = store
    const commit = { kind: 'commit', repo: images.repo, commit: commits[0]!.id } as const
    assert.deepEqual(await listAll(versioning, commit), ['dir/secret', 'dir/shared', 'kept'])
    assert.deepEqual(await listAll(versioning, images), ['dir/other', 'dir/secret', 'dir/shared', 'kept'])
    await purge(store, { path: 'dir/secret' })
    assert.deepEqual(await listAll(versioning, commit), ['dir/shared', 'kept'])
    await assert.rejects(getText(versioning, commit, 'dir/secret'), PathNotFound)
    assert.deepEqual(await listAll(versioning, images), ['dir/other', 'dir/shared', 'kept'])
  })

  it('keeps a record of who did it, and why', async () => {
    await purge(store, { path: 'dir/secret', reason: 'ticket 7', by: 'ann' })
    const [record, ...more] = await store.versioning.maintenance.purges.list()
    assert.deepEqual(more, [])
    assert.deepEqual(
      [record!.path, record!.prefix, record!.reason, record!.by],
      ['dir/secret', false, 'ticket 7', 'ann'],
    )
  })

  it('goes on at the next start, wherever it was interrupted', async () => {
    for (let stopAt = 1; ; stopAt *= 2) {
      const body = text()
      await putText(store.versioning, images, 'again', body)
      await sealCommit(store.versioning, images)
      let events = 0
      let ended = false
      const input = { repo: images.repo, path: 'again', reason: 'a test', by: 'admin' }
      for await (const event of store.versioning.maintenance.purges.run(input)) {
        ended = event.kind === 'done'
        if (++events === stopAt) break
      }
      await store.reopen()
      await finished(store)
      await assert.rejects(getText(store.versioning, images, 'again'), PathNotFound)
      assert.equal(await isStored(store, body), false)
      if (ended) break
    }
    await assertSound(store, { deep: true })
  })

  it('refuses what it is not given a reason for, and what is not there', async () => {
    await assert.rejects(purge(store, { path: 'a', reason: ' ' }), InvalidInput)
    await assert.rejects(purge(store, { path: 'a', repo: 'none' as PurgeInput['repo'] }), RepoNotFound)
    assert.deepEqual(await store.versioning.maintenance.purges.list(), [])
  })

  it('refuses a repo that a job is at work with', async () => {
    const { versioning, db } = store
    const edges = branchOf('edges@master')
    await db.write((tx) =>
      versioning.derived.define(tx, { output: edges, pipeline: 'edges', inputs: [images], owner: 'root' }),
    )
    await assert.rejects(purge(store, { path: 'dir/secret' }), InUse)
    assert.equal(await getText(versioning, images, 'dir/secret'), secret)
  })

  it('says which commits of other repos were computed from what held it', async () => {
    const { versioning, db } = store
    const edges = branchOf('edges@master')
    await db.write((tx) =>
      versioning.derived.define(tx, { output: edges, pipeline: 'edges', inputs: [images], owner: 'root' }),
    )
    const [open] = await versioning.derived.listOpen()
    await db.write((tx) => versioning.derived.finish(tx, open!.commit, commits[0]!.root))
    const done = await purge(store, { path: 'dir/secret' })
    assert.deepEqual(done.derived, [{ repo: edges.repo, commit: open!.commit }])
    assert.equal(done.derivedTotal, 1)
    // It was given the very tree: that one was not asked for.
    assert.equal(await getText(versioning, edges, 'dir/secret'), secret)
    await assertSound(store, { deep: true })
  })
})

async function finished(store: TestStore): Promise<void> {
  for (;;) {
    const records = await store.versioning.maintenance.purges.list()
    if (records.every(({ finishedMs }) => finishedMs !== undefined)) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
