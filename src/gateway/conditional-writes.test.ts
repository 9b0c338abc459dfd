import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { objectsIn, refused } from './testing/objects.ts'
import { openRaw, rawHead } from './testing/raw.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

interface Conditions {
  readonly IfMatch?: string | undefined
  readonly IfNoneMatch?: string | undefined
}

describe('a write on a condition', () => {
  let server: TestServer
  const Bucket = 'master.images'
  const { put, get } = objectsIn(Bucket, () => server)
  before(async () => {
    server = await startTestServer()
    await server.s3.send(new CreateBucketCommand({ Bucket }))
    await put('source', 'copied')
  })
  after(() => server.close())

  const complete = async (Key: string, conditions: Conditions) => {
    const { UploadId } = await server.s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    const part = { Bucket, Key, UploadId, PartNumber: 1, Body: 'completed' }
    const { ETag } = await server.s3.send(new UploadPartCommand(part))
    const MultipartUpload = { Parts: [{ ETag, PartNumber: 1 }] }
    const command = new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload, ...conditions })
    return server.s3.send(command)
  }
  const writes: readonly (readonly [string, (key: string, conditions: Conditions) => Promise<unknown>])[] = [
    ['PUT', (key, conditions) => put(key, 'put', conditions)],
    ['Complete', complete],
    [
      'copy',
      (Key, conditions) =>
        server.s3.send(new CopyObjectCommand({ Bucket, Key, CopySource: `${Bucket}/source`, ...conditions })),
    ],
  ]

  for (const [name, write] of writes) {
    it(`is done or refused by what is there, by ${name}`, async () => {
      const key = `${name}/a`
      await refused(write(key, { IfMatch: '*' }), 'NoSuchKey', 404)
      await refused(write(key, { IfMatch: '"x"' }), 'NoSuchKey', 404)
      await assert.rejects(get(key), { name: 'NoSuchKey' })
      await write(key, { IfNoneMatch: '"x"' })
      const { ETag } = await get(key)
      await refused(write(key, { IfNoneMatch: '*' }), 'PreconditionFailed', 412)
      await refused(write(key, { IfNoneMatch: ETag }), 'PreconditionFailed', 412)
      await refused(write(key, { IfNoneMatch: ETag?.replaceAll('"', '') }), 'PreconditionFailed', 412)
      await refused(write(key, { IfMatch: '"x"' }), 'PreconditionFailed', 412)
      await refused(write(key, { IfMatch: '"x", "y"' }), 'NotImplemented', 501)
      await write(key, { IfMatch: '*' })
      await write(key, { IfMatch: ETag })
      await write(key, { IfNoneMatch: '"x"' })
      await server.s3.send(new DeleteObjectCommand({ Bucket, Key: key }))
      await refused(write(key, { IfMatch: ETag }), 'NoSuchKey', 404)
      await write(key, { IfNoneMatch: '*' })
    })
  }

  it('by many at once is done by exactly one, also on the ETag of what it replaces', async () => {
    const { ETag } = await put('lock', '0')
    const tries = Array.from({ length: 50 }, (_, index) => put('lock', String(index + 1), { IfMatch: ETag }))
    const done = await Promise.allSettled(tries)
    assert.equal(done.filter(({ status }) => status === 'fulfilled').length, 1)
    const won = done.findIndex(({ status }) => status === 'fulfilled')
    assert.equal((await get('lock')).bytes.toString(), String(won + 1))
  })

  it('that expects what nobody knows is done as if it did not', async () => {
    for (const expect of ['200', '', 'something-else']) {
      const raw = await openRaw(server.port)
      const headers = server.sign('PUT', `/${Bucket}/expect`, { headers: { 'content-length': '2', expect } })
      raw.write(`${rawHead('PUT', `/${Bucket}/expect`, headers)}ok`)
      assert.equal((await raw.reply())?.status, 200, expect)
      raw.close()
    }
    assert.equal((await get('expect')).bytes.toString(), 'ok')
  })
})

describe('a name of 55 to 63 characters', () => {
  it('is a bucket, and its commits are read by clients that do not count', async (t) => {
    const server = await startTestServer()
    t.after(() => server.close())
    const repo = 'x'.repeat(63)
    assert.equal((await server.send('PUT', `/${repo}`)).status, 200)
    assert.equal((await server.send('PUT', `/${repo}/a`, { body: 'hello' })).status, 200)
    const commit = await server.store.versioning.finishCommit({ repo, branch: 'master' } as never)
    assert.equal(await (await server.send('GET', `/${commit.id}.${repo}/a`)).text(), 'hello')
    assert.equal(await (await server.send('GET', `/master.${repo}/a`)).text(), 'hello')
    // What every client could not use is not made.
    assert.equal((await server.send('PUT', `/b.${repo}`)).status, 400)
    assert.equal((await server.send('PUT', `/${'x'.repeat(64)}`)).status, 400)
  })
})
