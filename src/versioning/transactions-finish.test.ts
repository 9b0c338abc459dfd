import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { BranchMoved, type CommitId, parsePath, TransactionNotFound } from './index.ts'
import { listAll, openTestStore, type TestStore } from './testing/store.ts'
import { conflict, images, job, transactionsOf } from './testing/transactions.ts'

describe('a transaction that is finished', () => {
  let store: TestStore

  beforeEach(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(images)
  })

  afterEach(() => store.close())

  const { put, get, open, finish, settle } = transactionsOf(() => store)

  describe('between looking and deciding', () => {
    /** Runs `work` right before the next write, which is the one that decides. */
    const beforeTheMove = (work: () => Promise<unknown>) => {
      const { db } = store
      const write = db.write.bind(db)
      db.write = async (decide) => {
        db.write = write
        await work()
        return write(decide)
      }
    }

    it('sees what the branch gathers', async () => {
      await open()
      await put(job, 'a', 'tx')
      beforeTheMove(() => put(images, 'a', 'branch'))
      await assert.rejects(finish(), conflict(['a']))
      assert.equal(await get(images, 'a'), 'branch')
    })

    it('sees a restore', async () => {
      await put(images, 'a', 'one')
      const first = await settle()
      await put(images, 'a', 'two')
      await settle()
      await open()
      await put(job, 'a', 'tx')
      beforeTheMove(() => store.versioning.restore(images, first!.id))
      await assert.rejects(finish(), conflict(['a']))
      assert.equal(await get(images, 'a'), 'one')
    })

    it('sees what is written into the transaction itself', async () => {
      await open()
      await put(images, 'b', 'branch')
      await put(job, 'a', 'tx')
      beforeTheMove(() => put(job, 'b', 'tx'))
      await assert.rejects(finish(), conflict(['b']))
    })

    it('leaves all as it was if the last step of it fails', async () => {
      await put(images, 'a', 'base')
      await open()
      await put(job, 'a', 'tx')
      await put(images, 'b')
      const { db } = store
      const write = db.write.bind(db)
      db.write = (decide) => {
        db.write = write
        return write(async (tx) => {
          await decide(tx)
          throw new Error('the process died')
        })
      }
      await assert.rejects(finish(), /the process died/)
      await store.reopen()
      assert.deepEqual([await get(images, 'a'), await get(job, 'a')], ['base', 'tx'])
      assert.deepEqual(await listAll(store.versioning, images), ['a', 'b'])
      await finish()
      assert.equal(await get(images, 'a'), 'tx')
    })

    it('is finished once, however often it is asked to', async () => {
      await open()
      await put(job, 'a')
      let other: CommitId | undefined
      beforeTheMove(async () => {
        other = (await store.versioning.transactions.finish(job)).commit
      })
      assert.equal((await finish()).id, other)
      assert.equal((await store.versioning.listCommits(images.repo)).length, 1)
    })
  })

  it('is finished while others write to the branch without a pause', async () => {
    await open()
    for (let i = 0; i < 50; i++) await put(job, `tx/${i}`)
    let stop = false
    let written = 0
    const writer = async (name: string) => {
      while (!stop) await put(images, `${name}/${written++}`)
    }
    const writers = ['w1', 'w2', 'w3'].map(writer)
    const commit = await finish()
    stop = true
    await Promise.all(writers)
    assert.equal(commit.state, 'finished')
    const keys = await listAll(store.versioning, images, 1000)
    assert.equal(keys.length, 50 + written)
  })

  it('loses nothing that was acknowledged while it is finished', async () => {
    await open()
    let acknowledged = 0
    const writing = (async () => {
      for (;;) {
        try {
          await put(job, `f/${acknowledged}`)
          acknowledged++
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'BranchNotFound')
          return
        }
      }
    })()
    await finish().catch((error: unknown) => {
      // Somebody was always writing: it says so, and can be asked again.
      assert.ok(error instanceof BranchMoved)
    })
    await store.versioning.transactions.finish(job).catch((error: unknown) => {
      assert.ok(error instanceof BranchMoved || error instanceof TransactionNotFound)
    })
    if ((await store.versioning.transactions.list(images)).length > 0) await store.versioning.transactions.abort(job)
    else {
      await writing
      assert.equal((await listAll(store.versioning, images, 1000)).length, acknowledged)
    }
    await writing
  })

  it('is on the branch whole or not at all after a crash at any point', async () => {
    await put(images, 'base')
    await open()
    for (let i = 0; i < 20; i++) await put(job, `f/${i}`)
    await store.reopen()
    assert.deepEqual(await listAll(store.versioning, images), ['base'])
    assert.equal((await listAll(store.versioning, job, 1000)).length, 21)
    // Closed right after the one transaction that moves it, before anything was folded.
    const { commit } = await store.versioning.transactions.finish(job)
    await store.reopen()
    assert.equal((await listAll(store.versioning, images, 1000)).length, 21)
    const finished = await store.versioning.waitForCommit(commit)
    assert.deepEqual([finished.state, finished.files], ['finished', 21])
  })

  it('of 20,000 changes is folded along the way, and finished as one commit', async () => {
    await put(images, 'base')
    await open()
    const staged = await store.versioning.content.putBytes(Buffer.from('x'))
    const write = { staged, etag: 'e'.repeat(32), attributes: { metadata: {} } }
    const puts: Promise<unknown>[] = []
    for (let i = 0; i < 20_000; i++) {
      puts.push(store.versioning.put(job, { ...write, path: parsePath(`d/${i % 100}/${i}`) }))
    }
    await Promise.all(puts)
    await put(images, 'more')
    const commit = await finish()
    assert.deepEqual([commit.state, commit.files], ['finished', 20_002])
    const { prefixes } = await store.versioning.list(images, { prefix: 'd/', delimiter: '/', limit: 1000 })
    assert.equal(prefixes.length, 100)
    assert.equal(await get(images, 'd/7/10007'), 'x')
  })
})
