import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import fc from 'fast-check'
import { digestsUnderWay, findCut, KIB, MIB, shutdownDigests } from '../../kernel/index.ts'
import { defaultLimits } from './content-limits.ts'
import { Cutter, ruleFor } from './cutter.ts'
import { BlockPool, BufferPool } from './memory.ts'
import { Slots } from './slots.ts'
import { noise } from './testing/versions.ts'

/** Counts what was taken and not released. */
class CountedBlocks extends BlockPool {
  taken = 0

  override take() {
    this.taken++
    return super.take()
  }

  override release(block: Parameters<BlockPool['release']>[0]): void {
    if (block.users === 1) this.taken--
    super.release(block)
  }
}

/** What the body is cut into, brought in writes of these lengths; the rest as one. */
async function cut(body: Buffer, lengths: readonly number[], chunkBytes: number): Promise<Buffer[]> {
  const blocks = new CountedBlocks(256 * KIB, 4 * MIB)
  const chunks: Buffer[] = []
  const cutter = new Cutter(blocks, { ...defaultLimits, chunkBytes }, async ({ segments, release }) => {
    chunks.push(Buffer.concat(segments))
    release()
  })
  let at = 0
  for (const length of [...lengths, body.length]) {
    // The caller's buffer is his again when the write is done.
    const bytes = Buffer.from(body.subarray(at, at + length))
    await cutter.write(bytes)
    bytes.fill(0)
    at += length
  }
  await cutter.finish()
  assert.equal(blocks.taken, 0, 'all memory is given back')
  return chunks
}

const lengthsOf = (chunks: readonly Buffer[]) => chunks.map(({ length }) => length)

describe('the chunks of a body', () => {
  after(shutdownDigests)

  it('are the same however it is written', async () => {
    const body = noise('any writes', 700 * KIB)
    const chunkBytes = 16 * KIB
    const whole = await cut(body, [], chunkBytes)
    assert.deepEqual(Buffer.concat(whole), body)
    assert.ok(whole.length > 30)
    const lengths = fc.array(fc.integer({ min: 0, max: 100_000 }), { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(lengths, async (writes) => {
        assert.deepEqual(lengthsOf(await cut(body, writes, chunkBytes)), lengthsOf(whole))
      }),
      { numRuns: 25 },
    )
  })

  it('are where the rule cuts, also of the lengths that stores have', async () => {
    const body = noise('large', 20 * MIB + 77)
    const expected: number[] = []
    for (let at = 0; at < body.length; at += expected.at(-1) as number)
      expected.push(findCut([body.subarray(at)], ruleFor(MIB), { last: true }) as number)
    const sockets = Array.from({ length: 320 }, () => 64 * KIB)
    assert.deepEqual(lengthsOf(await cut(body, sockets, MIB)), expected)
    assert.deepEqual(lengthsOf(await cut(body, [3 * MIB + 1], MIB)), expected)
  })

  it('are one up to 1 MiB, and may be several from there on', async () => {
    const body = noise('one or two 5', 2 * MIB)
    assert.ok((findCut([body], ruleFor(MIB)) ?? MIB) < MIB, 'the rule alone would cut it')
    assert.deepEqual(lengthsOf(await cut(body.subarray(0, MIB), [5], MIB)), [MIB])
    assert.equal((await cut(body.subarray(0, MIB + 1), [MIB], MIB)).length, 2)
    assert.deepEqual(await cut(Buffer.alloc(0), [], MIB), [])
  })

  it('are the longest there are where bytes are all alike', async () => {
    assert.deepEqual(lengthsOf(await cut(Buffer.alloc(9 * MIB), [], MIB)), [4 * MIB, 4 * MIB, MIB])
  })

  it('of a part are those of the same bytes in one body, but for the last and the first', async () => {
    const body = noise('parts', 24 * MIB)
    const whole = new Set((await cut(body, [], MIB)).map((chunk) => chunk.toString('latin1')))
    for (const from of [0, 8 * MIB, 16 * MIB]) {
      const part = await cut(body.subarray(from, from + 8 * MIB), [], MIB)
      const others = part.filter((chunk) => !whole.has(chunk.toString('latin1')))
      assert.ok(others.length <= 3, `${others.length} of ${part.length}`)
    }
  })

  it('are waited for: no more than a few MiB are taken while they are not', async () => {
    const blocks = new CountedBlocks(256 * KIB, 4 * MIB)
    const gate = Promise.withResolvers<void>()
    const cutter = new Cutter(blocks, defaultLimits, async ({ release }) => {
      await gate.promise
      release()
    })
    const body = noise('slow', 16 * MIB)
    let written = 0
    const writing = (async () => {
      for (; written < body.length; written += 64 * KIB) await cutter.write(body.subarray(written, written + 64 * KIB))
    })()
    while (digestsUnderWay() > 0 || written < 2 * MIB) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.ok(written < 6 * MIB, `${written}`)
    gate.resolve()
    await writing
    await cutter.finish()
    assert.equal(blocks.taken, 0)
  })

  it('leave no memory behind when the body is given up, whatever is under way', async () => {
    const body = noise('given up', 8 * MIB)
    for (const written of [0, 1, MIB, 2 * MIB, 5 * MIB, 8 * MIB]) {
      const blocks = new CountedBlocks(256 * KIB, 4 * MIB)
      const cutter = new Cutter(blocks, defaultLimits, async ({ release }) => release())
      await cutter.write(body.subarray(0, written))
      const last = cutter.write(body.subarray(written))
      const ended = last.catch((error: Error) => error.message)
      await cutter.abandon()
      await ended
      await assert.rejects(cutter.write(Buffer.from('x')), /aborted/)
      assert.equal(blocks.taken, 0, `${written}`)
    }
  })

  it('end with the body when it is given up while its last ones are cut', async () => {
    const blocks = new CountedBlocks(256 * KIB, 4 * MIB)
    const cutter = new Cutter(blocks, defaultLimits, async ({ release }) => release())
    await cutter.write(noise('finishing', MIB + 100_000))
    const finished = assert.rejects(cutter.finish(), /aborted/)
    // A worker has been asked by then, and can't have answered.
    for (let turn = 0; turn < 5; turn++) await Promise.resolve()
    assert.ok(digestsUnderWay() > 0)
    await cutter.abandon()
    await finished
    assert.equal(blocks.taken, 0)
  })

  it('say so when they can not be stored', async () => {
    const cutter = new Cutter(new BlockPool(256 * KIB, MIB), defaultLimits, async ({ release }) => {
      release()
      throw new Error('no room')
    })
    const body = noise('no room', 8 * MIB)
    await assert.rejects(
      (async () => {
        for (let at = 0; at < body.length; at += MIB) await cutter.write(body.subarray(at, at + MIB))
        await cutter.finish()
      })(),
      /no room/,
    )
    await cutter.abandon()
  })
})

describe('slots', () => {
  it('let in by weight and in order, and what is too heavy alone', async () => {
    const slots = new Slots(10)
    const entered: string[] = []
    const enter = async (name: string, weight: number) => {
      const taken = await slots.enter(weight)
      entered.push(name)
      return taken
    }
    const first = await enter('a', 6)
    const waiting = [enter('b', 6), enter('c', 1), enter('d', 100)]
    await Promise.resolve()
    assert.deepEqual(entered, ['a'], 'the light one does not overtake')
    slots.leave(first)
    slots.leave((await waiting[0]) as number)
    slots.leave((await waiting[1]) as number)
    assert.equal(await waiting[2], 10)
    assert.deepEqual(entered, ['a', 'b', 'c', 'd'])
  })
})

describe('memory that is used again', () => {
  it('is bounded, and kept in the lengths that are wanted', () => {
    const pool = new BufferPool(MIB, 3 * MIB)
    const [a, b, c] = [pool.take(5), pool.take(MIB), pool.take(MIB + 1)]
    assert.deepEqual(
      [a, b, c].map(({ length }) => length),
      [MIB, MIB, 2 * MIB],
    )
    pool.give(a)
    pool.give(b)
    pool.give(c)
    assert.equal(pool.take(2 * MIB).buffer, c.buffer, 'the last one makes room for itself')
    assert.equal(pool.take().buffer, a.buffer)
    assert.notEqual(pool.take().buffer, b.buffer)
  })
})
