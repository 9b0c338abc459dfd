import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  HeadObjectCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { startTestServer, type TestServer } from '../../testing/server.ts'

const longAgo = new Date('2015-01-01')

describe('conditional deletes', () => {
  let server: TestServer
  const Bucket = 'master.images'
  const put = (Key: string) => server.s3.send(new PutObjectCommand({ Bucket, Key, Body: 'twelve bytes' }))
  const exists = (Key: string) =>
    server.s3.send(new HeadObjectCommand({ Bucket, Key })).then(
      () => true,
      () => false,
    )
  const remove = (
    Key: string,
    conditions: { IfMatch?: string; IfMatchSize?: number; IfMatchLastModifiedTime?: Date },
  ) => server.s3.send(new DeleteObjectCommand({ Bucket, Key, ...conditions }))
  const removeAll = (Objects: { Key: string; ETag?: string; Size?: number; LastModifiedTime?: Date }[]) =>
    server.s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }))

  before(async () => {
    server = await startTestServer()
    await server.s3.send(new CreateBucketCommand({ Bucket }))
  })
  after(() => server.close())

  it('takes If-Match: * for every object, but not for none', async () => {
    await put('any')
    await remove('any', { IfMatch: '*' })
    assert.equal(await exists('any'), false)
    await assert.rejects(remove('never there', { IfMatch: '*' }), { name: 'NoSuchKey' })
  })

  it('takes * as the ETag of an object in a list', async () => {
    await put('listed')
    const { Deleted, Errors } = await removeAll([
      { Key: 'listed', ETag: '*' },
      { Key: 'never there', ETag: '*' },
    ])
    assert.deepEqual(
      Deleted?.map(({ Key }) => Key),
      ['listed'],
    )
    assert.deepEqual(
      Errors?.map(({ Key, Code }) => [Key, Code]),
      [['never there', 'NoSuchKey']],
    )
    assert.equal(await exists('listed'), false)
  })

  it('answers 204 for a size or time of what does not exist, and writes nothing', async () => {
    for (const conditions of [{ IfMatchSize: 5 }, { IfMatchLastModifiedTime: longAgo }]) {
      const reply = await remove('never there', conditions)
      assert.equal(reply.$metadata.httpStatusCode, 204)
      assert.equal(reply.DeleteMarker, undefined)
      assert.equal(reply.VersionId, undefined)
    }
    const { Deleted, Errors } = await removeAll([
      { Key: 'never there', Size: 5 },
      { Key: 'nor this', LastModifiedTime: longAgo },
    ])
    assert.deepEqual(Errors ?? [], [])
    assert.deepEqual(Deleted, [{ Key: 'never there' }, { Key: 'nor this' }])
  })

  it('keeps an object of another size or time', async () => {
    await put('kept')
    for (const conditions of [
      { IfMatchSize: 5 },
      { IfMatchLastModifiedTime: longAgo },
      { IfMatch: '*', IfMatchSize: 5 },
    ]) {
      await assert.rejects(remove('kept', conditions), { name: 'PreconditionFailed' })
    }
    // An ETag asks for an object, whatever stands beside it.
    await assert.rejects(remove('never there', { IfMatch: 'abc', IfMatchSize: 5 }), { name: 'NoSuchKey' })
    assert.equal(await exists('kept'), true)
    await remove('kept', { IfMatchSize: 12 })
    assert.equal(await exists('kept'), false)
  })
})
