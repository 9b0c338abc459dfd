import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type S3Target, StoreThrottled, StoreUnreachable } from '../cloud/index.ts'
import { Lane, TargetLanes } from './lanes.ts'

const throttled = () => Promise.reject(new StoreThrottled('slow down'))
const fine = () => Promise.resolve()
const ignored = () => undefined

/** Work that ends when it is told to, and how much of it is under way. */
function manual(lane: Lane) {
  const ends: { resolve: () => void; reject: (error: unknown) => void }[] = []
  return {
    ends,
    start: () => lane.run(() => new Promise<void>((resolve, reject) => ends.push({ resolve, reject }))).catch(ignored),
  }
}

describe('Lane', () => {
  it('lets in no more at once than there is room for, and all in the end', async () => {
    const lane = new Lane(3)
    const { ends, start } = manual(lane)
    const all = Array.from({ length: 10 }, start)
    for (let done = 0; done < 10; done++) {
      await new Promise(setImmediate)
      assert.equal(ends.length, Math.min(10, done + 3))
      ends[done]?.resolve()
    }
    await Promise.all(all)
  })

  it('halves what is on its way when the target asks for less, once for all that was on its way then', async () => {
    const lane = new Lane(16)
    await Promise.all(Array.from({ length: 16 }, () => lane.run(throttled).catch(ignored)))
    assert.equal(lane.width, 8)
    await lane.run(throttled).catch(ignored)
    assert.equal(lane.width, 4)
    const { ends, start } = manual(lane)
    const all = Array.from({ length: 8 }, start)
    await new Promise(setImmediate)
    assert.equal(ends.length, 4)
    for (let done = 0; done < 8; done++) {
      ends[done]?.resolve()
      await new Promise(setImmediate)
    }
    await Promise.all(all)
  })

  it('never stops altogether, and comes back one by one', async () => {
    const lane = new Lane(8)
    for (let times = 0; times < 10; times++) await lane.run(throttled).catch(ignored)
    assert.equal(lane.width, 1)
    await lane.run(fine)
    assert.equal(lane.width, 2)
    for (let times = 0; times < 3; times++) await lane.run(fine)
    assert.equal(lane.width, 3)
    for (let times = 0; times < 100; times++) await lane.run(fine)
    assert.equal(lane.width, 8)
  })

  it('is as wide as before after other failures', async () => {
    const lane = new Lane(8)
    await lane.run(() => Promise.reject(new StoreUnreachable('cut off'))).catch(ignored)
    assert.equal(lane.width, 8)
  })
})

describe('TargetLanes', () => {
  const target = (bucket: string, folder: string): S3Target => ({
    kind: 's3',
    endpoint: undefined,
    bucket,
    folder,
    url: `s3://${bucket}/${folder}`,
    identity: `s3://${bucket}/${folder}`,
  })

  it('gives all pushes to one bucket the same lane, another bucket another one, and forgets those that nobody uses', async () => {
    const lanes = new TargetLanes()
    const first = lanes.enter(target('a', 'x'))
    const second = lanes.enter(target('a', 'y'))
    const other = lanes.enter(target('b', 'x'))
    assert.equal(first.lane, second.lane)
    assert.notEqual(first.lane, other.lane)
    first.leave()
    assert.equal(lanes.enter(target('a', 'z')).lane, second.lane)
    other.leave()
    assert.notEqual(lanes.enter(target('b', 'x')).lane, other.lane)
  })
})
