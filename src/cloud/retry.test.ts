import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { StoreDenied, StoreThrottled, StoreUnreachable } from './object-store.ts'
import { retrying } from './retry.ts'

const policy = { attempts: 4, firstDelayMs: 1, maxDelayMs: 2 }
const random = () => 0.5

describe('retrying', () => {
  it('tries again what may help, and no more often than it is allowed to', async () => {
    let tries = 0
    const failing = () => {
      tries++
      return Promise.reject(new StoreUnreachable('down'))
    }
    await assert.rejects(retrying(failing, policy, { random }), StoreUnreachable)
    assert.equal(tries, 4)
    assert.equal(await retrying(async (attempt) => (attempt < 3 ? failing() : attempt), policy, { random }), 3)
  })

  it('does not try again what can not help', async () => {
    for (const error of [new StoreDenied('no'), new Error('a mistake of ours')]) {
      let tries = 0
      const failing = () => {
        tries++
        return Promise.reject(error)
      }
      await assert.rejects(retrying(failing, policy, { random }), error)
      assert.equal(tries, 1)
    }
  })

  it('waits twice as long each time, and what the store asks for besides, within bounds', async () => {
    const pausesOf = async (retryAfterMs?: number) => {
      const pauses: number[] = []
      const slow = { attempts: 5, firstDelayMs: 100, maxDelayMs: 500 }
      const failing = () =>
        Promise.reject(new StoreThrottled('slow', retryAfterMs === undefined ? {} : { retryAfterMs }))
      const pause = async (ms: number) => void pauses.push(ms)
      await assert.rejects(retrying(failing, slow, { random, pause }), StoreThrottled)
      return pauses
    }
    assert.deepEqual(await pausesOf(), [50, 100, 200, 250])
    assert.deepEqual(await pausesOf(2_000), [2_050, 2_100, 2_200, 2_250])
    assert.deepEqual(await pausesOf(3_600_000), [30_050, 30_100, 30_200, 30_250])
  })

  it('ends at once when it is given up, with the reason', async () => {
    const given = new AbortController()
    const endless = { attempts: 1000, firstDelayMs: 3_600_000, maxDelayMs: 3_600_000 }
    const waiting = retrying(() => Promise.reject(new StoreUnreachable('down')), endless, {
      random,
      signal: given.signal,
    })
    setImmediate(() => given.abort(new Error('given up')))
    await assert.rejects(waiting, /given up/)
  })
})
