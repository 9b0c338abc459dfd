import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  CreateBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  RenameObjectCommand,
  type RenameObjectCommandInput,
} from '@aws-sdk/client-s3'
import { objectsIn, refused } from './testing/objects.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

describe('a rename', () => {
  let server: TestServer
  const Bucket = 'master.images'
  const { put, get } = objectsIn(Bucket, () => server)
  const rename = (RenameSource: string, Key: string, more: Partial<RenameObjectCommandInput> = {}) =>
    server.s3.send(new RenameObjectCommand({ Bucket, RenameSource, Key, ...more }))
  const keys = async (Prefix: string) => {
    const { Contents } = await server.s3.send(new ListObjectsV2Command({ Bucket, Prefix }))
    return (Contents ?? []).map(({ Key }) => Key)
  }
  before(async () => {
    server = await startTestServer()
    await server.s3.send(new CreateBucketCommand({ Bucket }))
  })
  after(() => server.close())

  it('moves an object with all that is known of it, and keeps its content where it is', async () => {
    const body = Buffer.alloc(3_000_000, 'a line of text\n')
    const more = { ContentType: 'text/plain', Metadata: { a: '1' }, Tagging: 't=1', ACL: 'public-read' } as const
    await put('move/from here+', body, more)
    const before = await server.s3.send(new HeadObjectCommand({ Bucket, Key: 'move/from here+' }))
    const packed = () => server.store.db.get('SELECT count(*) AS n FROM chunk')
    const chunks = await packed()
    await rename('move/from%20here%2B', 'move/to')
    assert.deepEqual(await packed(), chunks)
    assert.deepEqual(await keys('move/'), ['move/to'])
    const reply = await get('move/to')
    assert.ok(reply.bytes.equals(body))
    assert.deepEqual(
      [reply.ETag, reply.ContentType, reply.Metadata, reply.LastModified, reply.TagCount],
      [before.ETag, 'text/plain', { a: '1' }, before.LastModified, 1],
    )
    assert.match(await (await server.send('GET', `/${Bucket}/move/to?acl=`)).text(), /AllUsers/)
    await refused(get('move/from here+'), 'NoSuchKey', 404)
    // What took its place is a version of its own.
    await put('move/from here+', 'new')
    assert.equal((await get('move/to')).TagCount, 1)
  })

  it('takes the source with or without the bucket before it, and never from another bucket', async () => {
    await put('images/a', 'inner')
    await put('a', 'outer')
    await rename(`/${Bucket}/a`, 'b')
    assert.equal((await get('b')).bytes.toString(), 'outer')
    await rename('/images/a', 'c')
    assert.equal((await get('c')).bytes.toString(), 'inner')
    await server.s3.send(new CreateBucketCommand({ Bucket: 'other' }))
    await objectsIn('other', () => server).put('a', 'theirs')
    await refused(rename('/other/a', 'd'), 'NoSuchKey', 404)
    assert.equal((await objectsIn('other', () => server).get('a')).bytes.toString(), 'theirs')
  })

  it('overwrites, unless a condition of the destination says otherwise', async () => {
    await put('dst/a', 'a')
    const { ETag } = await put('dst/b', 'b')
    await refused(rename('dst/a', 'dst/b', { DestinationIfNoneMatch: '*' }), 'PreconditionFailed', 412)
    await refused(rename('dst/a', 'dst/b', { DestinationIfMatch: '"other"' }), 'PreconditionFailed', 412)
    await refused(rename('dst/a', 'dst/new', { DestinationIfMatch: '"other"' }), 'NoSuchKey', 404)
    const future = new Date(Date.now() + 3_600_000)
    await refused(rename('dst/a', 'dst/b', { DestinationIfModifiedSince: future }), 'PreconditionFailed', 412)
    const past = new Date('2015-01-01')
    await refused(rename('dst/a', 'dst/b', { DestinationIfUnmodifiedSince: past }), 'PreconditionFailed', 412)
    assert.deepEqual(await keys('dst/'), ['dst/a', 'dst/b'])
    await rename('dst/a', 'dst/b', { DestinationIfMatch: ETag, DestinationIfModifiedSince: past })
    assert.deepEqual(await keys('dst/'), ['dst/b'])
    assert.equal((await get('dst/b')).bytes.toString(), 'a')
  })

  it('looks at the conditions of its source', async () => {
    const { ETag } = await put('src/a', 'a')
    const past = new Date('2015-01-01')
    const future = new Date(Date.now() + 3_600_000)
    for (const more of [
      { SourceIfMatch: '"other"' },
      { SourceIfNoneMatch: ETag },
      { SourceIfNoneMatch: '*' },
      { SourceIfModifiedSince: future },
      { SourceIfUnmodifiedSince: past },
    ]) {
      await refused(rename('src/a', 'src/b', more), 'PreconditionFailed', 412)
    }
    await rename('src/a', 'src/b', { SourceIfMatch: ETag, SourceIfUnmodifiedSince: future })
    assert.deepEqual(await keys('src/'), ['src/b'])
  })

  it('asked again under its token is done once, and under one of another rename refused', async () => {
    await put('token/a', 'first')
    await rename('token/a', 'token/b', { ClientToken: 'once' })
    await put('token/a', 'second')
    await rename('token/a', 'token/b', { ClientToken: 'once' })
    assert.deepEqual(await keys('token/'), ['token/a', 'token/b'])
    assert.equal((await get('token/b')).bytes.toString(), 'first')
    await refused(rename('token/a', 'token/c', { ClientToken: 'once' }), 'IdempotencyParameterMismatch', 400)
    await refused(rename('token/none', 'token/c', { ClientToken: 'other' }), 'NoSuchKey', 404)
    await refused(rename('token/a', 'token/c', { ClientToken: 'x'.repeat(65) }), 'InvalidArgument', 400)
  })

  it('is refused onto itself, of folders, of the control folder, of commits, and of versions', async () => {
    await put('odd', 'x')
    await put('dir/', Buffer.alloc(0))
    await refused(rename('odd', 'odd'), 'InvalidRequest', 400)
    await refused(rename('dir/', 'other/'), 'InvalidRequest', 400)
    await refused(rename('odd', 'dir2/'), 'InvalidRequest', 400)
    await refused(rename('.sluice/commit.json', 'x'), 'AccessDenied', 403)
    await refused(rename('odd', '.sluice/x'), 'AccessDenied', 403)
    await refused(rename('odd?versionId=abc', 'x'), 'InvalidArgument', 400)
    await refused(rename('%zz', 'x'), 'InvalidArgument', 400)
    await refused(rename('', 'x'), 'InvalidArgument', 400)
    const commit = await server.store.versioning.finishCommit({ repo: 'images', branch: 'master' } as never)
    await refused(rename('odd', 'x', { Bucket: `${commit.id}.images` }), 'AccessDenied', 403)
    assert.equal((await get('odd')).bytes.toString(), 'x')
  })

  it('of one object by many at once is done by exactly one', async () => {
    await put('race/a', 'x')
    const done = await Promise.allSettled(Array.from({ length: 20 }, (_, index) => rename('race/a', `race/b${index}`)))
    assert.equal(done.filter(({ status }) => status === 'fulfilled').length, 1)
    for (const result of done) if (result.status === 'rejected') assert.equal(result.reason.name, 'NoSuchKey')
    assert.equal((await keys('race/')).length, 1)
  })

  it('never loses what is written meanwhile', async () => {
    await put('busy/a', '0')
    const writes = Array.from({ length: 30 }, (_, index) => put('busy/a', String(index + 1)))
    const renames = Array.from({ length: 5 }, (_, index) => rename('busy/a', `busy/to${index}`))
    const order = (await Promise.all(writes)).map(({ VersionId }) => Number(VersionId?.split('-')[1]))
    await Promise.allSettled(renames)
    const newest = String(order.indexOf(Math.max(...order)) + 1)
    const left = await Promise.all((await keys('busy/')).map(async (key) => (await get(key ?? '')).bytes.toString()))
    assert.ok(left.includes(newest), `${newest} is not among ${left}`)
  })
})
