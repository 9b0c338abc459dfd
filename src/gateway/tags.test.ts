import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { parseBranchName } from '../versioning/index.ts'
import { branchOf, sealCommit } from '../versioning/testing/store.ts'
import { objectsIn, refused } from './testing/objects.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

describe('tags and protected branches over S3', () => {
  let server: TestServer
  before(async () => {
    server = await startTestServer()
  })
  after(() => server.close())

  const s3 = () => server.s3
  async function bucket(name: string) {
    await s3().send(new CreateBucketCommand({ Bucket: name }))
    return objectsIn(name, () => server)
  }
  /** A repo with one commit, which has a tag. */
  async function tagged(repo: string) {
    const { put } = await bucket(`master.${repo}`)
    await put('a', 'then')
    const { versioning } = server.store
    const at = branchOf(`${repo}@master`)
    const { id } = await sealCommit(versioning, at)
    await versioning.commitTags.create(at.repo, parseBranchName('v1.0'), id)
    return { put, commit: id, Bucket: `v1.0.${repo}` }
  }

  it('read a tag as the bucket of its commit, whatever is written to the branch later', async () => {
    const { put, commit, Bucket } = await tagged('reads')
    await put('a', 'now')
    await put('b', 'now')
    await s3().send(new HeadBucketCommand({ Bucket }))
    const listed = await s3().send(new ListObjectsV2Command({ Bucket }))
    assert.deepEqual(
      listed.Contents?.map(({ Key }) => Key),
      ['a'],
    )
    const got = await s3().send(new GetObjectCommand({ Bucket, Key: 'a' }))
    assert.equal(await got.Body?.transformToString(), 'then')
    const versions = await s3().send(new ListObjectVersionsCommand({ Bucket }))
    assert.equal(versions.Versions?.length, 1)
    const control = await s3().send(new GetObjectCommand({ Bucket, Key: '.sluice/commit.json' }))
    assert.equal(JSON.parse((await control.Body?.transformToString()) ?? '').id, commit)
    await s3().send(new CopyObjectCommand({ Bucket: 'master.reads', Key: 'copy', CopySource: `${Bucket}/a` }))
    const { Buckets } = await s3().send(new ListBucketsCommand({}))
    assert.ok(!Buckets?.some(({ Name }) => Name === Bucket))
  })

  it('refuse every write to a tag, and say what it is', async () => {
    const { commit, Bucket } = await tagged('writes')
    const denied = [
      () => s3().send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'x' })),
      () => s3().send(new DeleteObjectCommand({ Bucket, Key: 'a' })),
      () => s3().send(new CreateMultipartUploadCommand({ Bucket, Key: 'a' })),
      () => s3().send(new CopyObjectCommand({ Bucket, Key: 'b', CopySource: `${Bucket}/a` })),
      () => s3().send(new DeleteBucketCommand({ Bucket })),
    ]
    for (const write of denied) {
      await assert.rejects(write, (error: Error) => {
        assert.equal(error.name, 'AccessDenied')
        assert.match(error.message, new RegExp(`is the tag of commit ${commit}, and commits never change`))
        return true
      })
    }
    await refused(s3().send(new CreateBucketCommand({ Bucket })), 'BucketAlreadyExists', 409)
  })

  it('refuse every write to a protected branch with 403 and what to do', async () => {
    const { put } = await bucket('master.guarded')
    await put('a', 'then')
    await server.store.versioning.protectBranch(branchOf('guarded@master'), true)
    const Bucket = 'master.guarded'
    const denied = [
      () => s3().send(new PutObjectCommand({ Bucket, Key: 'a', Body: 'x' })),
      () => s3().send(new PutObjectCommand({ Bucket, Key: '_temporary/0/a', Body: 'x' })),
      () => s3().send(new DeleteObjectCommand({ Bucket, Key: 'a' })),
      () => s3().send(new CreateMultipartUploadCommand({ Bucket, Key: 'a' })),
      () => s3().send(new CreateBucketCommand({ Bucket: 'tx-one.master.guarded' })),
      () => s3().send(new DeleteBucketCommand({ Bucket })),
    ]
    for (const write of denied) {
      await assert.rejects(write, (error: Error & { $metadata?: { httpStatusCode?: number } }) => {
        assert.deepEqual([error.name, error.$metadata?.httpStatusCode], ['AccessDenied', 403])
        assert.match(error.message, /is protected: only merges change it/)
        return true
      })
    }
    const got = await s3().send(new GetObjectCommand({ Bucket, Key: 'a' }))
    assert.equal(await got.Body?.transformToString(), 'then')
  })
})
