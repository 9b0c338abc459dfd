import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { Bandwidth, type Pace, Throttle } from './bandwidth.ts'

/** Time that passes only while everybody waits for it. */
class OwnTime implements Pace {
  #nowMs = 0
  readonly #lateMs: number

  /** `lateMs`: how much later than asked a sleep ends. */
  constructor(lateMs = 0) {
    this.#lateMs = lateMs
  }

  now(): number {
    return this.#nowMs
  }

  async sleep(ms: number): Promise<void> {
    // Whoever is not waiting for time goes first.
    await new Promise(setImmediate)
    this.#nowMs += ms + this.#lateMs
  }
}

const never = new AbortController().signal

describe('Bandwidth', () => {
  it('gives out the rate, no more over any time than a tenth of a second above it, and no less', async () => {
    const time = new OwnTime()
    const limit = new Bandwidth(1_000_000, time)
    const given: { atMs: number; bytes: number }[] = []
    const file = async (bytes: number) => {
      for (let left = bytes; left > 0; left -= 10_000) {
        await limit.take(10_000, never)
        given.push({ atMs: time.now(), bytes: 10_000 })
      }
    }
    await Promise.all([file(2_000_000), file(2_000_000), file(1_000_000)])
    assert.equal(
      given.reduce((sum, { bytes }) => sum + bytes, 0),
      5_000_000,
    )
    assert.ok(time.now() >= 4_800 && time.now() <= 5_000, `5 MB at 1 MB/s took ${time.now()} ms`)
    for (const [index, first] of given.entries()) {
      const within = given.slice(index).filter(({ atMs }) => atMs <= first.atMs + 1000)
      const bytes = within.reduce((sum, next) => sum + next.bytes, 0)
      assert.ok(bytes <= 1_000_000 + 100_000 + 10_000, `${bytes} bytes went in the second from ${first.atMs} ms on`)
    }
  })

  it('keeps the rate though timers wake up late', async () => {
    const time = new OwnTime(7)
    const limit = new Bandwidth(1_000_000, time)
    for (let n = 0; n < 300; n++) await limit.take(10_000, never)
    assert.ok(time.now() <= 3_020, `3 MB at 1 MB/s took ${time.now()} ms`)
  })

  it('does not make up for a pause by a burst', async () => {
    const time = new OwnTime()
    const limit = new Bandwidth(1_000_000, time)
    await time.sleep(60_000)
    await limit.take(2_000_000, never)
    assert.ok(time.now() >= 61_800, `2 MB at 1 MB/s took ${time.now() - 60_000} ms after a pause`)
  })

  it('lets a small file go by turns beside a large one, not behind it', async () => {
    const time = new OwnTime()
    const limit = new Bandwidth(1_000_000, time)
    const large = limit.take(50_000_000, never)
    await limit.take(3_000, never)
    assert.ok(time.now() < 500, `3 KB waited for ${time.now()} ms`)
    await large
    assert.ok(time.now() >= 49_800)
  })

  it('rejects at once what is given up, and gives its turns to others', async () => {
    const time = new OwnTime()
    const limit = new Bandwidth(1_000, time)
    const stop = new AbortController()
    const given = Promise.allSettled(Array.from({ length: 20 }, () => limit.take(1_000_000, stop.signal)))
    const other = limit.take(1_000, never)
    stop.abort(new Error('given up'))
    for (const result of await given) assert.match(String(result.status === 'rejected' && result.reason), /given up/)
    await other
    assert.ok(time.now() < 3_000, `the other one waited for ${time.now()} ms`)
    await assert.rejects(limit.take(1, stop.signal), /given up/)
  })
})

describe('Throttle', () => {
  it('keeps every limit, the one that pushes share too', async () => {
    const time = new OwnTime()
    const all = new Bandwidth(1_000_000, time)
    const slow = new Throttle([new Bandwidth(100_000, time), all])
    const fast = new Throttle([undefined, all])
    assert.equal(slow.bytesPerSecond, 100_000)
    await Promise.all([slow.take(100_000, never), fast.take(3_000_000, never)])
    assert.ok(time.now() >= 2_900 && time.now() <= 3_100, `3.1 MB at 1 MB/s took ${time.now()} ms`)
  })

  it('holds nobody up where there is no limit', async () => {
    const none = new Throttle([undefined, undefined])
    assert.deepEqual([none.limited, none.bytesPerSecond], [false, Number.POSITIVE_INFINITY])
    await none.take(2 ** 40, never)
  })

  it('passes a body on as it is, no piece of it faster than it may go', async () => {
    const time = new OwnTime()
    const throttle = new Throttle([new Bandwidth(100_000, time)])
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => index % 251))
    const pieces = async function* () {
      yield bytes.subarray(0, 1)
      yield bytes.subarray(1, 200_000)
      yield bytes.subarray(200_000)
    }
    assert.ok((await buffer(throttle.stream(pieces(), never))).equals(bytes))
    assert.ok(time.now() >= 2_800 && time.now() <= 3_000, `300 KB at 100 KB/s took ${time.now()} ms`)
  })
})
