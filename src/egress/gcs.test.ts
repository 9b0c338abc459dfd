import assert from 'node:assert/strict'
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { describe, it, type TestContext } from 'node:test'
import { openTestGcs } from '../cloud/testing/gcs-open.ts'
import { type GcsMisbehaviour, type GcsOperation, type GcsServer, startGcsServer } from '../cloud/testing/gcs-server.ts'
import { MIB } from '../kernel/index.ts'
import { Harness, signalled } from './testing/harness.ts'

const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')

async function pushingTo(t: TestContext, server: GcsServer): Promise<Harness> {
  server.makeBucket('bucket')
  const store = openTestGcs({ endpoint: server.endpoint, credentials: server.credentials, folder: 'out' })
  const h = await Harness.open({ target: store })
  t.after(async () => {
    await server.close()
    await h.close()
    await store.close()
  })
  return h
}

/** A third of all requests fail, each in a way of its own. */
function thirdOfAll(seed: number): (operation: GcsOperation) => GcsMisbehaviour | undefined {
  let state = seed
  // Mulberry32 (T. Ettinger).
  const random = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const ways: readonly (() => GcsMisbehaviour)[] = [
    () => ({ kind: 'answer', status: 503, reason: 'backendError' }),
    () => ({ kind: 'answer', status: 429, reason: 'rateLimitExceeded' }),
    () => ({ kind: 'cut', afterBytes: Math.ceil(random() * 4 * MIB) }),
    () => ({ kind: 'lost' }),
  ]
  return () => (random() < 1 / 3 ? ways[Math.floor(random() * ways.length)]!() : undefined)
}

describe('a push to Google Cloud Storage', () => {
  it('goes on after a crash in the middle of a part, without sending a byte again that had arrived', async (t) => {
    const server = await startGcsServer()
    const h = await pushingTo(t, server)
    const bytes = randomBytes(40 * MIB)
    const third = signalled()
    let parts = 0
    h.target.before = (operation) => {
      if (operation !== 'putPart' || ++parts < 3) return
      if (parts === 3) server.misbehave('chunk', { kind: 'stall', afterBytes: 5 * MIB })
      third.call()
    }
    await h.request('1', await h.tree({ 'big.bin': bytes }))
    await third.promise
    while (server.requests.filter(({ operation }) => operation === 'chunk').length < 3) await new Promise(setImmediate)
    await h.crash()
    const { state, reason } = await h.ended('1')
    assert.equal(state, 'success', reason)
    assert.equal(md5(await buffer(await h.target.get('big.bin'))), md5(bytes))
    const sent = server.requests.filter(({ operation }) => operation === 'chunk')
    assert.equal(
      sent.reduce((sum, request) => sum + request.bytes, 0),
      bytes.length,
    )
    assert.equal(server.requests.filter(({ operation }) => operation === 'begin').length, 1)
  })

  it('brings everything there whole although a third of the requests fail', async (t) => {
    const seed = randomInt(2 ** 31)
    t.diagnostic(`seed ${seed}`)
    const server = await startGcsServer(thirdOfAll(seed))
    const h = await pushingTo(t, server)
    const files = Object.fromEntries(
      Array.from({ length: 200 }, (_, index) => [`dir/${index}`, randomBytes(index * 50)] as const),
    )
    const big = randomBytes(37 * MIB + 5)
    const { state, reason } = await h.push('1', { ...files, big })
    assert.equal(state, 'success', reason)
    const sums: Record<string, string | undefined> = {}
    const { objects, next } = await h.target.list()
    assert.equal(next, undefined)
    for (const object of objects) sums[object.key] = object.md5
    const expected = Object.entries({ ...files, big }).map(([path, bytes]) => [path, md5(bytes)])
    assert.deepEqual(sums, Object.fromEntries(expected))
  })
})
