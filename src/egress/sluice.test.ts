import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { type ObjectStore, openS3Store } from '../cloud/index.ts'
import type { S3Target } from '../cloud/target.ts'
import { createTargetGuard } from '../cloud/target-guard.ts'
import { parseTargetUrl } from '../cloud/target-url.ts'
import { startTestServer, type TestServer, testKey } from '../gateway/testing/server.ts'
import { createLog, MIB, systemClock } from '../kernel/index.ts'
import { ALLOWED, Harness } from './testing/harness.ts'

/** The driver that is really used, from the URL and the secret to the other server's disk. */
describe('egress to a second Sluice', () => {
  let server: TestServer
  let h: Harness
  let target: ObjectStore
  let url: string

  before(async () => {
    server = await startTestServer()
    await server.send('PUT', '/master.target')
  })
  after(() => server.close())

  beforeEach(async () => {
    h = await Harness.open({ realStores: true })
    const secrets = await h.secrets()
    await secrets.delete('target')
    await secrets.create({ name: 'target', ...testKey })
    url = `s3://127.0.0.1:${server.port}/master.target/out`
    target = openS3Store({
      target: parseTargetUrl(url) as S3Target,
      credentials: testKey,
      region: undefined,
      guard: createTargetGuard(ALLOWED),
      clock: systemClock,
      random: Math.random,
    })
  })
  afterEach(async () => {
    await target.close()
    await h.close()
  })

  it('is byte for byte, and one file changed and one deleted follow', async () => {
    const big = randomBytes(40 * MIB)
    const middle = randomBytes(3 * MIB)
    const files = { 'a.txt': 'a', 'ü/b c+d%41.txt': 'odd', 'middle.bin': middle, 'gone.txt': 'gone', empty: '' }
    const first = await h.push('1', { ...files, 'big.bin': big }, { url })
    assert.deepEqual([first.state, first.filesDone, first.reason], ['success', 6, undefined])
    assert.ok((await buffer(await target.get('big.bin'))).equals(big))
    assert.ok((await buffer(await target.get('middle.bin'))).equals(middle))

    const { 'gone.txt': _, ...kept } = files
    const second = await h.push('2', { ...kept, 'big.bin': big, 'a.txt': 'A' }, { url })
    assert.deepEqual([second.filesDone, second.filesSkipped, second.filesDeleted], [1, 4, 1])
    const { objects } = await target.list()
    assert.deepEqual(
      objects.map(({ key }) => key),
      ['a.txt', 'big.bin', 'empty', 'middle.bin', 'ü/b c+d%41.txt'],
    )
    assert.equal(String(await buffer(await target.get('a.txt'))), 'A')
    assert.equal(String(await buffer(await target.get('ü/b c+d%41.txt'))), 'odd')
  })

  it('fails with the reason when the credentials are wrong or the bucket is missing', async () => {
    const missing = await h.push('1', { a: 'a' }, { url: `s3://127.0.0.1:${server.port}/master.missing` })
    assert.equal(missing.state, 'failed')
    assert.match(missing.reason!, /a could not be pushed .*has no bucket master\.missing; create it first/)
    const secrets = await h.secrets()
    await secrets.delete('target')
    await secrets.create({ name: 'target', ...testKey, secretAccessKey: 'this-one-is-wrong' })
    const denied = await h.push('2', { a: 'a' }, { url })
    assert.equal(denied.state, 'failed')
    assert.match(denied.reason!, /secret key of SLUICETESTKEY is wrong/)
  })

  it('refuses a loopback target at the push too, whatever was checked before', async () => {
    const closed = await Harness.open({ realStores: true, allowTargets: [] })
    const status = await closed.push('1', { a: 'a' }, { url })
    assert.equal(status.state, 'failed')
    assert.match(status.reason!, /SLUICE_ALLOW_TARGETS=127\.0\.0\.1:/)
    await closed.close()
  })
})

describe('the log of egress', () => {
  it('never holds a secret, also when everything fails', async () => {
    const lines: string[] = []
    const log = createLog('trace', { write: (line) => lines.push(line) })
    const server = await startTestServer()
    const h = await Harness.open({ realStores: true, log })
    const secrets = await h.secrets()
    await secrets.delete('target')
    await secrets.create({ name: 'target', ...testKey, secretAccessKey: 'canary-canary-canary' })
    for (const [job, port] of [
      ['denied', server.port],
      ['unreachable', 1],
    ] as const) {
      const status = await h.push(job, { a: 'a' }, { url: `s3://127.0.0.1:${port}/master.target` })
      assert.equal(status.state, 'failed')
      lines.push(JSON.stringify(status))
    }
    await h.close()
    await server.close()
    assert.ok(lines.length >= 6)
    for (const line of lines) assert.ok(!line.includes('canary') && !/Signature=[0-9a-f]/.test(line), line)
  })
})
