import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { startTestServer, type TestServer, testKey } from '../../gateway/testing/server.ts'
import { MIB, systemClock } from '../../kernel/index.ts'
import { objectStoreContract } from '../contract.ts'
import {
  ObjectNotFound,
  type ObjectStore,
  StoreDenied,
  StoreError,
  StoreFull,
  StoreRejected,
  StoreThrottled,
  StoreUnreachable,
} from '../object-store.ts'
import type { S3Target } from '../target.ts'
import { createTargetGuard } from '../target-guard.ts'
import { parseTargetUrl } from '../target-url.ts'
import { openS3Store } from './s3-store.ts'

let server: TestServer
before(async () => {
  server = await startTestServer()
  const made = await server.send('PUT', '/master.target')
  assert.equal(made.status, 200)
})
after(() => server.close())

function open(place: string, { port = server.port, key = testKey, allow = '127.0.0.1:*' } = {}): ObjectStore {
  return openS3Store({
    target: parseTargetUrl(`s3://127.0.0.1:${port}/${place}`) as S3Target,
    credentials: key,
    region: undefined,
    guard: createTargetGuard({ allowTargets: [allow] }),
    clock: systemClock,
    random: Math.random,
    retry: { attempts: 3, firstDelayMs: 1, maxDelayMs: 2 },
  })
}

objectStoreContract('the S3 driver against a second Sluice', async () => open('master.target/folder/deeper'))
objectStoreContract('the S3 driver against a whole bucket of a second Sluice', async () => open('master.target'))

describe('the S3 driver', () => {
  const put = async (store: ObjectStore) => {
    try {
      await store.put('k', Buffer.from('x'), 1)
    } finally {
      await store.close()
    }
  }

  it('tells apart what is wrong with the credentials and the bucket', async () => {
    const wrong = { ...testKey, secretAccessKey: 'not the right one' }
    await assert.rejects(put(open('master.target', { key: wrong })), (error) => {
      assert.ok(error instanceof StoreDenied)
      assert.match(error.message, /secret key of SLUICETESTKEY is wrong/)
      return true
    })
    const unknown = { ...testKey, accessKeyId: 'NOBODY' }
    await assert.rejects(put(open('master.target', { key: unknown })), {
      code: 'StoreDenied',
      message: /access key NOBODY/,
    })
    await assert.rejects(put(open('master.missing')), (error) => {
      assert.ok(error instanceof ObjectNotFound)
      assert.match(error.message, /has no bucket master\.missing; create it first/)
      return true
    })
  })

  it('reaches no closed target', async () => {
    await assert.rejects(put(open('master.target', { allow: 'other:*' })), {
      code: 'StoreDenied',
      message: /SLUICE_ALLOW_TARGETS=127/,
    })
  })

  it('says that nobody answers', async () => {
    const closed = createTcpServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port } = closed.address() as AddressInfo
    await new Promise((resolve) => closed.close(resolve))
    await assert.rejects(put(open('b', { port })), { code: 'StoreUnreachable', message: /ECONNREFUSED/ })
  })

  it('is not turned around by an endpoint in the environment', async () => {
    const { AWS_ENDPOINT_URL: before, AWS_ENDPOINT_URL_S3: beforeS3 } = process.env
    process.env['AWS_ENDPOINT_URL'] = process.env['AWS_ENDPOINT_URL_S3'] = 'http://127.0.0.1:1'
    try {
      await put(open('master.target'))
      const amazon = openS3Store({
        target: parseTargetUrl('s3://bucket') as S3Target,
        credentials: testKey,
        region: undefined,
        // Every name is a closed address here, so that the refusal says where it wanted to go.
        guard: createTargetGuard({
          allowTargets: [],
          lookup: (_, __, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
        }),
        clock: systemClock,
        random: Math.random,
      })
      await assert.rejects(put(amazon), { message: /^bucket\.s3\.us-east-1\.amazonaws\.com:443 / })
    } finally {
      const restore = (name: string, value: string | undefined) => {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
      restore('AWS_ENDPOINT_URL', before)
      restore('AWS_ENDPOINT_URL_S3', beforeS3)
    }
  })

  it('tells the answers of a store apart, and tries again what may help', async () => {
    for (const [status, code, kind, tries] of [
      [503, 'SlowDown', StoreThrottled, 3],
      [429, 'TooManyRequests', StoreThrottled, 3],
      [500, 'InternalError', StoreUnreachable, 3],
      [502, '', StoreUnreachable, 3],
      [507, 'InsufficientStorage', StoreFull, 1],
      [403, 'AccessDenied', StoreDenied, 1],
      [403, 'RequestTimeTooSkewed', StoreDenied, 1],
      [400, 'EntityTooLarge', StoreRejected, 1],
      [501, 'NotImplemented', StoreUnreachable, 3],
    ] as const) {
      let asked = 0
      const fake = createServer((request, response) => {
        asked++
        request.resume().on('end', () => {
          response.writeHead(status, { 'content-type': 'application/xml' })
          response.end(code && `<Error><Code>${code}</Code><Message>said so</Message></Error>`)
        })
      })
      const port = await listening(fake)
      await assert.rejects(put(open('b', { port })), (error) => {
        assert.ok(error instanceof kind, `${code}: ${error}`)
        assert.ok(error instanceof StoreError)
        return true
      })
      assert.equal(asked, tries, code)
      await closed(fake)
    }
  })

  it('tells a body that is cut off from one that is whole', async () => {
    const bytes = randomBytes(4 * MIB)
    await open('master.target').put('cut', bytes, bytes.length)
    const proxy = await cuttingProxy(server.port, MIB)
    const store = open('master.target', { port: proxy.port })
    await assert.rejects(
      store.get('cut').then((body) => buffer(body)),
      StoreUnreachable,
    )
    await store.close()
    await proxy.close()
  })
})

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function closed(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

/** Passes on to `port`, and cuts every connection after so many bytes of answer. */
async function cuttingProxy(port: number, afterBytes: number): Promise<{ port: number; close(): Promise<void> }> {
  const sockets = new Set<Socket>()
  const proxy = createTcpServer((client) => {
    const upstream = connect(port, '127.0.0.1')
    let passed = 0
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      // Cut connections end in resets: that is what it is for.
      socket.on('error', () => undefined)
    }
    client.pipe(upstream)
    upstream.on('data', (bytes: Buffer) => {
      passed += bytes.length
      if (passed > afterBytes) client.destroy()
      else client.write(bytes)
    })
  }).listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  return {
    port: (proxy.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => proxy.close(resolve))
    },
  }
}
