import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import {
  ChecksumAlgorithm,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  NoSuchKey,
  PutObjectCommand,
  paginateListObjectsV2,
  S3Client,
  S3ServiceException,
  UploadPartCommand,
  waitUntilObjectExists,
} from '@aws-sdk/client-s3'
import { type Bench, bytesNamed, md5, openBench } from '../support.ts'

const Bucket = 'master.sdk'

describe('the AWS SDK for JavaScript', () => {
  let bench: Bench
  let s3: S3Client
  before(async () => {
    bench = await openBench()
    const { server } = bench
    s3 = new S3Client({
      endpoint: server.s3Url,
      region: 'eu-west-3',
      forcePathStyle: true,
      credentials: server.credentials,
      maxAttempts: 1,
    })
    await s3.send(new CreateBucketCommand({ Bucket }))
  })
  after(async () => {
    s3?.destroy()
    await bench?.close()
  })

  const get = async (Key: string, from = Bucket) => {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket: from, Key }))
    return Buffer.from((await Body?.transformToByteArray()) ?? [])
  }

  it('puts buffers and strings and gets them back', async () => {
    const { ETag, VersionId } = await s3.send(
      new PutObjectCommand({ Bucket, Key: 'a b+ü', Body: 'text', Metadata: { n: 'v' } }),
    )
    assert.equal(ETag, `"${md5(Buffer.from('text'))}"`)
    assert.match(String(VersionId), /^[0-9a-f]{32}-\d+$/)
    assert.equal((await get('a b+ü')).toString(), 'text')
  })

  it('streams a body of known length with every checksum as a trailer', async () => {
    const body = bytesNamed('stream', 3_000_000)
    for (const algorithm of Object.values(ChecksumAlgorithm)) {
      if (!['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256'].includes(algorithm)) continue
      const pieces = Readable.from([
        body.subarray(0, 70_000),
        body.subarray(70_000, 2_000_000),
        body.subarray(2_000_000),
      ])
      const put = new PutObjectCommand({
        Bucket,
        Key: `s/${algorithm}`,
        Body: pieces,
        ContentLength: body.length,
        ChecksumAlgorithm: algorithm,
      })
      const answer = await s3.send(put)
      assert.ok(answer[`Checksum${algorithm}` as 'ChecksumCRC32'], algorithm)
      assert.ok((await get(`s/${algorithm}`)).equals(body), algorithm)
      const head = await s3.send(new HeadObjectCommand({ Bucket, Key: `s/${algorithm}`, ChecksumMode: 'ENABLED' }))
      assert.equal(head.ContentEncoding, undefined, 'aws-chunked is framing, not an encoding of the content')
    }
  })

  it('uploads by parts with a checksum for each', async () => {
    const parts = [bytesNamed('one', 5 * 1024 * 1024), bytesNamed('two', 123_456)]
    const { UploadId } = await s3.send(
      new CreateMultipartUploadCommand({ Bucket, Key: 'parts', ChecksumAlgorithm: 'SHA256' }),
    )
    const Parts = await Promise.all(
      parts.map(async (Body, index) => {
        const PartNumber = index + 1
        const sent = await s3.send(
          new UploadPartCommand({ Bucket, Key: 'parts', UploadId, PartNumber, Body, ChecksumAlgorithm: 'SHA256' }),
        )
        assert.equal(sent.ChecksumSHA256, createHash('sha256').update(Body).digest('base64'))
        return { PartNumber, ETag: sent.ETag, ChecksumSHA256: sent.ChecksumSHA256 }
      }),
    )
    const done = await s3.send(
      new CompleteMultipartUploadCommand({ Bucket, Key: 'parts', UploadId, MultipartUpload: { Parts } }),
    )
    assert.match(String(done.ChecksumSHA256), /^.+-2$/)
    assert.ok((await get('parts')).equals(Buffer.concat(parts)))
  })

  it('pages, waits, copies and deletes', async () => {
    for (let i = 0; i < 7; i++) await s3.send(new PutObjectCommand({ Bucket, Key: `p/${i}`, Body: String(i) }))
    const keys: string[] = []
    for await (const page of paginateListObjectsV2({ client: s3, pageSize: 3 }, { Bucket, Prefix: 'p/' })) {
      keys.push(...(page.Contents ?? []).map(({ Key }) => Key ?? ''))
    }
    assert.deepEqual(keys, ['p/0', 'p/1', 'p/2', 'p/3', 'p/4', 'p/5', 'p/6'])
    const waited = await waitUntilObjectExists({ client: s3, minDelay: 1, maxWaitTime: 10 }, { Bucket, Key: 'p/6' })
    assert.equal(waited.state, 'SUCCESS')
    await s3.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource: `${Bucket}/p/3` }))
    assert.equal((await get('copy')).toString(), '3')
    const { Deleted } = await s3.send(
      new DeleteObjectsCommand({ Bucket, Delete: { Objects: keys.map((Key) => ({ Key })) } }),
    )
    assert.equal(Deleted?.length, 7)
  })

  it('raises typed errors', async () => {
    await assert.rejects(get('nothing'), NoSuchKey)
    const stranger = new S3Client({
      endpoint: bench.server.s3Url,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId: bench.server.credentials.accessKeyId, secretAccessKey: 'wrong' },
      maxAttempts: 1,
    })
    const refused = (error: unknown) => error instanceof S3ServiceException && error.name === 'SignatureDoesNotMatch'
    await assert.rejects(stranger.send(new PutObjectCommand({ Bucket, Key: 'no', Body: 'no' })), refused)
    stranger.destroy()
  })
})
