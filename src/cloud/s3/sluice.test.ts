import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { startTestServer, type TestServer, testKey } from '../../gateway/testing/server.ts'
import { MIN_PART_BYTES, systemClock } from '../../kernel/index.ts'
import { md5Hex, multipartEtag } from '../body.ts'
import { ObjectNotFound, type ObjectStore, StoreDenied } from '../object-store.ts'
import type { S3Target } from '../target.ts'
import { createTargetGuard } from '../target-guard.ts'
import { parseTargetUrl } from '../target-url.ts'
import { objectStoreContract } from '../testing/contract.ts'
import { S3Connection } from './connection.ts'
import { copyObject } from './copies.ts'
import { openS3Store, type S3StoreOptions } from './s3-store.ts'

let server: TestServer
before(async () => {
  server = await startTestServer()
  const made = await server.send('PUT', '/master.target')
  assert.equal(made.status, 200)
})
after(() => server.close())

interface Opening {
  readonly port?: number
  readonly key?: typeof testKey
  readonly allow?: string
}

function options(
  place: string,
  { port = server.port, key = testKey, allow = '127.0.0.1:*' }: Opening = {},
): S3StoreOptions {
  return {
    target: parseTargetUrl(`s3://127.0.0.1:${port}/${place}`) as S3Target,
    credentials: key,
    region: undefined,
    guard: createTargetGuard({ allowTargets: [allow] }),
    clock: systemClock,
    random: Math.random,
    retry: { attempts: 3, firstDelayMs: 1, maxDelayMs: 2 },
  }
}

const open = (place: string, opening?: Opening): ObjectStore => openS3Store(options(place, opening))

objectStoreContract('the S3 driver against a second Sluice', async () => open('master.target/folder/deeper'))
objectStoreContract('the S3 driver against a whole bucket of a second Sluice', async () => open('master.target'))
objectStoreContract('the S3 driver, once it has put something,', async () => {
  const store = open('master.target/once/more')
  await store.put('first', Buffer.from('x'), 1)
  await store.delete(['first'])
  return store
})

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
      // The first goes by the SDK, the second by the driver's own way.
      for (let turn = 0; turn < 2; turn++) {
        const refused = amazon.put('k', Buffer.from('x'), 1)
        await assert.rejects(refused, { message: /^bucket\.s3\.us-east-1\.amazonaws\.com:443 / })
      }
      await amazon.close()
    } finally {
      const restore = (name: string, value: string | undefined) => {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
      restore('AWS_ENDPOINT_URL', before)
      restore('AWS_ENDPOINT_URL_S3', beforeS3)
    }
  })

  it('copies part by part what is larger than one request copies, description and all', async () => {
    const store = open('master.target/copies')
    const bytes = randomBytes(2 * MIN_PART_BYTES + 1)
    await store.put('from/ä', bytes, bytes.length, { contentType: 'text/x', metadata: { odd: 'Grüße' } })
    const connection = new S3Connection(options('master.target/copies'))
    const sizes = { wholeBytes: MIN_PART_BYTES, partBytes: MIN_PART_BYTES }
    const info = await copyObject(connection, store, { from: 'from/ä', to: 'to' }, sizes)
    assert.match(info.etag, /^[0-9a-f]{32}-3$/)
    assert.equal(info.contentType, 'text/x')
    assert.deepEqual({ ...info.metadata }, { odd: 'Grüße' })
    assert.deepEqual(await buffer(await store.get('to')), bytes)
    connection.client.destroy()
    await store.close()
  })

  it('leaves no parts of a copy behind that failed', async () => {
    const store = open('master.target/copies')
    const bytes = randomBytes(MIN_PART_BYTES + 1)
    await store.put('from', bytes, bytes.length)
    const connection = new S3Connection(options('master.target/copies'))
    // As if the source had changed in the meantime.
    const stale = { head: async (key: string) => ({ ...(await store.head(key))!, etag: 'before' }) }
    const sizes = { wholeBytes: MIN_PART_BYTES, partBytes: MIN_PART_BYTES }
    const copying = copyObject(connection, stale, { from: 'from', to: 'torn' }, sizes)
    await assert.rejects(copying, { code: 'StorePreconditionFailed' })
    assert.equal(await store.head('torn'), undefined)
    const left = await server.send('GET', '/master.target?uploads')
    assert.doesNotMatch(await left.text(), /torn/)
    connection.client.destroy()
    await store.close()
  })

  it('gives uploads the ETag that S3 gives them', async () => {
    const store = open('master.target')
    const upload = await store.createUpload('parts', { size: MIN_PART_BYTES + 1, partBytes: MIN_PART_BYTES })
    const bodies = [Buffer.alloc(MIN_PART_BYTES, 'a'), Buffer.from('b')]
    const parts = [await upload.putPart(1, bodies[0]!), await upload.putPart(2, bodies[1]!)]
    const info = await upload.complete(parts)
    assert.equal(info.etag, multipartEtag(bodies.map(md5Hex)))
    assert.equal(info.md5, undefined)
    await store.close()
  })
})
