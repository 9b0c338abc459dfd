import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, it } from 'node:test'
import { type BranchName, type CommitId, parsePath } from '../index.ts'
import { assertSound } from '../testing/fsck.ts'
import { branchOf, openTestStore, putText, sealCommit } from '../testing/store.ts'

const ROUNDS = 4

describe('fsck of a store that is used', () => {
  it('takes nothing for damage that comes, goes or moves while it looks: writes, commits, deleted branches, collections', async () => {
    const store = await openTestStore({ batch: { idleMs: 30 } })
    const { versioning } = store
    const at = branchOf('images@master')
    let over = false
    const work: Promise<unknown>[] = []
    /** Goes on until all checks are done. */
    const busy = (step: (round: number) => Promise<unknown>) => {
      const run = async () => {
        for (let round = 0; !over; round++) await step(round)
      }
      work.push(run())
    }
    try {
      await versioning.createBranch(at)
      for (let i = 0; i < 100; i++) await putText(versioning, at, `base/${i}`, randomBytes(400).toString('hex'))
      const base = (await sealCommit(versioning, at)).id as CommitId
      busy((round) => putText(versioning, at, `a/${round % 50}`, randomBytes(400 + (round % 300)).toString('hex')))
      busy(async (round) => {
        await versioning.delete(at, parsePath(`a/${(round * 7) % 50}`))
        const writer = versioning.content.writer()
        await writer.write(randomBytes(1_100_000))
        await putText(versioning, at, 'large', '', { staged: await writer.finish() })
      })
      busy(async (round) => {
        const side = { repo: at.repo, branch: `side-${round % 3}` as BranchName }
        await versioning.createBranch(side, { from: base })
        await putText(versioning, side, `only-${round}`, randomBytes(700).toString('hex'))
        const sealed = await versioning.seal(side)
        if (sealed) await versioning.waitForCommit(sealed.commit)
        await versioning.deleteBranch(side, { force: true })
      })
      busy(async () => {
        for await (const _ of versioning.maintenance.gc({ graceMs: 0 })) {
          // Only that it runs.
        }
      })
      for (let round = 0; round < ROUNDS; round++) await assertSound(store, { deep: round % 2 === 1 })
      over = true
      await Promise.all(work)
      await assertSound(store, { deep: true })
    } finally {
      over = true
      await Promise.allSettled(work)
      await store.close()
    }
    assert.ok(over)
  })
})
