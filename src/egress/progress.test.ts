import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Rate, secondsLeft, speedOf } from './progress.ts'
import { type Counts, NO_COUNTS } from './pushes.ts'

const counts = (some: Partial<Counts>): Counts => ({ ...NO_COUNTS, ...some })

describe('the rate of a push', () => {
  it('is of the last seconds, not of the whole time', () => {
    const rate = new Rate()
    assert.equal(rate.speed, undefined)
    rate.add(0, { bytesDone: 0, filesDone: 0 })
    assert.equal(rate.speed, undefined)
    // Slow for a minute, then fast.
    for (let second = 1; second <= 60; second++) rate.add(second * 1000, { bytesDone: second, filesDone: 0 })
    assert.deepEqual(rate.speed, { bytesPerSecond: 1, filesPerSecond: 0 })
    for (let second = 1; second <= 16; second++) {
      rate.add((60 + second) * 1000, { bytesDone: 60 + second * 100, filesDone: second * 2 })
    }
    assert.deepEqual(rate.speed, { bytesPerSecond: 100, filesPerSecond: 2 })
  })

  it('is never below nothing, though a part that is sent again takes back what it counted', () => {
    const rate = new Rate()
    rate.add(0, { bytesDone: 1000, filesDone: 1 })
    rate.add(1000, { bytesDone: 10, filesDone: 1 })
    assert.deepEqual(rate.speed, { bytesPerSecond: 0, filesPerSecond: 0 })
  })
})

describe('the time that is left', () => {
  it('is of the bytes where files are large, and of the files where they are small', () => {
    const large = counts({ filesTotal: 2, filesDone: 1, bytesTotal: 10_000, bytesDone: 4_000 })
    assert.equal(secondsLeft(large, speedOf(100, 10, 1000)), 60)
    const small = counts({ filesTotal: 1000, filesSkipped: 100, filesDone: 300, bytesTotal: 900, bytesDone: 300 })
    assert.equal(secondsLeft(small, speedOf(30, 10, 1000)), 60)
  })

  it('is not known before it is known what there is to do, nor while nothing moves', () => {
    assert.equal(secondsLeft(counts({}), speedOf(100, 1, 1000)), undefined)
    assert.equal(secondsLeft(counts({ filesTotal: 1, bytesTotal: 5 }), speedOf(0, 0, 1000)), undefined)
    assert.equal(secondsLeft(counts({ filesTotal: 1, filesSkipped: 1 }), speedOf(0, 0, 1000)), 0)
    const smallFirst = counts({ filesTotal: 9, filesDone: 8, bytesTotal: 2 ** 30, bytesDone: 16 })
    assert.equal(secondsLeft(smallFirst, speedOf(16, 8, 4000)), undefined)
  })
})
