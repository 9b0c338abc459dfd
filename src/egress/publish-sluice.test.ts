import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { createTargetGuard, type ObjectStore, openTargetStore, parseTargetUrl } from '../cloud/index.ts'
import { startTestServer, type TestServer, testKey } from '../gateway/testing/server.ts'
import { MIB, systemClock } from '../kernel/index.ts'
import { PLAIN_SETTINGS } from './settings.ts'
import { ALLOWED, Harness } from './testing/harness.ts'
import type { VerifyEvent } from './verify.ts'

const id = (digit: string) => digit.repeat(32)

describe('publishing to a second Sluice', () => {
  let server: TestServer
  let h: Harness
  let target: ObjectStore
  let url: string
  let bucket = 0

  before(async () => {
    server = await startTestServer()
  })
  after(() => server.close())

  beforeEach(async () => {
    const name = `master.target-${bucket++}`
    await server.send('PUT', `/${name}`)
    h = await Harness.open({ realStores: true })
    const secrets = await h.secrets()
    await secrets.delete('target')
    await secrets.create({ name: 'target', ...testKey })
    url = `s3://127.0.0.1:${server.port}/${name}/out`
    target = await openTargetStore(
      parseTargetUrl(url),
      { kind: 's3', ...testKey },
      { guard: createTargetGuard(ALLOWED), clock: systemClock, random: Math.random },
    )
  })
  afterEach(async () => {
    await target.close()
    await h.close()
  })

  const text = async (key: string) => String(await buffer(await target.get(key)))

  async function verify(push: string, deep: boolean): Promise<VerifyEvent[]> {
    const events: VerifyEvent[] = []
    for await (const event of h.egress.verify(push, { deep, signal: new AbortController().signal })) events.push(event)
    return events
  }

  it('holds whole folders of commits, and a manifest of whole names', async () => {
    const settings = {
      ...PLAIN_SETTINGS,
      layout: 'commit',
      success: true,
      manifests: [{ path: 'manifest.json' }],
    } as const
    const big = randomBytes(20 * MIB)
    const files = { 'ü/b c+d%41.txt': 'odd', big, small: 's' }
    await h.push(id('1'), files, { url, settings, commit: id('a') })
    const second = await h.push(id('2'), { ...files, small: 'S' }, { url, settings, commit: id('b') })
    assert.deepEqual([second.state, second.reason], ['success', undefined])
    assert.equal(await text('latest'), `${id('b')}\n`)
    assert.ok((await buffer(await target.get(`${id('b')}/big`))).equals(big))
    assert.equal(await text(`${id('b')}/ü/b c+d%41.txt`), 'odd')
    const { entries } = JSON.parse(await text('manifest.json')) as { entries: { url: string; meta: object }[] }
    const folder = `s3://${new URL(url.replace('s3:', 'http:')).pathname.slice(1)}/${id('b')}`
    assert.deepEqual(entries, [
      { url: `${folder}/big`, mandatory: true, meta: { content_length: 20 * MIB } },
      { url: `${folder}/small`, mandatory: true, meta: { content_length: 1 } },
      { url: `${folder}/ü/b c+d%41.txt`, mandatory: true, meta: { content_length: 3 } },
    ])
    for (const deep of [false, true]) {
      const [only, ...more] = await verify(id('2'), deep)
      assert.ok(only?.kind === 'verified' && more.length === 0, JSON.stringify([only, ...more].slice(0, 3)))
      assert.deepEqual([only.files, only.foreign, only.unsent, only.unread], [12, 0, 0, 0])
    }
  })

  it('is found to be other when somebody has been there', async () => {
    await h.push(id('1'), { changed: '1', gone: '1', right: '1' }, { url })
    await target.put('changed', Buffer.from('2'), 1)
    await target.delete(['gone'])
    await target.put('theirs', Buffer.from('x'), 1)
    const said = (await verify(id('1'), false)).map((event) => [event.kind, 'path' in event ? event.path : undefined])
    assert.deepEqual(said, [
      ['drift', 'changed'],
      ['drift', 'gone'],
      ['foreign', 'theirs'],
      ['verified', undefined],
    ])
  })

  it('can not be compared when it is not reached, and that says why', async () => {
    await h.push(id('1'), { a: '1' }, { url })
    const secrets = await h.secrets()
    await secrets.delete('target')
    await secrets.create({ name: 'target', ...testKey, secretAccessKey: 'this-one-is-wrong' })
    await assert.rejects(verify(id('1'), false), /could not be compared: .*secret key of SLUICETESTKEY is wrong/)
  })
})
