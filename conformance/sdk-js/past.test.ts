import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { after, before, describe, it } from 'node:test'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetBucketCorsCommand,
  GetObjectAttributesCommand,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketCorsCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  RenameObjectCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { commitsOf, headOf } from '../shared/history.ts'
import type { Bench } from '../support.ts'
import { connect, openClient, read } from './client.ts'

const Bucket = 'master.past'
const named = (name: string) => (error: unknown) => error instanceof S3ServiceException && error.name === name
const status = (code: number) => (error: unknown) =>
  error instanceof S3ServiceException && error.$metadata.httpStatusCode === code

describe('the AWS SDK for JavaScript: versions, tags, transactions', () => {
  let bench: Bench
  let s3: S3Client
  let close: (() => Promise<void>) | undefined
  before(async () => {
    const opened = await openClient(Bucket, { SLUICE_DOMAINS: 's3.sluice.test' })
    bench = opened.bench
    s3 = opened.s3
    close = opened.close
  })
  after(() => close?.())
  const put = (Key: string, Body: string, bucket = Bucket) =>
    s3.send(new PutObjectCommand({ Bucket: bucket, Key, Body }))

  it('lists versions, reads them, and takes a deletion back', async () => {
    const first = await put('v', 'first')
    await put('v', 'second')
    const gone = await s3.send(new DeleteObjectCommand({ Bucket, Key: 'v' }))
    assert.equal(gone.DeleteMarker, true)
    const all = await s3.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'v' }))
    assert.deepEqual([all.Versions?.length, all.DeleteMarkers?.[0]?.VersionId], [2, gone.VersionId])
    assert.equal((await read(s3, Bucket, 'v', first.VersionId)).toString(), 'first')
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'v', VersionId: gone.VersionId }))
    assert.equal((await read(s3, Bucket, 'v')).toString(), 'second')
    const CopySource = `${Bucket}/v?versionId=${first.VersionId}`
    await s3.send(new CopyObjectCommand({ Bucket, Key: 'v', CopySource }))
    assert.equal((await read(s3, Bucket, 'v')).toString(), 'first')
  })

  it('keeps tags, CORS rules and attributes', async () => {
    await s3.send(new PutObjectCommand({ Bucket, Key: 't', Body: 'tagged', Tagging: 'a=1&b=2' }))
    const tags = async () => (await s3.send(new GetObjectTaggingCommand({ Bucket, Key: 't' }))).TagSet
    assert.deepEqual(await tags(), [
      { Key: 'a', Value: '1' },
      { Key: 'b', Value: '2' },
    ])
    const Tagging = { TagSet: [{ Key: 'ü', Value: 'größer' }] }
    await s3.send(new PutObjectTaggingCommand({ Bucket, Key: 't', Tagging }))
    assert.deepEqual(await tags(), Tagging.TagSet)
    const CORSRules = [{ AllowedOrigins: ['*'], AllowedMethods: ['GET'] }]
    await s3.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules } }))
    assert.deepEqual((await s3.send(new GetBucketCorsCommand({ Bucket }))).CORSRules, CORSRules)
    const told = await s3.send(
      new GetObjectAttributesCommand({ Bucket, Key: 't', ObjectAttributes: ['ObjectSize', 'Checksum'] }),
    )
    assert.deepEqual([told.ObjectSize, told.Checksum?.ChecksumType], [6, 'FULL_OBJECT'])
  })

  it('renames under conditions', async () => {
    await put('from', 'moved')
    await put('there', 'there')
    const rename = (Key: string, DestinationIfNoneMatch?: string) =>
      s3.send(new RenameObjectCommand({ Bucket, Key, RenameSource: 'from', DestinationIfNoneMatch }))
    await assert.rejects(rename('there', '*'), status(412))
    await rename('to')
    assert.equal((await read(s3, Bucket, 'to')).toString(), 'moved')
    await assert.rejects(s3.send(new HeadObjectCommand({ Bucket, Key: 'from' })), status(404))
  })

  it('loads by a transaction, or drops it', async () => {
    const tx = `tx-load.${Bucket}`
    await s3.send(new CreateBucketCommand({ Bucket: tx }))
    await Promise.all(Array.from({ length: 20 }, (_, n) => put(`in/${n}`, String(n), tx)))
    const seen = async () => (await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'in/' }))).KeyCount
    assert.equal(await seen(), 0)
    await put('.sluice/commit', 'twenty files', tx)
    assert.equal(await seen(), 20)
    assert.equal((await commitsOf(bench, 'past'))[0]?.message, 'twenty files')
    await assert.rejects(s3.send(new HeadBucketCommand({ Bucket: tx })), status(404))
    await s3.send(new CreateBucketCommand({ Bucket: tx }))
    await put('in/never', 'x', tx)
    await s3.send(new DeleteBucketCommand({ Bucket: tx }))
    assert.equal(await seen(), 20)
  })

  it('reads a commit that stays as it was, and can not write to it', async () => {
    await put('frozen', 'old')
    const commit = `${await headOf(bench, 'past')}.past`
    await put('frozen', 'new')
    assert.equal((await read(s3, commit, 'frozen')).toString(), 'old')
    await assert.rejects(put('frozen', 'x', commit), named('AccessDenied'))
  })

  it('reaches buckets by host name, where the server has a domain', async () => {
    // Names below the domain lead to the server; nothing is asked of the network.
    const httpAgent = new Agent({
      lookup: (_host, _options, found) => found(null, [{ address: '127.0.0.1', family: 4 }]),
    })
    const { port } = new URL(bench.server.s3Url)
    const virtual = connect(bench, {
      endpoint: `http://s3.sluice.test:${port}`,
      forcePathStyle: false,
      requestHandler: { httpAgent },
    })
    await put('by host', 'found')
    assert.equal((await read(virtual, Bucket, 'by host')).toString(), 'found')
    await virtual.send(new PutObjectCommand({ Bucket, Key: 'written by host', Body: 'too' }))
    assert.equal((await read(s3, Bucket, 'written by host')).toString(), 'too')
    virtual.destroy()
  })
})
