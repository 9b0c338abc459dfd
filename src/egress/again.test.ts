import assert from 'node:assert/strict'
import { it } from 'node:test'
import { StoreDenied, StoreUnreachable } from '../cloud/index.ts'
import { again, GaveUp, type Patience } from './again.ts'
import { RETRY_FOR_MS } from './limits.ts'

const patience = (signal = new AbortController().signal): Patience => ({
  retry: { attempts: 4, firstDelayMs: 1, maxDelayMs: 2 },
  random: () => 0.5,
  signal,
})

it('tries again what may help, and says at the end why and how often', async () => {
  let tries = 0
  await assert.rejects(
    again(patience(), async () => {
      tries++
      throw new StoreUnreachable('the connection was cut')
    }),
    (error) => error instanceof GaveUp && error.message === 'the connection was cut (tried 4 times)',
  )
  assert.equal(tries, 4)
})

it('does not try again what no try can help', async () => {
  let tries = 0
  await assert.rejects(
    again(patience(), async () => {
      tries++
      throw new StoreDenied('no')
    }),
    StoreDenied,
  )
  assert.equal(tries, 1)
})

it('ends when the time is up, also with tries left, where each takes long', async () => {
  let nowMs = 0
  await assert.rejects(
    again(
      patience(),
      async () => {
        nowMs += RETRY_FOR_MS * 0.6
        throw new StoreUnreachable('no answer')
      },
      () => nowMs,
    ),
    /no answer \(tried 2 times\)/,
  )
})

it('throws the reason of an abort and not what it led to', async () => {
  const stop = new AbortController()
  const work = again(patience(stop.signal), async () => {
    stop.abort(new Error('stopped'))
    throw new StoreUnreachable('the connection was cut')
  })
  await assert.rejects(work, /^Error: stopped$/)
})

it('leaves what does not end when it is told to stop', async () => {
  const stop = new AbortController()
  const reason = new Error('stopping')
  const never = again(patience(stop.signal), () => new Promise(() => undefined), undefined, 1)
  stop.abort(reason)
  await assert.rejects(never, reason)
})

it('waits for what ends soon after it was told to stop', async () => {
  const stop = new AbortController()
  let ended = false
  const soon = again(patience(stop.signal), async () => {
    await new Promise((resolve) => setTimeout(resolve, 5))
    ended = true
    return 'done'
  })
  stop.abort(new Error('stopping'))
  assert.equal(await soon, 'done')
  assert.ok(ended)
})
