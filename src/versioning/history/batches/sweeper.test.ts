import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { silentLog } from '../../../kernel/index.ts'
import { branchOf, openTestStore, putText, sealCommit, type TestStore } from '../../testing/store.ts'
import { SCRATCH_LIFE_MS, Sweeper } from './sweeper.ts'

const images = branchOf('images@master')

describe('what nobody asks for any more', () => {
  let store: TestStore
  let nowMs: number
  let sweeper: Sweeper

  beforeEach(async () => {
    nowMs = 1_800_000_000_000
    const clock = { now: () => nowMs }
    store = await openTestStore({ clock })
    await store.versioning.createBranch(images)
    sweeper = new Sweeper({ db: store.db, clock, log: silentLog }, () => {})
  })

  afterEach(() => store.close())

  const put = (path: string) => putText(store.versioning, images, path, path)
  const count = async (sql: string) => (await store.db.get<{ n: number }>(`SELECT count(*) AS n FROM ${sql}`))!.n

  it('is a scratch folder a day after its last write, and not a file of it before', async () => {
    await put('old/_temporary/a')
    await put('long/_temporary/early')
    nowMs += SCRATCH_LIFE_MS - 1
    await put('long/_temporary/late')
    await sweeper.sweep()
    assert.equal(await count('scratch'), 3)
    nowMs += 2
    await sweeper.sweep()
    const left = await store.db.all<{ path: string }>('SELECT path FROM scratch ORDER BY path')
    assert.deepEqual(
      left.map(({ path }) => path),
      ['long/_temporary/early', 'long/_temporary/late'],
    )
  })

  it('goes in slices, however much it is', async () => {
    await store.db.write((tx) =>
      tx.run(
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
         INSERT INTO scratch (branch_id, path, area, at_ms, entry)
         SELECT 1, '_temporary/' || i, '_temporary/', 1, x'00' FROM n`,
      ),
    )
    await sweeper.sweep()
    assert.equal(await count('scratch'), 0)
  })

  it('are the changes of a transaction that was aborted', async () => {
    const at = { ...branchOf('images@master'), branch: 'tx-a.master' as typeof images.branch }
    await store.versioning.transactions.open(at)
    for (const path of ['a', 'b', 'c']) await putText(store.versioning, at, path, path)
    await store.versioning.transactions.abort(at)
    await sweeper.sweep()
    assert.deepEqual([await count('changes'), await count('dropped_changes')], [0, 0])
  })

  it('are the changes of a repo that was deleted, bit by bit, and not those of another', async () => {
    await store.versioning.createBranch(branchOf('gone@master'))
    for (const path of ['a', 'b', 'c']) await putText(store.versioning, branchOf('gone@master'), path, path)
    await sealCommit(store.versioning, branchOf('gone@master'))
    await putText(store.versioning, images, 'kept', 'x')
    await store.versioning.deleteRepo(branchOf('gone@master').repo)
    await sweeper.sweep()
    assert.deepEqual([await count('changes'), await count('dropped_changes')], [1, 0])
  })

  it('are of a deleted branch only those that no commit has: branches that were made from its commits show the others', async () => {
    const [side, other] = [branchOf('images@side'), branchOf('images@other')]
    await store.versioning.createBranch(side)
    await putText(store.versioning, side, 'a', 'one')
    const { id } = await sealCommit(store.versioning, side)
    await putText(store.versioning, side, 'a', 'never finished')
    await store.versioning.createBranch(other, { from: id })
    await store.versioning.deleteBranch(side, { force: true })
    await sweeper.sweep()
    assert.deepEqual([await count('changes'), await count('dropped_changes')], [1, 0])
    const { versions } = await store.versioning.versions.list(other, { limit: 10 })
    assert.deepEqual(
      versions.map(({ path, version }) => [path, version]),
      [['a', { commit: id, seq: 1 }]],
    )
  })

  it('is swept again soon where a sweep failed', async (t) => {
    await put('old/_temporary/a')
    nowMs += SCRATCH_LIFE_MS + 1
    let failures = 0
    const failing = new Proxy(store.db, {
      get: (db, name) => {
        const value: unknown = Reflect.get(db, name, db)
        if (name !== 'all' || failures > 0) return typeof value === 'function' ? value.bind(db) : value
        failures++
        return () => Promise.reject(new Error('busy'))
      },
    })
    const swept = Promise.withResolvers<void>()
    const clock = { now: () => nowMs }
    const retrying = new Sweeper({ db: failing, clock, log: silentLog }, swept.resolve, { retryMs: 1 })
    t.after(() => retrying.close())
    retrying.wake()
    await swept.promise
    assert.deepEqual([failures, await count('scratch')], [1, 0])
  })
})
