import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { Pool } from './pool.ts'

const never = new AbortController().signal

describe('the pool of workers', () => {
  it('never runs more than its size, runs everything, and hands its places on after failures', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.boolean(), { maxLength: 20 }),
        async (size, fails) => {
          const pool = new Pool(size)
          let running = 0
          let most = 0
          const ends = await Promise.allSettled(
            fails.map((fail) =>
              pool.run(never, async () => {
                most = Math.max(most, ++running)
                await new Promise((resolve) => setImmediate(resolve))
                running--
                if (fail) throw new Error('failed')
              }),
            ),
          )
          assert.ok(most <= size)
          assert.deepEqual(
            ends.map(({ status }) => status === 'rejected'),
            fails,
          )
        },
      ),
      { numRuns: 50 },
    )
  })

  it('forgets who stops waiting', async () => {
    const pool = new Pool(1)
    const first = Promise.withResolvers<void>()
    const running = pool.run(never, () => first.promise)
    const impatient = new AbortController()
    const waiting = pool.run(impatient.signal, async () => assert.fail('it ran'))
    impatient.abort(new Error('enough'))
    await assert.rejects(waiting, /enough/)
    const after = pool.run(never, async () => 'ran')
    first.resolve()
    await running
    assert.equal(await after, 'ran')
  })
})
