import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  PutBucketVersioningCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { MIB } from '../kernel/index.ts'
import { md5, objectsIn, refused } from './testing/objects.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

describe('the S3 endpoint, through the AWS SDK', () => {
  let server: TestServer
  const Bucket = 'master.images'
  const { put, get } = objectsIn(Bucket, () => server)

  before(async () => {
    server = await startTestServer()
    await server.s3.send(new CreateBucketCommand({ Bucket }))
  })
  after(() => server.close())

  it('creates, lists, describes and removes buckets', async () => {
    const { s3 } = server
    await s3.send(new CreateBucketCommand({ Bucket: 'dev.other' }))
    await s3.send(new CreateBucketCommand({ Bucket: 'dev.other' }))
    await s3.send(new CreateBucketCommand({ Bucket: 'plain' }))
    await s3.send(new HeadBucketCommand({ Bucket: 'master.plain' }))
    const names = (await s3.send(new ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name) ?? []
    assert.deepEqual(
      ['dev.other', 'plain', Bucket].filter((name) => !names.includes(name)),
      [],
    )
    const page = await s3.send(new ListBucketsCommand({ MaxBuckets: 1 }))
    assert.equal(page.Buckets?.length, 1)
    const next = await s3.send(new ListBucketsCommand({ MaxBuckets: 1, ContinuationToken: page.ContinuationToken }))
    assert.notEqual(next.Buckets?.[0]?.Name, page.Buckets?.[0]?.Name)
    assert.equal((await s3.send(new GetBucketLocationCommand({ Bucket }))).LocationConstraint, undefined)
    assert.equal((await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, 'Enabled')
    await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }))
    await refused(
      s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Suspended' } })),
      'InvalidBucketState',
      409,
    )
    await put('keeps-the-bucket')
    await refused(s3.send(new DeleteBucketCommand({ Bucket })), 'BucketNotEmpty', 409)
    await s3.send(new DeleteBucketCommand({ Bucket: 'dev.other' }))
    await refused(s3.send(new GetBucketLocationCommand({ Bucket: 'dev.other' })), 'NoSuchBucket', 404)
    await refused(s3.send(new HeadBucketCommand({ Bucket: 'dev.other' })), 'NotFound', 404)
    await refused(s3.send(new CreateBucketCommand({ Bucket: 'word_count' })), 'InvalidBucketName', 400)
    await refused(s3.send(new CreateBucketCommand({ Bucket: '0123456789abcdef.images' })), 'InvalidBucketName', 400)
  })

  it('gives back what was put: bytes, ETag, headers, metadata, checksum', async () => {
    for (const size of [0, 1, 512, 513, 1024, MIB - 1, MIB, MIB + 1, 3 * MIB + 5]) {
      const body = randomBytes(size)
      const key = `sizes/${size}`
      const written = await put(key, body, {
        ContentType: 'image/png',
        Metadata: { camera: 'a', other: '  two  words ' },
      })
      assert.equal(written.ETag, `"${md5(body)}"`)
      const read = await get(key, { ChecksumMode: 'ENABLED' })
      assert.ok(read.bytes.equals(body), `${size}`)
      assert.equal(read.ETag, `"${md5(body)}"`)
      assert.equal(read.ContentLength, size)
      assert.equal(read.ContentType, 'image/png')
      assert.deepEqual(read.Metadata, { camera: 'a', other: 'two  words' })
      assert.equal(read.VersionId, written.VersionId)
      assert.equal(read.ChecksumCRC32, written.ChecksumCRC32)
      assert.ok(read.ChecksumCRC32)
      const head = await server.s3.send(new HeadObjectCommand({ Bucket, Key: key }))
      assert.equal(head.ContentLength, size)
      assert.equal(head.ChecksumCRC32, undefined)
    }
  })

  it('takes any key that S3 takes, and lists it as it is', async () => {
    const keys = [
      'a b+c',
      'quote\'s "double"',
      'ü/€/😀',
      '../up',
      './here',
      '//double//slash',
      'per%cent%2F',
      'a&b<c>',
      'tab\there',
      '.sluicegate',
      'question?mark=1',
      'hash#tag',
      'back\\slash',
      'x'.repeat(1024),
      '~tilde!*()',
      '\u0001control',
      '__proto__',
      'constructor',
    ]
    for (const key of keys) await put(`odd/${key}`.slice(0, 1024), key)
    const listed: string[] = []
    let ContinuationToken: string | undefined
    do {
      const page = await server.s3.send(
        new ListObjectsV2Command({ Bucket, Prefix: 'odd/', MaxKeys: 3, ContinuationToken, EncodingType: 'url' }),
      )
      listed.push(...(page.Contents ?? []).map(({ Key }) => decodeURIComponent(Key ?? '')))
      ContinuationToken = page.NextContinuationToken
    } while (ContinuationToken)
    const expected = keys
      .map((key) => `odd/${key}`.slice(0, 1024))
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    assert.deepEqual(listed, expected)
    for (const key of expected)
      assert.equal((await get(key)).bytes.toString().slice(0, 1020), key.slice('odd/'.length).slice(0, 1020))
  })

  it('lists with prefix, delimiter and markers, in both versions', async () => {
    for (const key of ['list/a', 'list/b/1', 'list/b/2', 'list/c', 'list/d/1']) await put(key)
    const v1 = await server.s3.send(new ListObjectsCommand({ Bucket, Prefix: 'list/', Delimiter: '/' }))
    assert.deepEqual(
      v1.Contents?.map(({ Key }) => Key),
      ['list/a', 'list/c'],
    )
    assert.deepEqual(
      v1.CommonPrefixes?.map(({ Prefix }) => Prefix),
      ['list/b/', 'list/d/'],
    )
    assert.equal(v1.Contents?.[0]?.Owner?.DisplayName, 'root')
    assert.equal(v1.IsTruncated, false)
    const seen: string[] = []
    let Marker: string | undefined
    for (;;) {
      const page = await server.s3.send(
        new ListObjectsCommand({ Bucket, Prefix: 'list/', Delimiter: '/', MaxKeys: 1, Marker }),
      )
      seen.push(
        ...(page.Contents ?? []).map(({ Key }) => Key ?? ''),
        ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix ?? ''),
      )
      if (!page.IsTruncated) break
      Marker = page.NextMarker
    }
    assert.deepEqual(seen, ['list/a', 'list/b/', 'list/c', 'list/d/'])
    const v2 = await server.s3.send(
      new ListObjectsV2Command({ Bucket, Prefix: 'list/', Delimiter: '/', StartAfter: 'list/a', MaxKeys: 2 }),
    )
    assert.equal(v2.KeyCount, 2)
    assert.equal(v2.StartAfter, 'list/a')
    assert.equal(v2.Contents?.[0]?.Owner, undefined)
    assert.deepEqual([v2.CommonPrefixes?.[0]?.Prefix, v2.Contents?.[0]?.Key], ['list/b/', 'list/c'])
    assert.equal(v2.IsTruncated, true)
    const none = await server.s3.send(new ListObjectsV2Command({ Bucket, MaxKeys: 0, FetchOwner: true }))
    assert.deepEqual([none.KeyCount, none.IsTruncated, none.MaxKeys], [0, false, 0])
    await refused(
      server.s3.send(new ListObjectsV2Command({ Bucket, ContinuationToken: 'nonsense' })),
      'InvalidArgument',
      400,
    )
  })

  it('answers ranges, parts of them and none', async () => {
    const body = randomBytes(2 * MIB + 10)
    await put('range', body)
    const part = await get('range', { Range: 'bytes=1048570-1048590' })
    assert.ok(part.bytes.equals(body.subarray(1_048_570, 1_048_591)))
    assert.equal(part.ContentRange, `bytes 1048570-1048590/${body.length}`)
    assert.equal(part.$metadata.httpStatusCode, 206)
    assert.ok((await get('range', { Range: 'bytes=-7' })).bytes.equals(body.subarray(-7)))
    assert.ok((await get('range', { Range: 'bytes=10-' })).bytes.equals(body.subarray(10)))
    assert.equal((await get('range', { Range: 'bytes=0-1,5-6' })).$metadata.httpStatusCode, 200)
    await refused(get('range', { Range: `bytes=${body.length}-` }), 'InvalidRange', 416)
    await put('empty', Buffer.alloc(0))
    await refused(get('empty', { Range: 'bytes=0-0' }), 'InvalidRange', 416)
    assert.equal((await get('range', { Range: 'bytes=0-3', ChecksumMode: 'ENABLED' })).ChecksumCRC32, undefined)
  })

  it('answers conditions on reads, and header overrides', async () => {
    const { ETag } = await put('conditional', 'one')
    assert.equal((await get('conditional', { IfMatch: ETag })).bytes.toString(), 'one')
    await refused(get('conditional', { IfMatch: '"no"' }), 'PreconditionFailed', 412)
    const unchanged = await server.send('GET', '/master.images/conditional', { headers: { 'if-none-match': ETag! } })
    assert.deepEqual([unchanged.status, unchanged.headers.get('etag'), await unchanged.text()], [304, ETag, ''])
    await refused(get('conditional', { IfUnmodifiedSince: new Date(0) }), 'PreconditionFailed', 412)
    const overridden = await get('conditional', {
      ResponseContentType: 'text/csv',
      ResponseContentDisposition: 'attachment; filename="ü.csv"',
    })
    assert.equal(overridden.ContentType, 'text/csv')
    const bad = await server.send('GET', '/master.images/conditional?response-content-type=a%0d%0ab%3ac')
    assert.equal(bad.status, 400)
    await refused(get('not there'), 'NoSuchKey', 404)
    await refused(server.s3.send(new HeadObjectCommand({ Bucket, Key: 'not there' })), 'NotFound', 404)
    await refused(server.s3.send(new GetObjectCommand({ Bucket: 'master.nothing', Key: 'a' })), 'NoSuchBucket', 404)
  })

  it('holds conditions on writes', async () => {
    const { ETag } = await put('lock', 'one', { IfNoneMatch: '*' })
    await refused(put('lock', 'two', { IfNoneMatch: '*' }), 'PreconditionFailed', 412)
    await refused(put('lock', 'two', { IfMatch: '"no"' }), 'PreconditionFailed', 412)
    await refused(put('no lock', 'two', { IfMatch: '"no"' }), 'NoSuchKey', 404)
    await put('lock', 'three', { IfMatch: ETag })
    assert.equal((await get('lock')).bytes.toString(), 'three')
    await refused(
      server.s3.send(new DeleteObjectCommand({ Bucket, Key: 'lock', IfMatch: ETag })),
      'PreconditionFailed',
      412,
    )
    assert.equal((await get('lock')).bytes.toString(), 'three')
    const racing = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => put('race', `${i}`, { IfNoneMatch: '*' })),
    )
    assert.equal(racing.filter(({ status }) => status === 'fulfilled').length, 1)
  })

  it('deletes one and many, what is there or not', async () => {
    for (const key of ['del/1', 'del/2', 'del/3', 'del/<&>']) await put(key)
    const deleted = await server.s3.send(new DeleteObjectCommand({ Bucket, Key: 'del/1' }))
    assert.ok(deleted.VersionId)
    await server.s3.send(new DeleteObjectCommand({ Bucket, Key: 'del/1' }))
    const many = await server.s3.send(
      new DeleteObjectsCommand({
        Bucket,
        Delete: {
          Objects: ['del/2', 'del/<&>', 'del/none', '.sluice/flush.json', 'x'.repeat(1025)].map((Key) => ({ Key })),
        },
      }),
    )
    assert.deepEqual(
      many.Deleted?.map(({ Key }) => Key),
      ['del/2', 'del/<&>', 'del/none'],
    )
    assert.deepEqual(
      many.Errors?.map(({ Code }) => Code),
      ['AccessDenied', 'KeyTooLongError'],
    )
    const conditional = await server.s3.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Quiet: true, Objects: [{ Key: 'del/3', ETag: '"no"' }] } }),
    )
    assert.deepEqual([conditional.Deleted, conditional.Errors?.[0]?.Code], [undefined, 'PreconditionFailed'])
    const left = await server.s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'del/' }))
    assert.deepEqual(
      left.Contents?.map(({ Key }) => Key),
      ['del/3'],
    )
  })

  it('copies with and without new metadata, from commits too, and refuses a copy onto itself that changes nothing', async () => {
    const { ETag } = await put('copy/source ü', 'content', { Metadata: { a: '1' }, ContentType: 'text/plain' })
    const CopySource = `${Bucket}/${encodeURIComponent('copy/source ü')}`
    const copied = await server.s3.send(new CopyObjectCommand({ Bucket, Key: 'copy/a', CopySource }))
    assert.equal(copied.CopyObjectResult?.ETag, ETag)
    const kept = await get('copy/a')
    assert.deepEqual([kept.bytes.toString(), kept.Metadata, kept.ContentType], ['content', { a: '1' }, 'text/plain'])
    await server.s3.send(
      new CopyObjectCommand({
        Bucket,
        Key: 'copy/b',
        CopySource,
        MetadataDirective: 'REPLACE',
        Metadata: { b: '2' },
        ChecksumAlgorithm: 'SHA256',
      }),
    )
    const replaced = await get('copy/b', { ChecksumMode: 'ENABLED' })
    assert.deepEqual(replaced.Metadata, { b: '2' })
    assert.equal(replaced.ChecksumSHA256, createHash('sha256').update('content').digest('base64'))
    await refused(
      server.s3.send(new CopyObjectCommand({ Bucket, Key: 'copy/source ü', CopySource })),
      'InvalidRequest',
      400,
    )
    await refused(
      server.s3.send(new CopyObjectCommand({ Bucket, Key: 'c', CopySource, CopySourceIfMatch: '"no"' })),
      'PreconditionFailed',
      412,
    )
    await refused(
      server.s3.send(new CopyObjectCommand({ Bucket, Key: 'c', CopySource: `${Bucket}/none` })),
      'NoSuchKey',
      404,
    )
    await refused(
      server.s3.send(new CopyObjectCommand({ Bucket, Key: 'c', CopySource, IfNoneMatch: '"x", "y"' })),
      'NotImplemented',
      501,
    )
  })

  it('reads a commit for ever, and refuses to write to it', async () => {
    const { s3, store } = server
    const bucket = 'history'
    await s3.send(new CreateBucketCommand({ Bucket: bucket }))
    const first = await s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'a', Body: 'one' }))
    const reply = await server.send('POST', `/${bucket}?flush=`)
    assert.match(await reply.text(), /"kind":"verdict","ok":true/)
    const commit = reply.headers.get('x-sluice-commit')!
    assert.match(commit, /^[0-9a-f]{32}$/)
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key: 'a', Body: 'two' }))
    for (const name of [commit, commit.slice(0, 8)]) {
      const read = await s3.send(new GetObjectCommand({ Bucket: `${name}.${bucket}`, Key: 'a' }))
      assert.equal(await read.Body?.transformToString(), 'one')
    }
    await refused(
      s3.send(new PutObjectCommand({ Bucket: `${commit}.${bucket}`, Key: 'a', Body: 'x' })),
      'AccessDenied',
      403,
    )
    await refused(s3.send(new DeleteObjectCommand({ Bucket: `${commit}.${bucket}`, Key: 'a' })), 'AccessDenied', 403)
    const byVersion = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: 'a', VersionId: first.VersionId! }))
    assert.equal(await byVersion.Body?.transformToString(), 'one')
    const asOf = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: 'a', VersionId: commit }))
    assert.equal(await asOf.Body?.transformToString(), 'one')
    await refused(
      s3.send(new GetObjectCommand({ Bucket: bucket, Key: 'a', VersionId: `${'0'.repeat(32)}-1` })),
      'NoSuchVersion',
      404,
    )
    const copied = await s3.send(
      new CopyObjectCommand({ Bucket: bucket, Key: 'a', CopySource: `${commit}.${bucket}/a` }),
    )
    assert.ok(copied.VersionId)
    assert.equal(
      (await store.versioning.listRepos()).some(({ name }) => name === bucket),
      true,
    )
  })
})
