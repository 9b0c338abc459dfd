import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it, mock } from 'node:test'
import { silentLog } from '../../../kernel/index.ts'
import type { BranchId, Commit, CommitId } from '../../model/index.ts'
import { branchOf } from '../../testing/store.ts'
import { Batches } from './batches.ts'
import { HOLD_MS, REWRITE_IDLE_MS } from './holds.ts'
import type { GroupWritten } from './staging.ts'

const images = branchOf('images@master')
const second = 1000
const minute = 60_000

describe('the batch of a branch', () => {
  let batches: Batches
  let sealed: number

  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_800_000_000_000 })
    sealed = 0
    batches = new Batches({
      rules: { idleMs: 2 * second, maxAgeMs: 5 * minute, maxChanges: 1000 },
      clock: { now: () => Date.now() },
      log: silentLog,
      seal: async () => {
        sealed++
      },
    })
  })

  afterEach(() => {
    batches.close()
    mock.timers.reset()
  })

  const written = (more: Partial<GroupWritten> = {}) =>
    batches.written({
      at: images,
      branch: 1 as BranchId,
      commit: 'c'.repeat(32) as CommitId,
      changes: 1,
      unfolded: 1,
      transaction: false,
      scratch: new Set(),
      emptied: [],
      succeeded: [],
      ...more,
    })
  const scratch = (area: string) => written({ changes: 0, scratch: new Set([area]) })
  /** Timers that are set by timers need their turns. */
  const pass = (ms: number) => {
    for (let left = ms; left > 0; left -= second) mock.timers.tick(Math.min(second, left))
  }

  it('is sealed when it was idle, was open too long, or has too many changes', () => {
    written()
    pass(1.5 * second)
    written()
    pass(1.5 * second)
    assert.equal(sealed, 0)
    pass(second)
    assert.equal(sealed, 1)
    for (let i = 0; i < 301; i++) {
      written()
      pass(second)
    }
    assert.equal(sealed, 2)
    batches.sealed(images)
    written({ changes: 999 })
    assert.equal(sealed, 2)
    written()
    assert.equal(sealed, 3)
  })

  it('is held while a job writes to a scratch folder, however old and large it gets', () => {
    scratch('t/_temporary/')
    written({ changes: 2000 })
    pass(9 * minute)
    scratch('t/_temporary/')
    pass(9 * minute)
    written()
    assert.equal(sealed, 0)
    assert.equal(batches.heldBy(images), 't/_temporary/')
    pass(2 * minute)
    assert.equal(sealed, 1)
    assert.equal(batches.heldBy(images), undefined)
  })

  it('is let go by _SUCCESS, and sealed the idle time after it', () => {
    scratch('t/_temporary/')
    // Older by now than a batch may get.
    written()
    pass(8 * minute)
    written({ succeeded: ['t/'] })
    assert.equal(batches.heldBy(images), undefined)
    pass(1.5 * second)
    written()
    pass(1.5 * second)
    assert.equal(sealed, 0)
    pass(second)
    assert.equal(sealed, 1)
  })

  it('is let go by _SUCCESS also after the scratch folder was removed, as long as no other job holds it', () => {
    written()
    batches.rewriting(images)
    scratch('t/.spark-staging-1/')
    scratch('u/_temporary/')
    written({ changes: 0, emptied: ['t/.spark-staging-1/'] })
    assert.equal(batches.heldBy(images), 'u/_temporary/')
    pass(minute)
    assert.equal(sealed, 0)
    // It has some seconds more for what it has to say.
    written({ changes: 0, emptied: ['u/_temporary/'] })
    pass(4 * second)
    assert.equal(sealed, 0)
    written({ succeeded: ['u/'] })
    assert.equal(batches.heldBy(images), undefined)
    pass(1.5 * second)
    assert.equal(sealed, 0)
    pass(second)
    assert.equal(sealed, 1)
  })

  it('is sealed soon after a job has removed its scratch folder and says nothing more', () => {
    written()
    batches.rewriting(images)
    scratch('t/.spark-staging-1/')
    written({ changes: 0, emptied: ['t/.spark-staging-1/'] })
    pass(8 * second)
    assert.equal(sealed, 1)
  })

  it('stays held by another job when one of them succeeds', () => {
    scratch('t/_temporary/')
    scratch('u/_temporary/')
    written({ succeeded: ['t/'] })
    assert.equal(batches.heldBy(images), 'u/_temporary/')
    pass(minute)
    assert.equal(sealed, 0)
    written({ succeeded: [''] })
    pass(3 * second)
    assert.equal(sealed, 1)
  })

  it('waits five minutes for a job that has deleted files, until it succeeds or the batch is sealed', () => {
    written()
    batches.rewriting(images)
    pass(REWRITE_IDLE_MS - 2 * second)
    assert.equal(sealed, 0)
    written({ succeeded: ['t/'] })
    pass(3 * second)
    assert.equal(sealed, 1)
    written()
    batches.rewriting(images)
    batches.sealed(images)
    written()
    pass(3 * second)
    assert.equal(sealed, 2)
  })

  it('waits five minutes for a job that has made folders, as long as it holds nothing else', () => {
    for (const round of [0, 1]) {
      for (let n = 0; n < 2; n++) {
        written()
        batches.preparing(images)
      }
      pass(4 * minute)
      assert.equal(sealed, round)
      written()
      pass(3 * second)
      assert.equal(sealed, round + 1)
      batches.sealed(images)
    }
    written()
    batches.preparing(images)
    pass(REWRITE_IDLE_MS + second)
    assert.equal(sealed, 3)
  })

  it('of a transaction is nobody’s to seal', () => {
    written({ transaction: true, changes: 1000 })
    pass(20 * minute)
    assert.equal(sealed, 0)
  })

  it('follows the rules of its branch, from the moment that they are set', () => {
    written()
    batches.setRules(images, { idleMs: 20 * second, maxChanges: 3 })
    assert.deepEqual(batches.rulesOf(images), { idleMs: 20 * second, maxAgeMs: 5 * minute, maxChanges: 3 })
    pass(10 * second)
    assert.equal(sealed, 0)
    written()
    written()
    assert.equal(sealed, 1)
    written()
    pass(second)
    batches.setRules(images, { idleMs: 1 })
    mock.timers.tick(1)
    assert.equal(sealed, 2)
    batches.setRules(images, {})
    assert.equal(batches.rulesOf(images).idleMs, 2 * second)
  })

  it('is held by what was found in the store when the process started', () => {
    batches.foundScratch(images, 't/__magic/', Date.now() - minute)
    batches.found(images, Date.now() - 10 * minute, 5)
    pass(HOLD_MS - 2 * minute)
    assert.equal(sealed, 0)
    pass(2 * minute)
    assert.equal(sealed, 1)
  })

  it('says by what it is held', () => {
    const commit = { repo: images.repo, branch: images.branch, state: 'open', derived: false, pinned: false } as Commit
    assert.equal(batches.describeHold(commit).heldBy, undefined)
    assert.equal(batches.describeHold({ ...commit, pinned: true }).heldBy, 'commit start')
    scratch('t/_temporary/')
    assert.equal(batches.describeHold(commit).heldBy, 'a job that writes to t/_temporary/')
    assert.equal(batches.describeHold({ ...commit, state: 'finished' }).heldBy, undefined)
  })

  it('that is gone leaves nothing behind', () => {
    batches.setRules(images, { idleMs: 1 })
    scratch('t/_temporary/')
    written()
    batches.forget(images)
    pass(minute)
    assert.equal(sealed, 0)
    assert.equal(batches.heldBy(images), undefined)
    assert.equal(batches.rulesOf(images).idleMs, 2 * second)
  })
})
