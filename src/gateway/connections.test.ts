import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { rootKeyRing, silentLog, systemClock } from '../kernel/index.ts'
import { createGateway } from './gateway.ts'
import { discardRest, sendReply } from './send.ts'
import { openRaw, type RawConnection, rawHead } from './testing/raw.ts'
import { startTestServer, type TestServer, testKey } from './testing/server.ts'

/** Resolves when the server has cut the connection, however that is seen here. A test that waits in vain fails by its time limit. */
async function isCut(raw: RawConnection): Promise<void> {
  raw.socket.resume()
  await raw.closed
}

describe('a connection that stands still', { timeout: 180_000 }, () => {
  /** For what a test prepares and looks at: as patient as ever. */
  let server: TestServer
  /** The same store behind another door. How long it waits is long enough for a loaded machine, and too long for nobody who reads. */
  let hasty: { readonly http: Server; readonly port: number; close(): Promise<void> }
  before(async () => {
    server = await startTestServer()
    const gateway = createGateway({
      versioning: server.store.versioning,
      keys: rootKeyRing(testKey),
      config: { region: undefined, apiPort: 1, logLevel: 'silent' },
      clock: systemClock,
      log: silentLog,
      patience: { headersMs: 1_000, checkEveryMs: 50, bodyIdleMs: 2_000, keepAliveMs: 500, sendIdleMs: 1_000 },
    })
    await new Promise<void>((resolve) => gateway.server.listen(0, '127.0.0.1', resolve))
    const { port } = gateway.server.address() as AddressInfo
    hasty = { http: gateway.server, port, close: gateway.close }
    await server.send('PUT', '/master.images')
    for (const [key, bytes] of Object.entries({ large: 20_000_000, streamed: 2_000_000, small: 20_000 })) {
      const put = await server.send('PUT', `/master.images/${key}`, { body: Buffer.alloc(bytes) })
      assert.equal(put.status, 200, await put.text())
    }
  })
  after(async () => {
    await hasty.close()
    await server.close()
  })

  const get = (path: string) => rawHead('GET', path, server.sign('GET', path))

  it('is cut when it says nothing at all, or its head never ends', async () => {
    const silent = await openRaw(hasty.port)
    const half = await openRaw(hasty.port)
    half.write('GET /master.images HTTP/1.1\r\nHost: a\r\nX-A: ')
    await Promise.all([isCut(silent), isCut(half)])
  })

  it('is cut when its head comes a byte at a time', async () => {
    const slow = await openRaw(hasty.port)
    const head = `GET / HTTP/1.1\r\nHost: a\r\nX-Padding: ${'x'.repeat(10_000)}`
    let sent = 0
    const trickle = setInterval(() => {
      if (sent < head.length && !slow.socket.destroyed) slow.write(head[sent++]!)
    }, 20)
    await isCut(slow)
    clearInterval(trickle)
    assert.ok(sent < head.length)
  })

  it('is cut when its body stands still, and nothing of it is visible', async () => {
    for (const length of [100, 3_000_000]) {
      const raw = await openRaw(hasty.port)
      const headers = server.sign('PUT', '/master.images/still', { headers: { 'content-length': String(length) } })
      raw.write(`${rawHead('PUT', '/master.images/still', headers)}half`)
      await isCut(raw)
      assert.equal((await server.send('HEAD', '/master.images/still')).status, 404)
    }
  })

  it('is kept as long as its body moves, however slowly, and then serves the next request', async () => {
    const raw = await openRaw(hasty.port)
    const pieces = 30
    const headers = server.sign('PUT', '/master.images/slow', { headers: { 'content-length': String(pieces) } })
    raw.write(rawHead('PUT', '/master.images/slow', headers))
    // Longer in all than a body may stand still.
    for (let i = 0; i < pieces; i++) {
      await sleep(100)
      raw.write('x')
    }
    assert.equal((await raw.reply())?.status, 200)
    raw.write(get('/master.images/slow'))
    assert.equal((await raw.reply())?.body.length, pieces)
    raw.close()
  })

  it('is cut when it is idle after an answer, whatever that was an answer to', async () => {
    const put = (headers: Record<string, string>) =>
      rawHead('PUT', '/master.images/a', server.sign('PUT', '/master.images/a', { headers }))
    const refused = await openRaw(hasty.port)
    refused.write(`${put({ 'content-length': '100000', 'x-amz-acl': 'nonsense' })}${'x'.repeat(10)}`)
    assert.ok(((await refused.reply())?.status ?? 0) >= 400)
    // The rest of what was refused comes after its answer.
    refused.write('x'.repeat(100_000 - 10))
    const requests = [
      get('/master.images/none'),
      get('/master.images/streamed'),
      `${put({ 'content-length': '5' })}hello`,
      rawHead('HEAD', '/master.images', server.sign('HEAD', '/master.images')),
    ]
    const others = await Promise.all(
      requests.map(async (request) => {
        const raw = await openRaw(hasty.port)
        raw.write(request)
        await raw.reply({ bodiless: request.startsWith('HEAD') })
        return raw
      }),
    )
    await Promise.all([refused, ...others].map(isCut))
  })

  it('is cut when it asks and takes no answer, small or large', async () => {
    const waiting = async (path: string, times: number) => {
      const raw = await openRaw(hasty.port)
      raw.socket.pause()
      for (let i = 0; i < times; i++) raw.write(get(path))
      return raw
    }
    // More than the sockets of both sides hold, which may be 36 MB: in few answers, and in many.
    await waiting('/master.images/large', 3)
    await waiting('/master.images/small', 4_000)
    // While it is paused, the client can't see its end: the server counts.
    const connections = () =>
      new Promise<number>((resolve) => hasty.http.getConnections((_error, count) => resolve(count)))
    while ((await connections()) > 0) await sleep(50)
  })

  it('is refused with a head of more than 64 KiB', async () => {
    const raw = await openRaw(hasty.port)
    raw.write(`GET / HTTP/1.1\r\nHost: a\r\nX-A: ${'x'.repeat(70_000)}\r\n\r\n`)
    assert.equal((await raw.reply())?.status, 431)
    await raw.closed
  })
})

describe('the patience that clients are used to', () => {
  it('is 75 s between requests, 30 s for a head, and no limit for a body that moves', async () => {
    const server = await startTestServer()
    const { keepAliveTimeout, headersTimeout, requestTimeout, timeout } = server.http
    assert.deepEqual([keepAliveTimeout, headersTimeout, requestTimeout, timeout], [75_000, 30_000, 0, 0])
    await server.close()
  })
})

describe('a body that was refused', { timeout: 60_000 }, () => {
  it('is not taken for ever, though it never stands still', async () => {
    const server = createServer((request, response) => {
      discardRest(request, { idleMs: 5_000, totalMs: 300 })
      void sendReply(request, response, { status: 403, headers: {}, body: 'no' }, '1')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const raw = await openRaw((server.address() as AddressInfo).port)
    raw.write('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n')
    assert.equal((await raw.reply())?.status, 403)
    const trickle = setInterval(() => raw.socket.destroyed || raw.write('x'), 20)
    await isCut(raw)
    clearInterval(trickle)
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })

  it('and came to its end after its answer leaves a connection as good as before', async () => {
    const server = createServer((request, response) => {
      discardRest(request, { idleMs: 100, totalMs: 200 })
      void sendReply(request, response, { status: 403, headers: {}, body: 'no' }, '1')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const raw = await openRaw((server.address() as AddressInfo).port)
    raw.write('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n')
    assert.equal((await raw.reply())?.status, 403)
    raw.write('0123456789')
    await sleep(500)
    raw.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    assert.equal((await raw.reply())?.status, 403)
    raw.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
})
