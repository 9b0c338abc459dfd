import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import type { TreeHash } from '../model/index.ts'
import { Leases } from './leases.ts'

const never = new AbortController().signal

async function isSettled(work: Promise<unknown>): Promise<boolean> {
  let settled = false
  void work.then(() => {
    settled = true
  })
  for (let i = 0; i < 5; i++) await turn()
  return settled
}

describe('leases', () => {
  it('waits for those who began before it, and for nobody else', async () => {
    const leases = new Leases()
    const [first, second] = [leases.begin(), leases.begin()]
    const settled = leases.settled(never)
    const later = leases.begin()
    assert.equal(await isSettled(settled), false)
    first()
    first()
    assert.equal(await isSettled(settled), false)
    second()
    assert.equal(await isSettled(settled), true)
    later()
  })

  it('keeps what is held, and does not wait for it', async () => {
    const leases = new Leases()
    const lease = leases.hold('a' as TreeHash)
    lease.pin('b' as TreeHash, 'a' as TreeHash)
    assert.equal(await isSettled(leases.settled(never)), true)
    assert.deepEqual(leases.pinned(), ['a', 'b'])
    lease.end()
    assert.deepEqual(leases.pinned(), [])
  })

  it('ends waiting when it is asked to', async () => {
    const leases = new Leases()
    leases.begin()
    const stop = new AbortController()
    const settled = leases.settled(stop.signal)
    stop.abort(new Error('enough'))
    await assert.rejects(settled, /enough/)
  })
})
