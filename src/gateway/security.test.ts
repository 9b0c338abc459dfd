import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, beforeEach, describe, it } from 'node:test'
import { createLog, presignUrl, rootKeyRing, systemClock } from '../kernel/index.ts'
import type { Versioning } from '../versioning/index.ts'
import { createGateway } from './gateway.ts'
import { registry } from './s3/registry.ts'
import { openRaw, rawHead } from './testing/raw.ts'
import { startTestServer, type TestServer, testKey } from './testing/server.ts'

const wrongKey = { ...testKey, secretAccessKey: 'not the secret of this key' }

describe('a request that is not signed right', () => {
  let server: TestServer
  /** Every method of versioning that was called, of the store that is really there. */
  const touched: string[] = []

  before(async () => {
    server = await startTestServer()
    const watched = new Proxy(server.store.versioning, {
      get(target, name) {
        touched.push(String(name))
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const { server: http, close } = createGateway({
      versioning: watched as Versioning,
      keys: rootKeyRing(testKey),
      config: { region: undefined, apiPort: 1, logLevel: 'silent' },
      clock: systemClock,
      log: createLog('silent'),
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const address = http.address()
    watchedOrigin = typeof address === 'object' && address ? `http://127.0.0.1:${address.port}` : ''
    closeWatched = close
  })
  let watchedOrigin = ''
  let closeWatched = async () => {}
  after(async () => {
    await closeWatched()
    await server.close()
  })
  beforeEach(() => {
    touched.length = 0
  })

  const paths = { service: '/', bucket: '/master.images', object: '/master.images/a.png' }
  const requests = registry.map(({ name, method, on, parameters, header }) => {
    const query = Object.entries(parameters).map(([key, value]) => `${key}=${value === true ? '' : value}`)
    const path = name === 'WriteGetObjectResponse' ? `/${name}` : paths[on]
    return {
      name,
      method,
      path: query.length > 0 ? `${path}?${query.join('&')}` : path,
      headers: header === undefined ? {} : { [header]: '/master.images/other' },
    }
  })
  const modes: [string, string][] = [
    ['a signed body', createHash('sha256').update('hello').digest('hex')],
    ['an unsigned body', 'UNSIGNED-PAYLOAD'],
    ['signed chunks', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'],
    ['signed chunks and trailer', 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'],
    ['unsigned chunks and trailer', 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'],
  ]

  async function isForbidden(
    name: string,
    method: string,
    url: string,
    headers: Record<string, string>,
  ): Promise<void> {
    const body = method === 'PUT' || method === 'POST' ? { body: 'hello' } : {}
    const reply = await fetch(watchedOrigin + url, { method, headers, redirect: 'manual', ...body })
    const text = await reply.text()
    assert.equal(reply.status, 403, `${name}: ${text}`)
    assert.ok(reply.headers.get('x-amz-request-id'))
    assert.deepEqual(touched, [], name)
  }

  const signed = (method: string, path: string, options: Parameters<TestServer['sign']>[2]) => {
    const { host: _host, ...headers } = server.sign(method, path, {
      ...options,
      headers: { ...options?.headers, host: new URL(watchedOrigin).host },
    })
    return headers
  }

  for (const [mode, bodySha256] of modes) {
    it(`is 403 on every route before anything is looked at, with ${mode}`, async () => {
      for (const { name, method, path, headers } of requests) {
        await isForbidden(
          `${name}, wrong secret`,
          method,
          path,
          signed(method, path, { headers, bodySha256, key: wrongKey }),
        )
      }
    })
  }

  it('is 403 on every route when it is presigned, anonymous, by an unknown key, or stale', async () => {
    for (const { name, method, path, headers } of requests) {
      const presigned = presignUrl({
        ...wrongKey,
        method,
        url: watchedOrigin + path,
        region: 'us-east-1',
        service: 's3',
        now: new Date(),
        expiresSeconds: 60,
      }).slice(watchedOrigin.length)
      await isForbidden(`${name}, presigned`, method, presigned, {})
      await isForbidden(`${name}, anonymous`, method, path, headers)
      const key = { ...testKey, accessKeyId: 'NOBODY' }
      await isForbidden(`${name}, unknown`, method, path, signed(method, path, { headers, key }))
      const now = new Date(Date.now() - 16 * 60_000)
      await isForbidden(`${name}, stale`, method, path, signed(method, path, { headers, now }))
    }
  })

  it('is 403 for a body that is not the one that was signed, and nothing is visible', async () => {
    await server.send('PUT', '/bodies')
    const sha256 = createHash('sha256').update('hello').digest('hex')
    const reply = await server.send('PUT', '/bodies/a', { bodySha256: sha256, body: 'hallo' })
    assert.equal(reply.status, 400)
    assert.match(await reply.text(), /<Code>XAmzContentSHA256Mismatch<\/Code>/)
    assert.equal((await server.send('GET', '/bodies/a')).status, 404)
  })
})

describe('the holes of others', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer()
    await server.send('PUT', '/master.images')
  })
  after(() => server.close())

  const code = async (reply: Response) => /<Code>(\w+)<\/Code>/.exec(await reply.text())?.[1]

  it('header and query authentication together are 400', async () => {
    const presigned = presignUrl({
      ...testKey,
      method: 'GET',
      url: `${server.origin}/master.images/a`,
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      expiresSeconds: 60,
    }).slice(server.origin.length)
    assert.equal((await server.send('GET', presigned)).status, 400)
  })

  it('a presigned PUT and GET work, and a header that is not signed is refused', async () => {
    const presign = (method: string) =>
      presignUrl({
        ...testKey,
        method,
        url: `${server.origin}/master.images/pre%20signed?x-amz-meta-a=b`,
        region: 'us-east-1',
        service: 's3',
        now: new Date(),
        expiresSeconds: 60,
      })
    const written = await fetch(presign('PUT'), { method: 'PUT', body: 'hello' })
    assert.equal(written.status, 200)
    const read = await fetch(presign('GET'))
    assert.equal(await read.text(), 'hello')
    assert.equal(read.headers.get('x-amz-meta-a'), 'b')
    const smuggled = await fetch(presign('PUT'), { method: 'PUT', body: 'x', headers: { 'x-amz-meta-b': 'c' } })
    assert.equal(smuggled.status, 403)
  })

  it('encoded dots, slashes and backslashes are characters of the key, nothing else', async () => {
    // Not by fetch, which would resolve them.
    const raw = await openRaw(server.port)
    const exchange = async (method: string, path: string, headers: Record<string, string> = {}, body = '') => {
      const signed = server.sign(method, path, { headers: { ...headers, 'content-length': String(body.length) } })
      raw.write(rawHead(method, path, signed) + body)
      return raw.reply()
    }
    for (const key of ['%2e%2e/%2e%2e/etc', '..%2F..%2Fetc', '..%5C..%5Cetc', '/etc', '../../etc', './a', 'a/./b']) {
      assert.equal((await exchange('PUT', `/master.images/${key}`, {}, key))?.status, 200, key)
      assert.equal((await exchange('GET', `/master.images/${key}`))?.body, key)
    }
    // Three ways to write one key.
    assert.equal((await exchange('GET', '/master.images/%2e%2e%2f%2e%2e%2fetc'))?.body, '../../etc')
    assert.equal((await exchange('GET', '/master.images/..%5c..%5cetc'))?.body, '..%5C..%5Cetc')
    for (const path of ['/%2e%2e/etc', '/../etc', '/master.images%5C/a']) {
      assert.match((await exchange('GET', path))?.body ?? '', /InvalidBucketName/, path)
    }
    const copy = await exchange('PUT', '/master.images/c', { 'x-amz-copy-source': '' })
    assert.match(copy?.body ?? '', /InvalidArgument/)
    raw.close()
  })

  it('the control folder is not written by any way in', async () => {
    const key = '/master.images/.sluice/commit'
    for (const path of [
      key,
      '/master.images/%2Esluice/commit',
      '/master.images%2F.sluice/a',
      '/master.images/.sluice',
    ]) {
      assert.equal(await code(await server.send('PUT', path, { body: 'x' })), 'AccessDenied', path)
    }
    assert.equal((await server.send('DELETE', key)).status, 403)
    assert.equal((await server.send('POST', `${key}?uploads=`)).status, 403)
    assert.equal((await server.send('PUT', key, { headers: { 'x-amz-copy-source': '/master.images/a' } })).status, 403)
    const list = await (await server.send('GET', '/master.images?prefix=.sluice')).text()
    assert.doesNotMatch(list, /<Contents>/)
  })

  it('a subresource that is not there never becomes the operation without it', async () => {
    await server.send('PUT', '/master.images/tagged', { body: 'content' })
    for (const parameter of [
      'tagging',
      'acl',
      'retention',
      'legal-hold',
      'renameObject',
      'encryption',
      'annotation',
      'unheard-of',
    ]) {
      const reply = await server.send('PUT', `/master.images/tagged?${parameter}=`, { body: '<Tagging/>' })
      assert.equal(await code(reply), 'NotImplemented', parameter)
    }
    for (const headers of [
      { 'x-amz-tagging': 'a=b' },
      { 'x-amz-acl': 'public-read' },
      { 'x-amz-object-lock-mode': 'COMPLIANCE' },
    ]) {
      assert.equal(
        await code(await server.send('PUT', '/master.images/tagged', { headers, body: 'x' })),
        'NotImplemented',
      )
    }
    assert.equal((await server.send('DELETE', '/master.images?policy=')).status, 501)
    assert.equal(await (await server.send('GET', '/master.images/tagged')).text(), 'content')
    assert.equal((await server.send('GET', '/tx-a.images/b')).status, 501)
  })

  it('length and transfer encoding together, and folded headers, are refused', async () => {
    for (const head of [
      'PUT /master.images/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'GET /master.images/a HTTP/1.1\r\nHost: a\r\nX-Amz-Date: 1\r\n folded\r\n\r\n',
      'GET /master.images/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n',
      'GET /master.images/a HTTP/1.1\r\n\r\n',
    ]) {
      const raw = await openRaw(server.port)
      raw.write(head)
      assert.ok([400, 403].includes((await raw.reply())?.status ?? 0), head)
      raw.close()
    }
  })

  it('a header that is there twice is refused', async () => {
    const headers = server.sign('PUT', '/master.images/a', { headers: { 'content-length': '0', 'x-amz-meta-a': 'b' } })
    const raw = await openRaw(server.port)
    raw.write(rawHead('PUT', '/master.images/a', headers).replace('\r\n\r\n', '\r\nx-amz-meta-a: c\r\n\r\n'))
    const reply = await raw.reply()
    assert.equal(reply?.status, 400)
    assert.match(reply?.body ?? '', /x-amz-meta-a is there twice/)
    raw.close()
  })

  it('documents with a DOCTYPE, too long or too many keys change nothing', async () => {
    await server.send('PUT', '/master.images/stays', { body: 'x' })
    const entity = '<!DOCTYPE d [<!ENTITY k "stays">]><Delete><Object><Key>&k;</Key></Object></Delete>'
    assert.equal(await code(await server.send('POST', '/master.images?delete=', { body: entity })), 'MalformedXML')
    const many = `<Delete>${'<Object><Key>stays</Key></Object>'.repeat(1001)}</Delete>`
    assert.equal(await code(await server.send('POST', '/master.images?delete=', { body: many })), 'MalformedXML')
    const long = `<Delete><!--${'x'.repeat(9_000_000)}--></Delete>`
    assert.equal(await code(await server.send('POST', '/master.images?delete=', { body: long })), 'EntityTooLarge')
    const pollution = '<Delete><Object><Key>__proto__</Key></Object></Delete>'
    assert.equal((await server.send('POST', '/master.images?delete=', { body: pollution })).status, 200)
    assert.equal((await server.send('GET', '/master.images/stays')).status, 200)
  })

  it('no secret, signature or right signature is in an answer or in the log', async () => {
    const lines: string[] = []
    const { server: http, close } = createGateway({
      versioning: server.store.versioning,
      keys: rootKeyRing(testKey),
      config: { region: undefined, apiPort: 1, logLevel: 'trace' },
      clock: systemClock,
      log: createLog('trace', { write: (line) => lines.push(line) }),
    })
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
    const address = http.address()
    const origin = typeof address === 'object' && address ? `http://127.0.0.1:${address.port}` : ''
    const url = presignUrl({
      ...wrongKey,
      method: 'GET',
      url: `${origin}/master.images/a`,
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      expiresSeconds: 60,
    })
    const answer = await (await fetch(url)).text()
    const right = presignUrl({
      ...testKey,
      method: 'GET',
      url: `${origin}/master.images/a`,
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      expiresSeconds: 60,
    })
    await (await fetch(right)).text()
    await close()
    assert.ok(lines.length >= 2)
    for (const secret of [
      testKey.secretAccessKey,
      wrongKey.secretAccessKey,
      'X-Amz-Signature',
      right.slice(-64),
      url.slice(-64),
    ]) {
      assert.ok(!answer.includes(secret) && !lines.join('').includes(secret), secret)
    }
  })
})
