import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import https from 'node:https'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { openTls, silentLog, type Tls } from '../kernel/index.ts'
import { makeCertificate, withoutOpenssl } from '../kernel/testing/certificates.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

describe('the endpoint over TLS', { skip: withoutOpenssl }, () => {
  let folder: string
  let ca: Buffer
  let tls: Tls
  let server: TestServer
  let agent: https.Agent
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-gateway-tls-'))
    const files = await makeCertificate(folder, 'gateway')
    ca = await readFile(files.certFile)
    tls = await openTls(files, silentLog)
    server = await startTestServer({ tls })
    agent = new https.Agent({ ca, keepAlive: true, maxSockets: 1 })
  })
  after(async () => {
    agent.destroy()
    await server.close()
    tls.close()
    await rm(folder, { recursive: true, force: true })
  })

  const start = (method: string, path: string, headers = {}) =>
    https.request({
      host: '127.0.0.1',
      port: server.port,
      method,
      path,
      headers: { ...server.sign(method, path), ...headers },
      agent,
    })
  const send = async (method: string, path: string, body?: string) => {
    const request = start(method, path)
    request.end(body)
    const [reply] = (await once(request, 'response')) as [{ statusCode: number }]
    return { status: reply.statusCode, text: await text(reply as never) }
  }

  it('answers on connections that stay, and gives leave to send a body', async () => {
    assert.equal((await send('PUT', '/secure')).status, 200)
    assert.equal((await send('PUT', '/secure/a', 'content')).status, 200)
    assert.equal((await send('GET', '/secure/a')).text, 'content')
    const request = start('PUT', '/secure/b', { expect: '100-continue', 'content-length': '5' })
    request.flushHeaders()
    await once(request, 'continue')
    request.end('later')
    const [reply] = (await once(request, 'response')) as [{ statusCode: number; resume(): void }]
    reply.resume()
    assert.equal(reply.statusCode, 200)
    assert.equal((await send('GET', '/secure/b')).text, 'later')
  })

  it('does not speak http, and closes with connections open that were never used', async () => {
    const other = await startTestServer({ tls })
    const silent = connectTcp(other.port, '127.0.0.1')
    await once(silent, 'connect')
    const plain = connectTcp(other.port, '127.0.0.1')
    await once(plain, 'connect')
    plain.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    let said = ''
    plain.on('data', (bytes) => {
      said += String(bytes)
    })
    plain.on('error', () => {})
    await once(plain, 'close')
    assert.doesNotMatch(said, /HTTP\/1/)
    const used = https.request({
      host: '127.0.0.1',
      port: other.port,
      path: '/',
      ca,
      agent: new https.Agent({ keepAlive: true }),
    })
    used.end()
    const [reply] = (await once(used, 'response')) as [{ resume(): void }]
    reply.resume()
    silent.on('error', () => {})
    const silentClosed = once(silent, 'close')
    const path = '/running'
    const running = https.request({
      host: '127.0.0.1',
      port: other.port,
      method: 'PUT',
      path,
      headers: other.sign('PUT', path),
      ca,
    })
    const document = '<CreateBucketConfiguration></CreateBucketConfiguration>'
    running.setHeader('content-length', document.length)
    running.write(document.slice(0, -1))
    await once(other.http, 'request')
    const closed = other.close()
    // Longer than it takes to close what is idle: what runs is let end.
    await sleep(100)
    running.end('>')
    const [last] = (await once(running, 'response')) as [{ statusCode: number; resume(): void }]
    last.resume()
    assert.equal(last.statusCode, 200)
    await Promise.all([closed, silentClosed])
  })
})
