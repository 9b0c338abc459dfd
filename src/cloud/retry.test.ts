import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { StoreDenied, StoreUnreachable } from './object-store.ts'
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
