import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteBucketTaggingCommand,
  DeleteObjectCommand,
  DeleteObjectTaggingCommand,
  GetBucketTaggingCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  PutBucketTaggingCommand,
  PutObjectTaggingCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { objectsIn, refused } from './testing/objects.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

type Tags = Record<string, string>

describe('tags of objects', () => {
  let server: TestServer
  const Bucket = 'master.images'
  const { put, get } = objectsIn(Bucket, () => server)
  const set = (tags: Tags) => ({ TagSet: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) })
  const tag = (Key: string, tags: Tags, more = {}) =>
    server.s3.send(new PutObjectTaggingCommand({ Bucket, Key, Tagging: set(tags), ...more }))
  const tagsOf = async (Key: string, more = {}): Promise<Tags> => {
    const { TagSet } = await server.s3.send(new GetObjectTaggingCommand({ Bucket, Key, ...more }))
    return Object.fromEntries((TagSet ?? []).map((item) => [item.Key ?? '', item.Value ?? '']))
  }
  const countOf = async (Key: string) => (await server.s3.send(new HeadObjectCommand({ Bucket, Key }))).TagCount

  before(async () => {
    server = await startTestServer()
    await server.s3.send(new CreateBucketCommand({ Bucket }))
  })
  after(() => server.close())

  it('are set, read, replaced and removed, and make no version', async () => {
    const { VersionId } = await put('a')
    assert.deepEqual(await tagsOf('a'), {})
    assert.equal(await countOf('a'), undefined)
    const before = await server.store.versioning.listCommits('images' as never)
    assert.equal((await tag('a', { team: 'blue', 'ä b': '' })).VersionId, VersionId)
    assert.deepEqual(await tagsOf('a'), { team: 'blue', 'ä b': '' })
    assert.equal(await countOf('a'), 2)
    assert.equal((await get('a')).TagCount, 2)
    await tag('a', { __proto__x: '1', constructor: '2' })
    assert.deepEqual(await tagsOf('a'), { __proto__x: '1', constructor: '2' })
    await server.s3.send(new DeleteObjectTaggingCommand({ Bucket, Key: 'a' }))
    assert.deepEqual(await tagsOf('a'), {})
    assert.equal((await get('a')).VersionId, VersionId)
    assert.deepEqual(await server.store.versioning.listCommits('images' as never), before)
  })

  it('belong to a version: the next one has its own, and an older one keeps what it has', async () => {
    const first = await put('versions', 'one', { Tagging: 'n=1&also=here' })
    await server.store.versioning.finishCommit({ repo: 'images', branch: 'master' } as never)
    await put('versions', 'two')
    assert.deepEqual(await tagsOf('versions'), {})
    assert.deepEqual(await tagsOf('versions', { VersionId: first.VersionId }), { also: 'here', n: '1' })
    await tag('versions', { late: 'yes' }, { VersionId: first.VersionId })
    assert.deepEqual(await tagsOf('versions', { VersionId: first.VersionId }), { late: 'yes' })
    assert.deepEqual(await tagsOf('versions'), {})
  })

  it('come with a PUT, with a multipart upload, and with a copy', async () => {
    await put('from', 'x', { Tagging: 'b=2&a=1%20%2B1&empty' })
    assert.deepEqual(await tagsOf('from'), { a: '1 +1', b: '2', empty: '' })
    const upload = { Bucket, Key: 'parts' }
    const { UploadId } = await server.s3.send(new CreateMultipartUploadCommand({ ...upload, Tagging: 'by=parts' }))
    const { ETag } = await server.s3.send(new UploadPartCommand({ ...upload, UploadId, PartNumber: 1, Body: 'x' }))
    await assert.rejects(tagsOf('parts'), { name: 'NoSuchKey' })
    const MultipartUpload = { Parts: [{ ETag, PartNumber: 1 }] }
    await server.s3.send(new CompleteMultipartUploadCommand({ ...upload, UploadId, MultipartUpload }))
    assert.deepEqual(await tagsOf('parts'), { by: 'parts' })
    const copy = (Key: string, more = {}) =>
      server.s3.send(new CopyObjectCommand({ Bucket, Key, CopySource: `${Bucket}/from`, ...more }))
    await copy('copied')
    assert.deepEqual(await tagsOf('copied'), await tagsOf('from'))
    await copy('replaced', { TaggingDirective: 'REPLACE', Tagging: 'c=3' })
    assert.deepEqual(await tagsOf('replaced'), { c: '3' })
    await copy('bare', { TaggingDirective: 'REPLACE' })
    assert.deepEqual(await tagsOf('bare'), {})
    // A copy onto itself that changes its tags changes something.
    await copy('from', { TaggingDirective: 'REPLACE', Tagging: 'c=4' })
    assert.deepEqual(await tagsOf('from'), { c: '4' })
    await refused(copy('x', { TaggingDirective: 'SOME' }), 'InvalidArgument', 400)
  })

  it('are refused past their limits, twice under one key, and of AWS, and nothing is changed', async () => {
    await put('limits', 'x', { Tagging: 'kept=1' })
    const many = Object.fromEntries(Array.from({ length: 11 }, (_, index) => [`k${index}`, 'v']))
    for (const tags of [many, { ['k'.repeat(129)]: 'v' }, { k: 'v'.repeat(257) }, { 'aws:k': 'v' }, { 'k<': 'v' }]) {
      await refused(tag('limits', tags), 'InvalidTag', 400)
    }
    const twice = { TagSet: [1, 2].map((n) => ({ Key: 'k', Value: String(n) })) }
    const command = new PutObjectTaggingCommand({ Bucket, Key: 'limits', Tagging: twice })
    await refused(server.s3.send(command), 'InvalidTag', 400)
    await refused(put('limits', 'y', { Tagging: 'a=1&a=2' }), 'InvalidTag', 400)
    await refused(put('limits', 'y', { Tagging: 'a=%zz' }), 'InvalidArgument', 400)
    assert.deepEqual(await tagsOf('limits'), { kept: '1' })
    assert.equal((await get('limits')).bytes.toString(), 'x')
    const largest = Object.fromEntries(
      Array.from({ length: 10 }, (_, index) => [`${index}${'😀'.repeat(127)}`.replaceAll('😀', 'ü'), 'ä'.repeat(256)]),
    )
    await tag('limits', largest)
    assert.deepEqual(await tagsOf('limits'), largest)
  })

  it('are refused on a commit, on nothing, and in a document that is none', async () => {
    await put('frozen', 'x', { Tagging: 'a=1' })
    const commit = await server.store.versioning.finishCommit({ repo: 'images', branch: 'master' } as never)
    const frozen = { Bucket: `${commit.id}.images`, Key: 'frozen' }
    assert.equal((await server.s3.send(new GetObjectTaggingCommand(frozen))).TagSet?.length, 1)
    const command = new PutObjectTaggingCommand({ ...frozen, Tagging: set({ a: '2' }) })
    await refused(server.s3.send(command), 'AccessDenied', 403)
    await refused(tag('nothing', { a: '1' }), 'NoSuchKey', 404)
    for (const body of ['', '<Tagging/>', '<Tagging><TagSet><Tag><Key>a</Key></Tag></TagSet></Tagging>', '<a/>']) {
      const reply = await server.send('PUT', `/${Bucket}/frozen?tagging=`, { body })
      assert.equal(reply.status, 400, body)
      assert.match(await reply.text(), /<Code>MalformedXML</)
    }
    assert.deepEqual(await tagsOf('frozen'), { a: '1' })
  })

  it('that are set in a transaction are there when it is finished, and not before', async () => {
    const tx = 'tx-tags.master.images'
    await server.s3.send(new CreateBucketCommand({ Bucket: tx }))
    await objectsIn(tx, () => server).put('in-tx', 'x', { Tagging: 'a=1', ACL: 'public-read' })
    await assert.rejects(tagsOf('in-tx'), { name: 'NoSuchKey' })
    // Its own settings would go with it.
    const settings: [string, Record<string, string>, string?][] = [
      ['tagging=', {}, '<Tagging><TagSet><Tag><Key>a</Key><Value>1</Value></Tag></TagSet></Tagging>'],
      ['acl=', { 'x-amz-acl': 'public-read' }],
    ]
    for (const [query, headers, body] of settings) {
      const reply = await server.send('PUT', `/${tx}?${query}`, { headers, ...(body === undefined ? {} : { body }) })
      assert.equal(reply.status, 400, query)
    }
    assert.equal((await server.send('PUT', `/${tx}/.sluice/commit`, { body: 'done' })).status, 200)
    assert.deepEqual(await tagsOf('in-tx'), { a: '1' })
    assert.equal(await countOf('in-tx'), 1)
    assert.match(await (await server.send('GET', `/${Bucket}/in-tx?acl=`)).text(), /AllUsers/)
  })

  it('go with their repo', async () => {
    const other = { Bucket: 'passing', Key: 'a' }
    await server.s3.send(new CreateBucketCommand({ Bucket: 'passing' }))
    await objectsIn('passing', () => server).put('a', 'x', { Tagging: 'a=1' })
    await server.s3.send(new DeleteObjectCommand(other))
    await server.s3.send(new DeleteBucketCommand({ Bucket: 'passing' }))
    const left = await server.store.db.all<{ commit_id: string }>(
      `SELECT commit_id FROM version_tags WHERE commit_id NOT IN (SELECT id FROM commits)`,
    )
    assert.deepEqual(left, [])
  })
})

describe('tags of a bucket', () => {
  let server: TestServer
  const Bucket = 'tagged'
  before(async () => {
    server = await startTestServer()
    await server.s3.send(new CreateBucketCommand({ Bucket }))
  })
  after(() => server.close())

  it('are set, read also by its commits, and removed', async () => {
    const read = (bucket = Bucket) => server.s3.send(new GetBucketTaggingCommand({ Bucket: bucket }))
    await refused(read(), 'NoSuchTagSet', 404)
    const TagSet = Array.from({ length: 50 }, (_, index) => ({ Key: `k${String(index).padStart(2, '0')}`, Value: 'v' }))
    await server.s3.send(new PutBucketTaggingCommand({ Bucket, Tagging: { TagSet } }))
    assert.deepEqual((await read()).TagSet, TagSet)
    const more = { TagSet: [...TagSet, { Key: 'one', Value: 'too many' }] }
    await refused(server.s3.send(new PutBucketTaggingCommand({ Bucket, Tagging: more })), 'InvalidTag', 400)
    await objectsIn(Bucket, () => server).put('a')
    const commit = await server.store.versioning.finishCommit({ repo: Bucket, branch: 'master' } as never)
    assert.equal((await read(`${commit.id}.${Bucket}`)).TagSet?.length, 50)
    await server.s3.send(new DeleteBucketTaggingCommand({ Bucket }))
    await refused(read(), 'NoSuchTagSet', 404)
    await refused(read('nothing'), 'NoSuchBucket', 404)
  })
})
