import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { objectsIn, refused } from './testing/objects.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

let server: TestServer

async function* pagesOf(Bucket: string, MaxKeys: number, more = {}) {
  let KeyMarker: string | undefined
  let VersionIdMarker: string | undefined
  do {
    const command = new ListObjectVersionsCommand({ Bucket, MaxKeys, KeyMarker, VersionIdMarker, ...more })
    const page = await server.s3.send(command)
    yield page
    KeyMarker = page.NextKeyMarker
    VersionIdMarker = page.NextVersionIdMarker
    assert.equal(page.IsTruncated, KeyMarker !== undefined)
  } while (KeyMarker !== undefined)
}

/** What ListObjectVersions shows: `key version latest|- marker|-`, in its order. */
async function listed(Bucket: string, more = {}): Promise<string[]> {
  const response = await server.send('GET', `/${Bucket}?versions&${new URLSearchParams(more)}`)
  const text = await response.text()
  assert.equal(response.status, 200, text)
  return [...text.matchAll(/<(Version|DeleteMarker)>.*?<Key>(.*?)<.*?<VersionId>(.*?)<.*?<IsLatest>(.*?)</g)].map(
    ([, kind, key, id, latest]) =>
      `${key} ${id} ${latest === 'true' ? 'latest' : '-'} ${kind === 'Version' ? '-' : 'marker'}`,
  )
}

describe('object versions over S3', () => {
  const Bucket = 'master.images'
  const { put, get } = objectsIn(Bucket, () => server)
  const remove = (Key: string, more = {}) => server.s3.send(new DeleteObjectCommand({ Bucket, Key, ...more }))

  before(async () => {
    server = await startTestServer()
    await server.s3.send(new CreateBucketCommand({ Bucket }))
  })
  after(() => server.close())

  it('lists, reads and copies what a merge brought from another branch, also when it is overwritten', async () => {
    const { versioning } = server.store
    const from = { repo: 'images' as never, branch: 'side' as never }
    await server.s3.send(new CreateBucketCommand({ Bucket: 'side.images' }))
    const side = objectsIn('side.images', () => server)
    const brought = await side.put('merged', 'theirs')
    const ours = await put('kept', 'ours')
    const commit = await versioning.finishCommit(from)
    await versioning.merges.merge({ ...from, branch: 'master' as never }, commit.id, { allowUnrelated: true })
    const later = await put('merged', 'later')
    assert.deepEqual(await listed(Bucket, { prefix: 'merged' }), [
      `merged ${later.VersionId} latest -`,
      `merged ${brought.VersionId} - -`,
    ])
    assert.equal((await get('merged', { VersionId: brought.VersionId })).bytes.toString(), 'theirs')
    await remove('merged', { VersionId: later.VersionId })
    assert.equal((await get('merged')).VersionId, brought.VersionId)
    assert.deepEqual(await listed(Bucket, { prefix: 'kept' }), [`kept ${ours.VersionId} latest -`])
  })

  it('lists every PUT and DELETE, the latest first, and reads each by its id', async () => {
    const one = await put('cat', 'one')
    const two = await put('cat', 'two')
    const marker = await remove('cat')
    assert.equal(marker.DeleteMarker, true)
    assert.deepEqual(await listed(Bucket, { prefix: 'cat' }), [
      `cat ${marker.VersionId} latest marker`,
      `cat ${two.VersionId} - -`,
      `cat ${one.VersionId} - -`,
    ])
    assert.equal((await get('cat', { VersionId: one.VersionId })).bytes.toString(), 'one')
    assert.equal((await get('cat', { VersionId: two.VersionId })).bytes.toString(), 'two')
    assert.equal((await get('cat', { VersionId: two.VersionId })).VersionId, two.VersionId)
  })

  it('says of a deleted key that its latest version is a delete marker, and of the marker that it can only be deleted', async () => {
    await put('gone', 'x')
    const { VersionId } = await remove('gone')
    for (const method of ['GET', 'HEAD']) {
      const missing = await server.send(method, `/${Bucket}/gone`)
      assert.equal(missing.status, 404)
      assert.equal(missing.headers.get('x-amz-delete-marker'), 'true')
      assert.equal(missing.headers.get('x-amz-version-id'), VersionId)
      const marker = await server.send(method, `/${Bucket}/gone?versionId=${VersionId}`)
      assert.equal(marker.status, 405)
      assert.equal(marker.headers.get('x-amz-delete-marker'), 'true')
      assert.equal(marker.headers.get('allow'), 'DELETE')
      assert.ok(marker.headers.get('last-modified'))
      if (method === 'GET') assert.match(await marker.text(), /<Code>MethodNotAllowed</)
      const never = await server.send(method, `/${Bucket}/never`)
      assert.equal(never.headers.get('x-amz-delete-marker'), null)
      await Promise.all([missing.text(), never.text()])
    }
    await refused(
      server.s3.send(
        new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/gone?versionId=${VersionId}` }),
      ),
      'InvalidRequest',
    )
  })

  it('brings back what was there, as it was, when the latest version or marker is deleted', async () => {
    const one = await put('back', 'one', { Metadata: { a: 'b' } })
    const before = await get('back')
    const two = await put('back', 'two!')
    const marker = await remove('back')
    const unmarked = await remove('back', { VersionId: marker.VersionId })
    assert.equal(unmarked.DeleteMarker, true)
    assert.equal(unmarked.VersionId, marker.VersionId)
    assert.equal((await get('back')).bytes.toString(), 'two!')
    const { DeleteMarker, VersionId } = await remove('back', { VersionId: two.VersionId })
    assert.equal(DeleteMarker, undefined)
    assert.equal(VersionId, two.VersionId)
    const again = await get('back')
    for (const name of ['ETag', 'LastModified', 'VersionId', 'Metadata', 'ContentLength'] as const) {
      assert.deepEqual(again[name], before[name], name)
    }
    assert.deepEqual(await listed(Bucket, { prefix: 'back' }), [`back ${one.VersionId} latest -`])
    await refused(get('back', { VersionId: two.VersionId }), 'NoSuchVersion', 404)
    // Deleted again, it is gone all the same.
    await remove('back', { VersionId: two.VersionId })
    await remove('back', { VersionId: one.VersionId })
    assert.deepEqual(await listed(Bucket, { prefix: 'back' }), [])
    await refused(get('back'), 'NoSuchKey', 404)
  })

  it('deletes keys and versions of one list together, and says which were delete markers', async () => {
    const one = await put('list/a', 'one')
    const marker = await remove('list/a')
    await put('list/b', 'two')
    const { Deleted, Errors } = await server.s3.send(
      new DeleteObjectsCommand({
        Bucket,
        Delete: {
          Objects: [
            { Key: 'list/a', VersionId: one.VersionId },
            { Key: 'list/a', VersionId: marker.VersionId },
            { Key: 'list/b' },
            { Key: 'list/c', VersionId: one.VersionId },
            { Key: 'list/c', VersionId: 'no-version' },
          ],
        },
      }),
    )
    assert.deepEqual(
      Deleted?.map(({ Key, VersionId, DeleteMarker }) => [Key, VersionId, DeleteMarker]),
      [
        ['list/a', one.VersionId, undefined],
        ['list/a', marker.VersionId, true],
        ['list/b', undefined, true],
        ['list/c', one.VersionId, undefined],
      ],
    )
    assert.deepEqual(
      Errors?.map(({ Key, Code }) => [Key, Code]),
      [['list/c', 'InvalidArgument']],
    )
    assert.deepEqual(
      (await listed(Bucket, { prefix: 'list/' })).map((line) => line.replace(/ [^ ]+/, '')),
      ['list/b latest marker', 'list/b - -'],
    )
  })

  it('compares a condition with the version that is to be deleted', async () => {
    const one = await put('if', 'one')
    const two = await put('if', 'two!!')
    await refused(remove('if', { VersionId: one.VersionId, IfMatch: two.ETag }), 'PreconditionFailed', 412)
    await refused(remove('if', { VersionId: one.VersionId, IfMatchSize: 5 }), 'PreconditionFailed', 412)
    await remove('if', { VersionId: one.VersionId, IfMatch: one.ETag })
    // Of what is not there nothing is compared.
    await remove('if', { VersionId: one.VersionId, IfMatch: two.ETag })
    const marker = await remove('if', { IfMatch: two.ETag })
    // A delete marker is something, and has no ETag.
    await refused(remove('if', { IfMatch: two.ETag }), 'PreconditionFailed', 412)
    await refused(remove('if', { IfMatch: '*' }), 'PreconditionFailed', 412)
    await refused(remove('if', { VersionId: marker.VersionId, IfMatch: '*' }), 'PreconditionFailed', 412)
  })

  it('copies from any version', async () => {
    const one = await put('source', 'one')
    await put('source', 'two')
    const CopySource = `${Bucket}/source?versionId=${one.VersionId}`
    const copied = await server.s3.send(new CopyObjectCommand({ Bucket, Key: 'copied', CopySource }))
    assert.equal(copied.CopySourceVersionId, one.VersionId)
    assert.equal((await get('copied')).bytes.toString(), 'one')
    const { UploadId } = await server.s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'parts' }))
    const part = await server.s3.send(
      new UploadPartCopyCommand({ Bucket, Key: 'parts', UploadId, PartNumber: 1, CopySource }),
    )
    assert.equal(part.CopySourceVersionId, one.VersionId)
    assert.equal(part.CopyPartResult?.ETag, one.ETag)
  })

  it('refuses what is no version id', async () => {
    for (const id of ['x', '', '1234567', `${'0'.repeat(32)}-`, `${'A'.repeat(32)}-1`]) {
      const reply = await server.send('GET', `/${Bucket}/cat?versionId=${id}`)
      assert.equal(reply.status, 400, id)
      assert.match(await reply.text(), /<Code>InvalidArgument</)
    }
    await refused(get('cat', { VersionId: `${'0'.repeat(32)}-1` }), 'NoSuchVersion', 404)
    await refused(get('cat', { VersionId: 'null' }), 'NoSuchVersion', 404)
    await refused(remove('cat', { VersionId: '0'.repeat(32) }), 'InvalidArgument', 400)
    const marker = await server.send('GET', `/${Bucket}?versions&version-id-marker=${'0'.repeat(32)}-1`)
    assert.equal(marker.status, 400)
    await marker.text()
  })

  it('lists in pages of any size, with common prefixes, and escapes odd keys', async () => {
    const pages = 'master.pages'
    await server.s3.send(new CreateBucketCommand({ Bucket: pages }))
    for (const Key of ['a/1', 'a/2', 'b', 'c&<d', 'e/f/g'])
      for (const Body of ['x', 'y']) await server.s3.send(new PutObjectCommand({ Bucket: pages, Key, Body }))
    const all = await listed(pages)
    assert.equal(all.length, 10)
    for (const pageSize of [1, 2, 3, 7]) {
      const found: string[] = []
      for await (const page of pagesOf(pages, pageSize)) {
        assert.ok((page.Versions ?? []).length <= pageSize)
        for (const { Key, VersionId } of page.Versions ?? []) found.push(`${Key} ${VersionId}`)
      }
      assert.deepEqual(
        found,
        all.map((line) => line.replace('&amp;', '&').replace('&lt;', '<').split(' ').slice(0, 2).join(' ')),
      )
    }
    const prefixes: string[] = []
    const keys: string[] = []
    for await (const page of pagesOf(pages, 2, { Delimiter: '/' })) {
      prefixes.push(...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix!))
      keys.push(...(page.Versions ?? []).map(({ Key }) => Key!))
    }
    assert.deepEqual(prefixes, ['a/', 'e/'])
    assert.deepEqual(keys, ['b', 'b', 'c&<d', 'c&<d'])
    // A key alone as the marker: all of its versions come before.
    assert.deepEqual(await listed(pages, { 'key-marker': 'a/2' }), all.slice(4))
    assert.deepEqual(await listed(pages, { 'key-marker': 'a/1x', prefix: 'a/' }), all.slice(2, 4))
    const none = await server.s3.send(new ListObjectVersionsCommand({ Bucket: pages, MaxKeys: 0 }))
    assert.equal(none.IsTruncated, false)
  })

  it('answers Enabled, and refuses to suspend', async () => {
    const { Status } = await server.s3.send(new GetBucketVersioningCommand({ Bucket }))
    assert.equal(Status, 'Enabled')
    const set = (VersioningConfiguration: object) =>
      server.s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration }))
    await set({ Status: 'Enabled' })
    await refused(set({ Status: 'Suspended' }), 'InvalidBucketState', 409)
    await refused(set({ Status: 'Enabled', MFADelete: 'Enabled' }), 'NotImplemented', 501)
  })

  it('shows a commit its versions, and deletes none of them', async () => {
    const frozen = 'master.frozen'
    await server.s3.send(new CreateBucketCommand({ Bucket: frozen }))
    const send = (Body: string) => server.s3.send(new PutObjectCommand({ Bucket: frozen, Key: 'k', Body }))
    const one = await send('1')
    const two = await send('2')
    const { versioning } = server.store
    const at = { repo: 'frozen', branch: 'master' } as Parameters<typeof versioning.seal>[0]
    const sealed = await versioning.seal(at)
    await versioning.waitForCommit(sealed!.commit)
    await send('3')
    await server.s3.send(new DeleteObjectCommand({ Bucket: frozen, Key: 'k', VersionId: two.VersionId }))
    const commit = `${sealed!.commit}.frozen`
    assert.deepEqual(await listed(commit), [`k ${two.VersionId} latest -`, `k ${one.VersionId} - -`])
    await refused(
      server.s3.send(new DeleteObjectCommand({ Bucket: commit, Key: 'k', VersionId: two.VersionId })),
      'AccessDenied',
    )
    const body = await server.s3.send(new GetObjectCommand({ Bucket: commit, Key: 'k' }))
    assert.equal(await body.Body?.transformToString(), '2')
    assert.equal((await listed(frozen)).length, 2)
  })
})

describe('object versions of buckets that start without versioning', () => {
  const Bucket = 'master.plain'
  const { put, get } = objectsIn(Bucket, () => server)
  const remove = (Key: string, more = {}) => server.s3.send(new DeleteObjectCommand({ Bucket, Key, ...more }))

  before(async () => {
    server = await startTestServer({ unversioned: true })
    await server.s3.send(new CreateBucketCommand({ Bucket }))
  })
  after(() => server.close())

  it('shows no version ids until versioning is enabled, and what was there as null from then on', async () => {
    assert.equal((await server.s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, undefined)
    assert.equal((await put('a', 'old')).VersionId, undefined)
    await put('a', 'older')
    await put('b', 'b')
    assert.equal((await get('a')).VersionId, undefined)
    const copied = await server.s3.send(new CopyObjectCommand({ Bucket, Key: 'c', CopySource: `${Bucket}/b` }))
    assert.deepEqual([copied.VersionId, copied.CopySourceVersionId], [undefined, undefined])
    const deleted = await remove('c')
    assert.deepEqual([deleted.VersionId, deleted.DeleteMarker], [undefined, undefined])
    const head = await server.send('HEAD', `/${Bucket}/c`)
    assert.equal(head.headers.get('x-amz-delete-marker'), null)
    assert.deepEqual(await listed(Bucket), ['a null latest -', 'b null latest -'])
    assert.equal((await get('a', { VersionId: 'null' })).bytes.toString(), 'older')
    await remove('b', { VersionId: 'null' })
    await refused(get('b'), 'NoSuchKey')
    assert.deepEqual(await listed(Bucket), ['a null latest -'])

    const enable = { Bucket, VersioningConfiguration: { Status: 'Enabled' } } as const
    await server.s3.send(new PutBucketVersioningCommand(enable))
    assert.equal((await server.s3.send(new GetBucketVersioningCommand({ Bucket }))).Status, 'Enabled')
    assert.equal((await get('a')).VersionId, 'null')
    const fresh = await put('a', 'new')
    assert.match(fresh.VersionId ?? '', /^[0-9a-f]{32}-\d+$/)
    assert.deepEqual(await listed(Bucket), [`a ${fresh.VersionId} latest -`, 'a null - -'])
    assert.equal((await get('a', { VersionId: 'null' })).bytes.toString(), 'older')
    await remove('a', { VersionId: fresh.VersionId })
    assert.equal((await get('a')).bytes.toString(), 'older')
    await remove('a', { VersionId: 'null' })
    assert.deepEqual(await listed(Bucket), [])
    await refused(server.s3.send(new HeadObjectCommand({ Bucket, Key: 'a' })), 'NotFound', 404)
  })
})
