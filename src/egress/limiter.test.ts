import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Limiter } from './limiter.ts'

describe('the limiter', () => {
  it('never lets in more than there is room for, and everybody in the end', async () => {
    const limiter = new Limiter(10)
    let used = 0
    let most = 0
    let done = 0
    await Promise.all(
      Array.from({ length: 200 }, (_, index) =>
        limiter.run((index % 4) + 1, async () => {
          used += (index % 4) + 1
          most = Math.max(most, used)
          await new Promise(setImmediate)
          used -= (index % 4) + 1
          done++
        }),
      ),
    )
    assert.deepEqual([done, used, most <= 10, most > 4], [200, 0, true, true])
  })

  it('lets in alone what asks for more than all of it, and gives room back when work fails', async () => {
    const limiter = new Limiter(4)
    await assert.rejects(
      limiter.run(100, () => Promise.reject(new Error('failed'))),
      /failed/,
    )
    await limiter.run(4, async () => undefined)
  })
})
