import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { after, before, beforeEach, describe, it } from 'node:test'
import {
  accessMigrations,
  migrate,
  openSecretBox,
  openUsers,
  presignUrl,
  signRequest,
  silentLog,
  systemClock,
  type TemporaryCredentials,
} from '../kernel/index.ts'
import { parseRepoName } from '../versioning/index.ts'
import { openTestStore, type TestStore } from '../versioning/testing/store.ts'
import { createGateway } from './gateway.ts'
import { registry } from './s3/registry.ts'
import { openRaw, rawHead } from './testing/raw.ts'
import { testKey } from './testing/server.ts'

const wrongKey = { ...testKey, secretAccessKey: 'not the secret of this key' }
const bodyModes: readonly (readonly [name: string, sha256: string])[] = [
  ['a signed body', createHash('sha256').update('hello').digest('hex')],
  ['an unsigned body', 'UNSIGNED-PAYLOAD'],
  ['signed chunks', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'],
  ['signed chunks and trailer', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'],
  ['unsigned chunks and trailer', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'],
]

/** One request for each row of the registry, as it would look on the wire but for its signature. */
const paths = { service: '/', bucket: '/master.images', object: '/master.images/a.png' }
const requests = registry
  // A preflight is asked by browsers, which can't sign it; what it may say is the bucket's own rules.
  .filter(({ method }) => method !== 'OPTIONS')
  .map(({ name, method, on, parameters, header }) => {
    const query = Object.entries(parameters).map(([key, value]) => `${key}=${value === true ? '' : value}`)
    const path = name === 'WriteGetObjectResponse' ? `/${name}` : paths[on]
    return {
      name,
      method,
      path: query.length > 0 ? `${path}?${query.join('&')}` : path,
      headers: (header === undefined ? {} : { [header]: '/master.images/other' }) as Record<string, string>,
      hasBody: method === 'PUT' || method === 'POST',
    }
  })

/** Every route of the registry against every way to sign a request that is wrong: refused, and the store was not even looked at. */
describe('a request that is not signed right', { timeout: 120_000 }, () => {
  let store: TestStore
  let origin = ''
  let port = 0
  let close = async () => {}
  let temporary: TemporaryCredentials
  /** Every member of the store that was used since the test began. */
  const touched: string[] = []

  before(async () => {
    store = await openTestStore()
    await migrate(store.db, [accessMigrations])
    const keys = await openUsers({
      db: store.db,
      box: await openSecretBox(store.folder),
      rootKey: testKey,
      roles: { of: async () => new Map(), forget: async () => {}, onChange: () => () => {} },
      clock: systemClock,
    })
    const root = await keys.find(testKey.accessKeyId)
    temporary = keys.mint(root!, { forMs: 3_600_000 })
    const versioning = new Proxy(store.versioning, {
      get(target, name) {
        touched.push(String(name))
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const gateway = createGateway({
      versioning,
      keys,
      config: { region: undefined, apiPort: 1, logLevel: 'silent', domains: [] },
      clock: systemClock,
      log: silentLog,
    })
    await new Promise<void>((resolve) => gateway.server.listen(0, '127.0.0.1', resolve))
    port = (gateway.server.address() as AddressInfo).port
    origin = `http://127.0.0.1:${port}`
    close = gateway.close
  })
  after(async () => {
    await close()
    await store.close()
  })
  beforeEach(() => {
    touched.length = 0
  })

  type Request = (typeof requests)[number]
  interface Signing {
    readonly key?: { readonly accessKeyId: string; readonly secretAccessKey: string }
    readonly bodySha256?: string
    readonly now?: Date
    readonly headers?: Record<string, string>
  }

  const sign = ({ method, path, headers }: Request, { key = testKey, bodySha256, now, headers: more }: Signing) => {
    const { host: _host, ...signed } = signRequest({
      ...key,
      method,
      url: origin + path,
      headers: { ...headers, ...more },
      bodySha256: bodySha256 ?? 'UNSIGNED-PAYLOAD',
      region: 'us-east-1',
      service: 's3',
      now: now ?? new Date(),
    })
    return signed
  }
  const presign = ({ method, path }: Request, key: Signing['key'] = wrongKey, extra = '') =>
    presignUrl({
      ...key,
      method,
      url: `${origin}${path}${extra === '' ? '' : `${path.includes('?') ? '&' : '?'}${extra}`}`,
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      expiresSeconds: 60,
    }).slice(origin.length)

  /** Sends it and holds what came back against what was expected; nothing may have been touched. */
  async function isRefused(
    { name, method, hasBody }: Request,
    how: string,
    sent: { path: string; headers: Record<string, string> },
    expected: { status: number; code?: string; says?: RegExp },
  ): Promise<void> {
    const body = hasBody ? { body: 'hello' } : {}
    const reply = await fetch(origin + sent.path, { method, headers: sent.headers, redirect: 'manual', ...body })
    const text = await reply.text()
    assert.equal(reply.status, expected.status, `${name}, ${how}: ${text}`)
    assert.match(reply.headers.get('x-amz-request-id') ?? '', /^\w+$/)
    if (method !== 'HEAD') {
      if (expected.code !== undefined)
        assert.match(text, new RegExp(`<Code>${expected.code}</Code>`), `${name}, ${how}`)
      if (expected.says) assert.match(text, expected.says, `${name}, ${how}`)
    }
    assert.deepEqual(touched, [], `${name}, ${how}`)
  }

  it('would be taken if it were: some of these very requests are, so that the refusals mean something', async () => {
    await store.versioning.createRepo(parseRepoName('images'))
    for (const request of requests.filter(({ name }) => name === 'ListBuckets' || name === 'HeadBucket')) {
      for (const headers of [sign(request, {}), sign(request, { key: temporary })]) {
        const reply = await fetch(origin + request.path, { method: request.method, headers })
        assert.equal(reply.status, 200, request.name)
      }
      assert.equal((await fetch(origin + presign(request, testKey), { method: request.method })).status, 200)
    }
    assert.notDeepEqual(touched, [])
    assert.ok(requests.length > 90, 'the registry holds what AWS documents')
  })

  for (const [mode, bodySha256] of bodyModes) {
    it(`is 403 on every route, with ${mode}`, async () => {
      for (const request of requests) {
        const { path } = request
        const headers = sign(request, { bodySha256, key: wrongKey })
        await isRefused(request, 'wrong secret', { path, headers }, { status: 403, code: 'SignatureDoesNotMatch' })
        const anonymous = { ...request.headers, 'x-amz-content-sha256': bodySha256 }
        await isRefused(request, 'no signature', { path, headers: anonymous }, { status: 403, code: 'AccessDenied' })
        // Credentials in the query and framing in the header: the signature must hold all the same.
        const url = presign(request)
        const hash = { 'x-amz-content-sha256': bodySha256 }
        await isRefused(request, 'presigned', { path: url, headers: hash }, { status: 403 })
        const inQuery = presign(request, wrongKey, `X-Amz-Content-Sha256=${bodySha256}`)
        await isRefused(request, 'presigned with a hash', { path: inQuery, headers: {} }, { status: 403 })
      }
    })
  }

  it('is 403 on every route when it is anonymous, by an unknown key, or stale', async () => {
    for (const request of requests) {
      const { path } = request
      const refused = (how: string, headers: Record<string, string>, code: string) =>
        isRefused(request, how, { path, headers }, { status: 403, code })
      await refused('anonymous', request.headers, 'AccessDenied')
      const key = { ...testKey, accessKeyId: 'NOBODY' }
      await refused('unknown', sign(request, { key }), 'InvalidAccessKeyId')
      const now = new Date(Date.now() - 16 * 60_000)
      await refused('stale', sign(request, { now }), 'RequestTimeTooSkewed')
    }
  })

  it('is refused on every route with credentials that are temporary and not whole', async () => {
    const { accessKeyId, secretAccessKey, sessionToken } = temporary
    const pair = { accessKeyId, secretAccessKey }
    const forged = `${sessionToken.slice(0, -4)}AAAA`
    for (const request of requests) {
      const { path } = request
      const withToken = (key: Signing['key'], token: string) =>
        sign(request, { key: key ?? testKey, headers: { 'x-amz-security-token': token } })
      const refused = (how: string, headers: Record<string, string>, status: number, code: string) =>
        isRefused(request, how, { path, headers }, { status, code })
      await refused('no token', sign(request, { key: pair }), 403, 'InvalidAccessKeyId')
      await refused('a forged token', withToken(pair, forged), 400, 'InvalidToken')
      await refused('a token of somebody else', withToken(testKey, sessionToken), 400, 'InvalidToken')
      const wrong = { ...pair, secretAccessKey: 'another' }
      await refused('a wrong secret', withToken(wrong, sessionToken), 403, 'SignatureDoesNotMatch')
      const inQuery = presign(request, pair, `X-Amz-Security-Token=${encodeURIComponent(forged)}`)
      const expected = { status: 400, code: 'InvalidToken' }
      await isRefused(request, 'a forged token in the query', { path: inQuery, headers: {} }, expected)
    }
  })

  it('is told what to do on every route when it is signed by version 2', async () => {
    const says = /signature_version=(?:'|&apos;)?s3v4/
    for (const request of requests) {
      const { path } = request
      const headers = { authorization: `AWS ${testKey.accessKeyId}:c2lnbmF0dXJl`, date: new Date().toUTCString() }
      const expected = { status: 400, code: 'InvalidRequest', says }
      await isRefused(request, 'version 2 in the header', { path, headers }, expected)
      const query = `${path.includes('?') ? '&' : '?'}AWSAccessKeyId=${testKey.accessKeyId}&Signature=c2ln&Expires=1`
      await isRefused(request, 'version 2 in the query', { path: path + query, headers: {} }, expected)
    }
  })

  it('is 400 on every route when it is signed in two ways, both right', async () => {
    for (const request of requests) {
      const url = presign(request, testKey)
      const headers = sign({ ...request, path: url }, {})
      await isRefused(request, 'two ways', { path: url, headers }, { status: 400, code: 'InvalidArgument' })
    }
  })

  it('is 403 on every route when host or a header that the operation reads is not signed', async () => {
    for (const request of requests) {
      const { path } = request
      const headers = { ...sign(request, {}), 'x-amz-meta-added': 'later' }
      await isRefused(request, 'a header added', { path, headers }, { status: 403, code: 'AccessDenied' })
      const presigned = presign(request, testKey)
      const added = { 'x-amz-copy-source': '/master.images/b' }
      await isRefused(request, 'added to a presigned one', { path: presigned, headers: added }, { status: 403 })
    }
  })

  it('is refused on every route before its body: none is asked for, and none is waited for', async () => {
    for (const request of requests.filter(({ hasBody }) => hasBody)) {
      const { name, method, path } = request
      for (const [how, bodySha256] of bodyModes) {
        const headers = { ...sign(request, { bodySha256, key: wrongKey }), host: `127.0.0.1:${port}` }
        const expecting = await openRaw(port)
        expecting.write(rawHead(method, path, { ...headers, 'content-length': '1000', expect: '100-continue' }))
        assert.equal((await expecting.reply())?.status, 403, `${name}, ${how}, expecting`)
        expecting.close()
        const sending = await openRaw(port)
        sending.write(rawHead(method, path, { ...headers, 'content-length': '1000' }))
        assert.equal((await sending.reply())?.status, 403, `${name}, ${how}, sending`)
        sending.close()
      }
    }
    assert.deepEqual(touched, [])
  })
})
