import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { MOVE_SQL } from './collect.ts'
import { StoreFolder } from './testing/open-store.ts'

describe('rewriting a pack', () => {
  it('looks up the chunks that move, however many others are in the pack: writers wait for it', async () => {
    const folder = await StoreFolder.make()
    try {
      const plan = await folder.db.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${MOVE_SQL}`, ['[]', 1])
      const steps = plan.map(({ detail }) => detail)
      assert.ok(steps.includes('SEARCH chunk USING PRIMARY KEY (sha256=?)'), steps.join('; '))
    } finally {
      await folder.remove()
    }
  })
})
