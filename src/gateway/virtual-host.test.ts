import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { after, before, describe, it } from 'node:test'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectsCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { presignUrl } from '../kernel/index.ts'
import { bucketOfHost } from './s3/virtual-host.ts'
import { openRaw, rawHead } from './testing/raw.ts'
import { startTestServer, type TestServer, testKey } from './testing/server.ts'

const domains = ['s3.example.com', 'example.com']

describe('the bucket of a host', () => {
  it('is all that stands before the longest domain, whatever its case and port', () => {
    const cases: [string | undefined, string | undefined][] = [
      ['images.s3.example.com', 'images'],
      ['Master.Images.S3.Example.COM:30600', 'master.images'],
      ['images.example.com', 'images'],
      ['s3.example.com', undefined],
      ['example.com:80', undefined],
      ['.example.com', undefined],
      ['notexample.com', undefined],
      ['images.s3.example.com.evil.org', undefined],
      ['127.0.0.1:30600', undefined],
      ['[::1]:30600', undefined],
      [undefined, undefined],
    ]
    for (const [host, bucket] of cases) {
      assert.equal(bucketOfHost(host, domains), bucket, host)
    }
    assert.equal(bucketOfHost('images.s3.example.com', []), undefined)
  })
})

describe('a bucket that is named by the host', () => {
  let server: TestServer
  let s3: S3Client
  const Bucket = 'master.images'
  before(async () => {
    server = await startTestServer({ config: { region: undefined, apiPort: 1, logLevel: 'silent', domains } })
    const agent = new Agent({
      lookup: (_host, options, done) =>
        options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4),
    })
    s3 = new S3Client({
      endpoint: `http://s3.example.com:${server.port}`,
      region: 'us-east-1',
      credentials: testKey,
      maxAttempts: 1,
      requestHandler: { httpAgent: agent },
    })
  })
  after(async () => {
    s3.destroy()
    await server.close()
  })

  it('is used as by its path, by the requests that the SDK signs', async () => {
    await s3.send(new CreateBucketCommand({ Bucket }))
    for (const Key of ['a b+c/ü.txt', 'plain', 'WriteGetObjectResponse']) {
      await s3.send(new PutObjectCommand({ Bucket, Key, Body: Key }))
      // By its path on another host it is the same object.
      const path = `/${Bucket}/${Key.split('/').map(encodeURIComponent).join('/')}`
      assert.equal(await (await server.send('GET', path)).text(), Key)
    }
    await s3.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/plain` }))
    const listed = await s3.send(new ListObjectsV2Command({ Bucket }))
    assert.equal(listed.KeyCount, 4)
    await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: [{ Key: 'plain' }, { Key: 'copy' }] } }))
    assert.equal((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount, 2)
    // The domain itself is the service.
    assert.deepEqual(
      (await s3.send(new ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name),
      [Bucket],
    )
  })

  const raw = async (method: string, host: string, path: string, more: Record<string, string> = {}) => {
    const connection = await openRaw(server.port)
    connection.write(rawHead(method, path, { host, ...more }))
    const reply = await connection.reply()
    connection.close()
    return reply
  }

  it('is part of what is signed', async () => {
    await server.send('PUT', `/${Bucket}/signed`, { body: 'hello' })
    const host = `${Bucket}.s3.example.com`
    const url = presignUrl({
      ...testKey,
      method: 'GET',
      url: `http://${host}/signed`,
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      expiresSeconds: 60,
    })
    const path = url.slice(`http://${host}`.length)
    assert.equal((await raw('GET', host, path))?.body, 'hello')
    assert.equal((await raw('GET', `other.s3.example.com`, path))?.status, 403)
    assert.equal((await raw('GET', `master.images.example.com`, path))?.status, 403)
    // What a proxy says that the host was is nobody's signature.
    assert.equal((await raw('GET', '127.0.0.1', path, { 'x-forwarded-host': host }))?.status, 403)
  })

  it('has its own cross-origin rules, and answers for itself', async () => {
    const rules =
      '<CORSConfiguration><CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>'
    assert.equal((await server.send('PUT', `/${Bucket}?cors=`, { body: rules })).status, 200)
    const headers = { origin: 'https://app', 'access-control-request-method': 'GET' }
    assert.equal((await raw('OPTIONS', `${Bucket}.s3.example.com`, '/a', headers))?.status, 200)
    assert.equal((await raw('OPTIONS', `other.s3.example.com`, '/a', headers))?.status, 403)
    // A browser that comes to a bucket has not lost its way.
    assert.equal((await raw('GET', `${Bucket}.s3.example.com`, '/', { accept: 'text/html' }))?.status, 403)
    assert.equal((await raw('GET', 's3.example.com', '/', { accept: 'text/html' }))?.status, 200)
    assert.equal((await raw('OPTIONS', `s3.example.com`, `/${Bucket}/a`, headers))?.status, 200)
  })
})
