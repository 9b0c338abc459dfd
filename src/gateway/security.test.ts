import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { createLog, presignUrl, rootKeyRing, systemClock } from '../kernel/index.ts'
import { createGateway } from './gateway.ts'
import { openRaw, rawHead } from './testing/raw.ts'
import { startTestServer, type TestServer, testKey } from './testing/server.ts'

const wrongKey = { ...testKey, secretAccessKey: 'not the secret of this key' }

describe('the holes of others', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer()
    await server.send('PUT', '/master.images')
  })
  after(() => server.close())

  const code = async (reply: Response) => /<Code>(\w+)<\/Code>/.exec(await reply.text())?.[1]

  it('a body that is not the one that was signed is refused, and nothing is visible', async () => {
    const sha256 = createHash('sha256').update('hello').digest('hex')
    const reply = await server.send('PUT', '/master.images/other', { bodySha256: sha256, body: 'hallo' })
    assert.equal(reply.status, 400)
    assert.equal(await code(reply), 'XAmzContentSHA256Mismatch')
    assert.equal((await server.send('GET', '/master.images/other')).status, 404)
  })

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
    // A PUT of `.sluice/commit` is the one request there; it makes a commit, and no object.
    const key = '/master.images/.sluice/log.json'
    for (const path of [
      key,
      '/master.images/%2Esluice/log.json',
      '/master.images/.sluice%2Flog.json',
      '/master.images%2F.sluice/a',
      '/master.images/.sluice',
      '/master.images/.sluice/',
      '/master.images/.sluice/commit/a',
    ]) {
      assert.equal(await code(await server.send('PUT', path, { body: 'x' })), 'AccessDenied', path)
    }
    assert.equal((await server.send('DELETE', key)).status, 403)
    assert.equal((await server.send('DELETE', '/master.images/.sluice/commit')).status, 403)
    assert.equal((await server.send('POST', `${key}?uploads=`)).status, 403)
    assert.equal((await server.send('PUT', key, { headers: { 'x-amz-copy-source': '/master.images/a' } })).status, 403)
    const list = await (await server.send('GET', '/master.images?prefix=.sluice')).text()
    assert.doesNotMatch(list, /<Contents>/)
  })

  it('a subresource that is not there never becomes the operation without it', async () => {
    await server.send('PUT', '/master.images/tagged', { body: 'content' })
    for (const parameter of [
      'retention',
      'legal-hold',
      'encryption',
      'annotation',
      'unheard-of',
      '__proto__',
      'constructor',
    ]) {
      const reply = await server.send('PUT', `/master.images/tagged?${parameter}=`, { body: '<Tagging/>' })
      assert.equal(await code(reply), 'NotImplemented', parameter)
    }
    for (const headers of [
      { 'x-amz-object-lock-mode': 'COMPLIANCE' },
      { 'x-amz-server-side-encryption': 'AES256' },
      { 'x-amz-grant-read': 'uri=http://acs.amazonaws.com/groups/global/AllUsers' },
    ]) {
      const reply = await server.send('PUT', '/master.images/tagged', { headers, body: 'x' })
      assert.equal(await code(reply), 'NotImplemented', JSON.stringify(headers))
    }
    assert.equal((await server.send('DELETE', '/master.images?unheard-of=')).status, 501)
    assert.equal((await server.send('DELETE', '/master.images?policy=')).status, 204)
    assert.equal((await server.send('HEAD', '/master.images')).status, 200)
    assert.equal(await (await server.send('GET', '/master.images/tagged')).text(), 'content')
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
    const urlBy = (key: typeof testKey) =>
      presignUrl({
        ...key,
        method: 'GET',
        url: `${origin}/master.images/a`,
        region: 'us-east-1',
        service: 's3',
        now: new Date(),
        expiresSeconds: 60,
      })
    const [url, right] = [urlBy(wrongKey), urlBy(testKey)]
    const answer = await (await fetch(url)).text()
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
