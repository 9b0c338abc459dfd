import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import {
  BranchMoved,
  type CommitId,
  ConditionFailed,
  NothingToFinish,
  PathNotFound,
  parsePath,
  RepoNotFound,
  TransactionLimit,
  TransactionNotFound,
} from './index.ts'
import { branchOf, listAll, openTestStore, putText, type TestStore } from './testing/store.ts'
import { conflict, images, job, transactionsOf, tx } from './testing/transactions.ts'

describe('a transaction', () => {
  let store: TestStore

  beforeEach(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(images)
  })

  afterEach(() => store.close())

  const { put, get, remove, open, finish, settle } = transactionsOf(() => store)

  it('shows its branch as it was and its own writes, and the branch nothing of it until it is finished', async () => {
    await put(images, 'a', 'old')
    await put(images, 'b')
    await open()
    await put(job, 'a', 'new')
    await put(job, 'c')
    await remove(job, 'b')
    await put(images, 'later')
    assert.deepEqual(await listAll(store.versioning, job), ['a', 'c'])
    assert.equal(await get(job, 'a'), 'new')
    await assert.rejects(get(job, 'later'), PathNotFound)
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'b', 'later'])
    assert.equal(await get(images, 'a'), 'old')
    const commit = await finish(job, 'the job')
    assert.deepEqual([commit.state, commit.message, commit.branch, commit.files], ['finished', 'the job', 'master', 3])
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'c', 'later'])
    assert.equal(await get(images, 'a'), 'new')
    assert.deepEqual(await listAll(store.versioning, { kind: 'commit', repo: images.repo, commit: commit.id }), [
      'a',
      'c',
      'later',
    ])
    await assert.rejects(get(job, 'a'), { code: 'BranchNotFound' })
  })

  it('is one commit, the newest of its branch, under the id that it had from the start', async () => {
    await put(images, 'a')
    const { transaction } = await open(job, { message: 'begun', author: 'ann' })
    for (let i = 0; i < 5; i++) await put(job, `part-${i}`, `${i}`, { author: 'bob' })
    await put(images, 'b')
    const first = await settle()
    const commit = await finish()
    assert.equal(commit.id, transaction.commit)
    assert.deepEqual(commit.parents, [first!.id])
    assert.deepEqual([commit.message, commit.authors], ['begun', ['ann', 'bob']])
    const log = await store.versioning.listCommits(images.repo, { branch: images.branch })
    assert.deepEqual(
      log.map(({ id }) => id),
      [commit.id, first!.id, transaction.base],
    )
    assert.equal((await store.versioning.getBranch(images)).head, commit.id)
  })

  it('has every version under the id that was acknowledged', async () => {
    await open()
    const first = await put(job, 'a', 'one')
    const second = await put(job, 'a', 'two')
    await put(images, 'before')
    const commit = await finish()
    const entry = await store.versioning.stat(images, parsePath('a'))
    assert.deepEqual(entry.version, second.version)
    const inCommit = await store.versioning.stat(
      { kind: 'commit', repo: images.repo, commit: commit.id },
      parsePath('a'),
    )
    assert.deepEqual(inCommit.version, second.version)
    const rows = await store.db.all<{ of_commit: CommitId; of_seq: number }>(
      "SELECT of_commit, of_seq FROM changes WHERE path = 'a' AND listed = 1 AND branch_id = (SELECT id FROM branches WHERE name = 'master') ORDER BY seq",
    )
    assert.deepEqual(
      rows.map((row) => ({ commit: row.of_commit, seq: row.of_seq })),
      [first.version, second.version],
    )
  })

  it('is no branch: it is not listed as one, and no rule seals it', async () => {
    await open()
    await put(job, 'a')
    assert.deepEqual(
      (await store.versioning.listBranches(images.repo)).map(({ name }) => name),
      ['master'],
    )
    assert.deepEqual((await store.versioning.getRepo(images.repo)).branches, ['master'])
    const { transaction } = await open()
    const newest = await store.versioning.seal(job, { force: true })
    assert.equal(newest?.commit, transaction.commit)
    const commit = await store.versioning.getCommit(images.repo, transaction.commit)
    assert.deepEqual([commit.state, commit.heldBy], ['open', 'the transaction tx-job.master.images'])
    await assert.rejects(store.versioning.finishCommit(job), NothingToFinish)
  })

  it('conflicts where both sides changed a path, names the paths, and stays open', async () => {
    for (const path of ['same', 'mine', 'theirs', 'both', 'gone']) await put(images, path, 'base')
    await open()
    await put(job, 'mine', 'tx')
    await put(job, 'both', 'tx')
    await put(job, 'gone', 'tx')
    await put(job, 'new', 'tx')
    await put(images, 'theirs', 'branch')
    await put(images, 'both', 'branch')
    await remove(images, 'gone')
    await assert.rejects(finish(), conflict(['both', 'gone']))
    await put(images, 'new', 'branch')
    await assert.rejects(finish(), conflict(['both', 'gone', 'new']))
    await settle()
    await assert.rejects(finish(), conflict(['both', 'gone', 'new']))
    assert.equal(await get(job, 'both'), 'tx')
    assert.equal(await get(images, 'both'), 'branch')
    await store.versioning.transactions.abort(job)
    assert.equal(await get(images, 'mine'), 'base')
  })

  it('does not conflict where both sides ended the same, unless one of them was on a condition', async () => {
    await put(images, 'gone', 'base')
    await open()
    await open(tx('strict'))
    await open(tx('late'))
    for (const at of [job, images]) {
      await put(at, 'same', 'text')
      await remove(at, 'gone')
    }
    await put(tx('strict'), 'same', 'text', { conditions: { ifNoneMatch: '*' } })
    await put(tx('late'), 'other', 'text')
    await put(images, 'other', 'text', { conditions: { ifNoneMatch: '*' } })
    await finish()
    await assert.rejects(finish(tx('strict')), conflict(['same']))
    await assert.rejects(finish(tx('late')), conflict(['other']))
    await settle()
    await assert.rejects(finish(tx('late')), conflict(['other']))
  })

  it('shows version ids as its branch does, which is where they are enabled', async () => {
    await open()
    await store.versioning.versions.enable(job)
    const plain = await openTestStore({ unversioned: true })
    await plain.versioning.createBranch(images)
    await plain.versioning.transactions.open(job)
    const written = await putText(plain.versioning, job, 'a', 'x')
    assert.equal(written.unversioned, true)
    await assert.rejects(plain.versioning.versions.enable(job), { code: 'ReadOnly' })
    await plain.close()
  })

  it('decides conditions by what it shows itself', async () => {
    await put(images, 'a', 'base')
    await open()
    await assert.rejects(put(job, 'a', 'x', { conditions: { ifNoneMatch: '*' } }), ConditionFailed)
    await put(job, 'b', 'x', { conditions: { ifNoneMatch: '*' } })
    await assert.rejects(put(job, 'b', 'x', { conditions: { ifNoneMatch: '*' } }), ConditionFailed)
    await finish()
    assert.equal(await get(images, 'b'), 'x')
  })

  it('is compared with a branch that was restored meanwhile by what that changed', async () => {
    await put(images, 'a', 'one')
    await put(images, 'kept', 'one')
    const first = await settle()
    await put(images, 'a', 'two')
    await settle()
    await open()
    await open(tx('other'))
    await put(job, 'a', 'tx')
    await put(tx('other'), 'kept', 'tx')
    await store.versioning.restore(images, first!.id)
    await assert.rejects(finish(), conflict(['a']))
    const commit = await finish(tx('other'))
    assert.equal(await get(images, 'kept'), 'tx')
    assert.equal(await get(images, 'a'), 'one')
    assert.equal(commit.files, 2)
  })

  it('of a branch that never was written to begins empty; without a write it is a commit that changes nothing', async () => {
    const { transaction } = await open()
    assert.equal(transaction.base, undefined)
    const empty = await finish(job, 'nothing')
    assert.deepEqual([empty.files, empty.parents, empty.message], [0, [], 'nothing'])
    await open()
    await put(job, 'a')
    const second = await finish()
    assert.deepEqual([second.files, second.parents], [1, [empty.id]])
    assert.notEqual(second.id, empty.id)
  })

  it('is aborted with all that was written, and its name is free again', async () => {
    await put(images, 'a')
    await open()
    await put(job, 'b')
    await put(job, '_temporary/0/c')
    await store.versioning.uploads.create(job, { path: parsePath('d'), attributes: { metadata: {} } })
    await store.versioning.transactions.abort(job)
    await assert.rejects(store.versioning.transactions.abort(job), TransactionNotFound)
    await assert.rejects(finish(), TransactionNotFound)
    // As a bucket it is read like a branch; what is missing is called what it was all the same.
    const gone = { message: /there is no transaction tx-job\.master\.images/ }
    await assert.rejects(store.versioning.stat(job, parsePath('a')), gone)
    await assert.rejects(put(job, 'a'), gone)
    for (const table of ['uploads', 'scratch']) assert.deepEqual(await store.db.all(`SELECT * FROM ${table}`), [])
    await open()
    assert.deepEqual(await listAll(store.versioning, job), ['a'])
  })

  it('takes uploads, copies and scratch files as a branch does, and takes no scratch file along', async () => {
    await put(images, 'a', 'text')
    await open()
    const source = await store.versioning.stat(images, parsePath('a'))
    await store.versioning.copy(job, parsePath('copy'), { source, attributes: source.attributes })
    await put(job, 'out/_temporary/0/part')
    const path = parsePath('upload')
    const upload = await store.versioning.uploads.create(job, { path, attributes: { metadata: {} } })
    const staged = await store.versioning.content.putBytes(Buffer.from('part'))
    await store.versioning.uploads.putPart(job, path, upload.id, { number: 1, staged, md5: 'a'.repeat(32) })
    await store.versioning.uploads.complete(job, path, upload.id, { parts: [{ number: 1, etag: 'a'.repeat(32) }] })
    assert.deepEqual(await listAll(store.versioning, job), ['a', 'copy', 'out/_temporary/0/part', 'upload'])
    await finish()
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'copy', 'upload'])
    assert.equal(await get(images, 'upload'), 'part')
  })

  it('asked to finish again answers with the same commit, if it is asked with the same message', async () => {
    await open()
    await put(job, 'a')
    const commit = await finish(job, 'once')
    assert.equal((await finish(job, 'once')).id, commit.id)
    await assert.rejects(finish(job, 'twice'), TransactionNotFound)
    await assert.rejects(finish(tx('other'), 'once'), TransactionNotFound)
  })

  it('of a branch that is gone can only be aborted; with the repo it goes too', async () => {
    const side = branchOf('images@side')
    await store.versioning.createBranch(side)
    await open(tx('job', side))
    await put(tx('job', side), 'a')
    await store.versioning.deleteBranch(side)
    await store.versioning.createBranch(side)
    await assert.rejects(finish(tx('job', side)), BranchMoved)
    await store.versioning.transactions.abort(tx('job', side))
    await open(tx('job', side))
    await store.versioning.deleteBranch(side)
    await store.versioning.deleteBranch(images)
    assert.deepEqual(await store.db.all('SELECT * FROM branches'), [])
    await assert.rejects(open(), RepoNotFound)
  })

  it('is refused where there is no such branch, on a pipeline’s output, and past the limit', async () => {
    await assert.rejects(open(tx('job', branchOf('images@none'))), { code: 'BranchNotFound' })
    const edges = branchOf('edges@master')
    await store.db.write((w) =>
      store.versioning.derived.define(w, { output: edges, pipeline: 'edges', inputs: [images] }),
    )
    await assert.rejects(open(tx('job', edges)), { code: 'ReadOnly' })
    for (let i = 0; i < 100; i++) await open(tx(`t${i}`))
    await assert.rejects(open(tx('one-more')), TransactionLimit)
    await open(tx('t7'))
    assert.equal((await store.versioning.transactions.list(images)).length, 100)
  })

  it('does not take over the batch that somebody holds open, and conflicts with what that wrote', async () => {
    await store.versioning.startCommit(images)
    await put(images, 'held')
    await open()
    assert.deepEqual(await listAll(store.versioning, job), [])
    assert.notEqual((await store.versioning.getBranch(images)).openCommit, undefined)
    await put(job, 'held', 'mine')
    await assert.rejects(finish(), conflict(['held']))
  })
})
