import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { openTestStore, type TestStore } from '../../testing/store.ts'
import { Overlays, type View } from './overlay.ts'

const BRANCH = 77

let store: TestStore

before(async () => {
  store = await openTestStore()
  await store.db.write(async (tx) => {
    for (let seq = 1; seq <= 12; seq++) {
      await tx.run(
        `INSERT INTO changes (branch_id, seq, commit_id, path, at_ms, entry, conditional)
         VALUES (?, ?, '0123456789abcdef0123456789abcdef', ?, 0, NULL, 0)`,
        [BRANCH, seq, `key${seq % 5}`],
      )
    }
  })
})
after(() => store.close())

const view = (foldedSeq: number, lastSeq: number): View => ({ branchId: BRANCH, root: '', foldedSeq, lastSeq })

async function keys(overlays: Overlays, of: View): Promise<string[] | 'stale'> {
  const overlay = await overlays.open(store.db, of)
  if (overlay.kind === 'stale') return 'stale'
  const found: string[] = []
  await overlay.cursor.seek(Buffer.alloc(0))
  for (let change = await overlay.cursor.next(); change; change = await overlay.cursor.next()) {
    found.push(change.key.toString())
  }
  return found
}

describe('the changes above a tree', () => {
  it('are shown again where a merge was landed that lacks them, and an older view is stale', async () => {
    const overlays = new Overlays()
    assert.deepEqual(await keys(overlays, view(9, 12)), ['key0', 'key1', 'key2'])
    // Landed as number 13 behind the changes up to 12, upon a tree that has those up to 7.
    assert.deepEqual(await keys(overlays, view(7, 13)), ['key0', 'key1', 'key2', 'key3', 'key4'])
    assert.deepEqual(await keys(overlays, view(7, 13)), ['key0', 'key1', 'key2', 'key3', 'key4'])
    assert.equal(await keys(overlays, view(9, 12)), 'stale')
    assert.deepEqual(await keys(overlays, view(10, 13)), ['key1', 'key2'])
  })

  it('of branches that were listed longest ago are let go when all of them come to too many', async () => {
    const overlays = new Overlays()
    const many = 30_000
    await store.db.write((tx) =>
      tx.run(
        `WITH RECURSIVE b (id) AS (SELECT 101 UNION ALL SELECT id + 1 FROM b WHERE id < 105),
           n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < ${many})
         INSERT INTO changes (branch_id, seq, commit_id, path, at_ms, entry, conditional)
         SELECT b.id, n.seq, '0123456789abcdef0123456789abcdef', 'key' || n.seq, 0, NULL, 0 FROM b CROSS JOIN n`,
      ),
    )
    for (let branchId = 101; branchId <= 105; branchId++) {
      assert.equal((await keys(overlays, { branchId, root: '', foldedSeq: 0, lastSeq: many })).length, many)
    }
    assert.equal(overlays.size, 3 * many)
    assert.equal((await keys(overlays, { branchId: 101, root: '', foldedSeq: 0, lastSeq: many })).length, many)
  })

  it('of one branch are kept however many they are: what is new is all that is read for the next listing', async () => {
    const overlays = new Overlays()
    const many = 120_000
    await store.db.write((tx) =>
      tx.run(
        `WITH RECURSIVE n (seq) AS (SELECT 1 UNION ALL SELECT seq + 1 FROM n WHERE seq < ${many})
         INSERT INTO changes (branch_id, seq, commit_id, path, at_ms, entry, conditional)
         SELECT 110, seq, '0123456789abcdef0123456789abcdef', 'key' || seq, 0, NULL, 0 FROM n`,
      ),
    )
    assert.equal((await keys(overlays, view(9, 12))).length, 3)
    assert.equal((await keys(overlays, { branchId: 110, root: '', foldedSeq: 0, lastSeq: many })).length, many)
    assert.equal(overlays.size, many)
  })
})
