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
})
