import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Limiter, PartMemory } from './limiter.ts'

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

describe('PartMemory', () => {
  it('lets in no more bytes than there is room for, each with a buffer of its own as long as it asked for', async () => {
    const memory = new PartMemory(100)
    const ends: (() => void)[] = []
    const buffers: Buffer[] = []
    const parts = [40, 60, 30, 100].map((bytes) =>
      memory.run(bytes, (buffer) => {
        buffers.push(buffer)
        return new Promise<void>((resolve) => ends.push(resolve))
      }),
    )
    for (const expected of [
      [40, 60],
      [40, 60, 30],
      [40, 60, 30],
      [40, 60, 30, 100],
    ]) {
      await new Promise(setImmediate)
      assert.deepEqual(
        buffers.map(({ length }) => length),
        expected,
      )
      ends.shift()?.()
    }
    await Promise.all(parts)
  })

  it('uses a buffer again while others are in use, but not one whose work failed, and keeps none when all is done', async () => {
    const memory = new PartMemory(100)
    const seen = new Set<ArrayBufferLike>()
    const one = async (buffer: Buffer) => void seen.add(buffer.buffer)
    let end: () => void = () => undefined
    const other = memory.run(10, () => new Promise<void>((resolve) => (end = resolve)))
    for (let times = 0; times < 5; times++) await memory.run(40, one)
    assert.equal(seen.size, 1)
    await assert.rejects(
      memory.run(40, async (buffer) => {
        await one(buffer)
        throw new Error('cut off')
      }),
      /cut off/,
    )
    assert.equal(seen.size, 1)
    await memory.run(40, one)
    assert.equal(seen.size, 2)
    end()
    await other
    await memory.run(40, one)
    assert.equal(seen.size, 3)
  })
})
