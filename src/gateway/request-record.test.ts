import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { type AccessLog, Metrics, openAccessLog, presignUrl, silentLog } from '../kernel/index.ts'
import { openRaw, rawHead } from './testing/raw.ts'
import { startTestServer, type TestServer, testKey } from './testing/server.ts'

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sluice-requests-'))
})
after(() => rm(folder, { recursive: true, force: true }))

describe('what is noted of a request', () => {
  let server: TestServer
  let metrics: Metrics
  let accessLog: AccessLog
  let file: string
  let count = 0
  beforeEach(async () => {
    metrics = new Metrics(silentLog)
    file = join(folder, `access-${++count}.log`)
    accessLog = await openAccessLog(file, { log: silentLog })
    server = await startTestServer({ metrics, accessLog })
    await server.send('PUT', '/master.images')
  })
  afterEach(async () => {
    await server.close()
    await accessLog.close()
  })

  /** All lines so far but that of the bucket. */
  const lines = async () => {
    // The line is written when the answer is out, which the client may see first.
    await new Promise((resolve) => setTimeout(resolve, 20))
    await accessLog.reopen()
    const text = await readFile(file, 'utf8')
    const all = text.trimEnd().split('\n')
    return all.slice(1).map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  it('is who asked for what, how it ended, and how many bytes went each way', async () => {
    const put = await server.send('PUT', '/master.images/a%20b.png', {
      body: 'hello',
      headers: { 'user-agent': 'a-tool/1.0' },
    })
    const got = await server.send('GET', '/master.images/a%20b.png?response-content-type=text/plain')
    await got.text()
    await (await server.send('GET', '/master.images/none')).text()
    const [first, second, third] = await lines()
    const { time, ms, remote, commit, ...rest } = first!
    assert.deepEqual(rest, {
      door: 's3',
      requestId: put.headers.get('x-amz-request-id'),
      user: 'root',
      accessKeyId: testKey.accessKeyId,
      method: 'PUT',
      operation: 'PutObject',
      bucket: 'master.images',
      key: 'a b.png',
      status: 200,
      bytesIn: 5,
      bytesOut: 0,
      userAgent: 'a-tool/1.0',
    })
    assert.equal(new Date(String(time)).toISOString(), time)
    assert.equal(remote, '127.0.0.1')
    assert.equal(typeof ms, 'number')
    assert.equal(commit, put.headers.get('x-sluice-commit') ?? undefined)
    assert.deepEqual([second!['operation'], second!['bytesOut'], second!['status']], ['GetObject', 5, 200])
    assert.equal(second!['commit'], got.headers.get('x-sluice-commit'))
    assert.deepEqual([third!['status'], third!['error'], third!['key']], [404, 'NoSuchKey', 'none'])
  })

  it('never is a secret, a signature, a token or a query', async () => {
    const canary = 'canary0123456789'
    const url = presignUrl({
      ...testKey,
      method: 'GET',
      url: `${server.origin}/master.images/a?versionId=${canary}`,
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      expiresSeconds: 60,
    })
    await (await fetch(url)).text()
    await (await fetch(`${server.origin}/master.images/a?X-Amz-Signature=${canary}&X-Amz-Credential=${canary}`)).text()
    const headers = { authorization: `AWS4-HMAC-SHA256 ${canary}`, 'x-amz-security-token': canary }
    await (await fetch(`${server.origin}/master.images/a`, { headers })).text()
    await (
      await server.send('PUT', '/master.images/a', {
        body: 'x',
        headers: { 'x-amz-server-side-encryption-customer-key': canary },
      })
    ).text()
    const noted = JSON.stringify(await lines())
    assert.equal((await lines()).length, 4)
    for (const secret of [canary, testKey.secretAccessKey, url.slice(-64), 'X-Amz-']) {
      assert.ok(!noted.includes(secret), `${secret} in ${noted}`)
    }
  })

  it('is the refusal, and not what a stranger called it, when the signature is wrong', async () => {
    const key = { ...testKey, secretAccessKey: 'wrong' }
    await (await server.send('GET', '/master.images/a', { key })).text()
    await (await fetch(`${server.origin}/%zz`)).text()
    const [forged, broken] = await lines()
    assert.equal(forged!['operation'], 'Unknown')
    assert.equal(forged!['user'], undefined)
    assert.equal(forged!['path'], '/master.images/a')
    assert.equal(forged!['error'], 'SignatureDoesNotMatch')
    assert.deepEqual([broken!['path'], broken!['error']], ['/%zz', 'InvalidURI'])
    const text = await metrics.render()
    assert.match(text, /^sluice_s3_auth_failures_total\{reason="SignatureMismatch"\} 1$/m)
    assert.match(text, /^sluice_s3_errors_total\{code="SignatureDoesNotMatch"\} 1$/m)
    assert.match(text, /^sluice_s3_requests_total\{operation="Unknown",status="403"\} 1$/m)
  })

  it('says where a client left before the end', async () => {
    const body = Buffer.alloc(30_000_000)
    assert.equal((await server.send('PUT', '/master.images/large', { body })).status, 200)
    const raw = await openRaw(server.port)
    raw.write(rawHead('GET', '/master.images/large', server.sign('GET', '/master.images/large')))
    await new Promise((resolve) => raw.socket.once('readable', resolve))
    raw.close()
    await raw.closed
    let last: Record<string, unknown> | undefined
    for (let tries = 0; tries < 100 && last?.['cut'] === undefined; tries++) last = (await lines()).at(-1)
    assert.equal(last?.['cut'], true)
    assert.ok(Number(last?.['bytesOut']) < body.length)
    assert.match(await metrics.render(), /^sluice_s3_requests_in_flight 0$/m)
  })

  it('is counted by operation, status, time and bytes', async () => {
    for (const key of ['a', 'b']) await server.send('PUT', `/master.images/${key}`, { body: 'hello' })
    await (await server.send('GET', '/master.images/a')).text()
    await new Promise((resolve) => setTimeout(resolve, 20))
    const text = await metrics.render()
    assert.match(text, /^sluice_s3_requests_total\{operation="PutObject",status="200"\} 2$/m)
    assert.match(text, /^sluice_s3_requests_total\{operation="GetObject",status="200"\} 1$/m)
    assert.match(text, /^sluice_s3_request_duration_seconds_count\{operation="PutObject"\} 2$/m)
    assert.match(text, /^sluice_s3_received_bytes_total 10$/m)
    assert.match(text, /^sluice_s3_sent_bytes_total 5$/m)
  })

  it('is that it was no request, where it was none; the answer has ids and a code all the same', async () => {
    const cases = [
      ['GET / HTTP/1.1\r\nHost a\r\n\r\n', 400, 'BadRequest'],
      ['\u0016\u0003\u0001', 400, 'BadRequest'],
      [`GET / HTTP/1.1\r\nHost: a\r\nX-A: ${'x'.repeat(70_000)}\r\n\r\n`, 431, 'RequestHeaderSectionTooLarge'],
    ] as const
    for (const [bytes, status, code] of cases) {
      const raw = await openRaw(server.port)
      raw.write(bytes)
      const reply = await raw.reply()
      assert.equal(reply?.status, status)
      assert.match(reply?.body ?? '', new RegExp(`<Code>${code}</Code>.*<RequestId>`))
      assert.match(reply?.headers.get('x-amz-request-id') ?? '', /^[0-9A-F]{16}$/)
      await raw.closed
    }
    assert.match(await metrics.render(), /^sluice_s3_unreadable_requests_total\{code="BadRequest"\} 2$/m)
    // What comes after an answer that has begun is cut off, and nothing is mixed into that answer.
    const large = Buffer.alloc(3_000_000, 'a')
    await server.send('PUT', '/master.images/large', { body: large })
    const raw = await openRaw(server.port)
    const get = rawHead('GET', '/master.images/large', server.sign('GET', '/master.images/large'))
    raw.write(`${get}no HTTP\r\n\r\n`)
    const received: Buffer[] = []
    raw.socket.on('data', (bytes) => received.push(bytes))
    await raw.closed
    const text = Buffer.concat(received).toString('latin1')
    assert.ok(!text.replace(/^HTTP\/1\.1 (200|400)/, '').includes('HTTP/1.1'), text.slice(0, 500))
  })

  it('is in the answer too: every one has the ids of its request', async () => {
    const requests = ['/', '/master.images', '/master.images/none', '/%zz', '/master.images?flush=&timeout=0']
    const seen = new Set<string | null>()
    for (const path of requests) {
      // What can't be decoded can't be signed either.
      const signed = path === '/%zz' ? [] : [await server.send('GET', path)]
      for (const reply of [...signed, await fetch(server.origin + path)]) {
        const text = await reply.text()
        const id = reply.headers.get('x-amz-request-id')
        assert.match(id ?? '', /^[0-9A-F]{16}$/, path)
        assert.ok(reply.headers.get('x-amz-id-2'), path)
        assert.ok(!seen.has(id), 'ids are given once')
        seen.add(id)
        if (reply.status >= 400) assert.match(text, new RegExp(`<RequestId>${id}</RequestId>`), path)
      }
    }
  })
})
