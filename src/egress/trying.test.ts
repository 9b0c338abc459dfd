import assert from 'node:assert/strict'
import { it } from 'node:test'
import { StoreUnreachable } from '../cloud/index.ts'
import { commit, run } from './testing/by-hand.ts'
import { eachHarness } from './testing/each.ts'
import type { Harness } from './testing/harness.ts'
import { Trials } from './trying.ts'

const harness = eachHarness()

it('a push that tries again says why, how often and since when, until a request succeeds', async () => {
  const h = await harness()
  await commit(h, 'images', { a: '1', b: '2' })
  const [aMayGo, bMayGo] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  let tries = 0
  h.target.before = (operation, key) => {
    if (operation !== 'put') return undefined
    if (key === 'b') return bMayGo.promise
    if (++tries <= 2) throw new StoreUnreachable('127.0.0.1:9000 refused the connection')
    return aMayGo.promise
  }
  const before = Date.now()
  const { id } = await run(h, 'images@master')
  while (tries < 3) await new Promise(setImmediate)
  const { state, trying } = await h.egress.inspect(id)
  assert.deepEqual([state, trying?.reason, trying?.times], ['running', '127.0.0.1:9000 refused the connection', 2])
  assert.ok(trying && trying.sinceMs >= before && trying.sinceMs <= Date.now())
  assert.deepEqual((await h.egress.list())[0]?.trying, trying)
  aMayGo.resolve()
  await succeededOnce(h, 'a')
  while ((await h.egress.inspect(id)).trying) await new Promise(setImmediate)
  assert.equal((await h.egress.inspect(id)).state, 'running')
  bMayGo.resolve()
  assert.equal((await h.ended(id)).state, 'success')
})

it('a push that has given up says so as its reason, and tries nothing', async () => {
  const h = await harness()
  await commit(h, 'images', { a: '1' })
  h.target.before = () => {
    throw new StoreUnreachable('no answer')
  }
  const { id } = await run(h, 'images@master')
  const { state, reason = '', trying } = await h.ended(id)
  assert.deepEqual([state, trying], ['failed', undefined])
  assert.match(reason, /no answer \(tried 12 times\)/)
})

it('the time is that of the first failure since a success, the rest that of the last one', () => {
  let nowMs = 5
  const trials = new Trials(() => nowMs)
  trials.failed(new Error('busy'), 1)
  nowMs = 9
  trials.failed(new Error('no answer'), 2)
  assert.deepEqual(trials.trying, { reason: 'no answer', times: 2, sinceMs: 5 })
  trials.succeeded()
  assert.deepEqual([trials.trying], [undefined])
  trials.failed(new Error('busy'), 1)
  assert.deepEqual(trials.trying, { reason: 'busy', times: 1, sinceMs: 9 })
})

async function succeededOnce(h: Harness, key: string): Promise<void> {
  while (!(await h.target.head(key))) await new Promise(setImmediate)
}
