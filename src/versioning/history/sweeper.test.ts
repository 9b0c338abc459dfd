import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { silentLog } from '../../kernel/index.ts'
import { branchOf, openTestStore, putText, type TestStore } from '../testing/store.ts'
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
})
