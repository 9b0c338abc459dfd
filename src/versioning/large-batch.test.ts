import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { type CommitId, parsePath } from './index.ts'
import { branchOf, listAll, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

const images = branchOf('images@master')
/** Past the point from which an open batch is folded along the way. */
const MANY = 12_000

const keyOf = (i: number) => `k/${hash('md5', String(i)).slice(0, 6)}-${i}`

describe('a batch of many changes', () => {
  let store: TestStore

  beforeEach(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(images)
  })

  afterEach(() => store.close())

  async function putMany(count: number, text: string): Promise<void> {
    let next = 0
    const lane = async () => {
      while (next < count) await putText(store.versioning, images, keyOf(next++), text)
    }
    await Promise.all(Array.from({ length: 200 }, lane))
  }

  async function foldedAlong(): Promise<void> {
    for (let i = 0; i < 400; i++) {
      const row = await store.db.get<{ folded_seq: number }>('SELECT folded_seq FROM branches')
      if ((row?.folded_seq ?? 0) > 0) return
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    assert.fail('the open batch was not folded along the way')
  }

  const commitTarget = (commit: CommitId) => ({ kind: 'commit', repo: images.repo, commit }) as const
  const commit = () => sealCommit(store.versioning, images)

  it('is folded while it is open: the view stays whole, and a restart goes on from there', async () => {
    await putText(store.versioning, images, 'first', 'x')
    await commit()
    await putMany(MANY, 'one')
    await foldedAlong()
    const expected = ['first', ...Array.from({ length: MANY }, (_, i) => keyOf(i))].sort()
    assert.deepEqual(await listAll(store.versioning, images, 1000), expected)
    const deleted = expected.filter((key) => key !== 'first').slice(0, 500)
    await store.versioning.deleteMany(
      images,
      deleted.map((path) => ({ path: parsePath(path) })),
    )
    const left = expected.filter((key) => !deleted.includes(key))
    assert.deepEqual(await listAll(store.versioning, images, 1000), left)
    await store.reopen()
    assert.deepEqual(await listAll(store.versioning, images, 1000), left)
    const made = await commit()
    assert.deepEqual([made.files, made.sizeBytes], [left.length, 1 + (left.length - 1) * 3])
    assert.deepEqual(await listAll(store.versioning, commitTarget(made.id), 1000), left)
    assert.equal((await store.versioning.listCommits(images.repo)).length, 2)
  })

  it('that is half folded is left whole by a restore, which shows the old tree at once', async () => {
    await putText(store.versioning, images, 'good', 'x')
    const good = await commit()
    await putMany(MANY, 'two')
    await foldedAlong()
    const restoring = store.versioning.restore(images, good.id)
    const restored = await restoring
    await putText(store.versioning, images, 'after', 'x')
    assert.deepEqual(await listAll(store.versioning, images), ['after', 'good'])
    const batch = await store.versioning.getCommit(images.repo, restored.parents[0]!)
    assert.deepEqual([batch.state, batch.files], ['finished', MANY + 1])
    assert.equal((await listAll(store.versioning, commitTarget(batch.id), 1000)).length, MANY + 1)
  })
})
