import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { PassThrough, Readable } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  paginateListBuckets,
  paginateListParts,
  type S3Client,
  S3ServiceException,
  UploadPartCommand,
  waitUntilBucketExists,
  waitUntilBucketNotExists,
  waitUntilObjectNotExists,
} from '@aws-sdk/client-s3'
import { followGuide } from '../shared/guides.ts'
import { type Bench, bytesNamed, sha256 } from '../support.ts'
import { connect, openClient, read } from './client.ts'

const Bucket = 'master.streams'
const MIB = 1024 * 1024
const PARALLEL = 50

describe('the AWS SDK for JavaScript: streams, races, waiters', () => {
  let bench: Bench
  let s3: S3Client
  let close: (() => Promise<void>) | undefined
  before(async () => {
    const opened = await openClient(Bucket)
    bench = opened.bench
    s3 = opened.s3
    close = opened.close
  })
  after(() => close?.())

  it('does what its guide says', () => followGuide(bench, 'sdk-js'))

  it('streams 24 MiB up and down in pieces of any size', async () => {
    const body = bytesNamed('stream', 24 * MIB)
    const pieces = function* (length: number, least: number) {
      for (let at = 0, size = least; at < length; at += size, size = least + ((size * 7) % 300_007))
        yield body.subarray(at, Math.min(at + size, length))
    }
    const put = (least: number, ContentLength = body.length) =>
      new PutObjectCommand({ Bucket, Key: 'large', Body: Readable.from(pieces(ContentLength, least)), ContentLength })
    // As with AWS: smaller pieces are for the SDK to gather.
    const refused = (error: unknown) => error instanceof S3ServiceException && error.name === 'InvalidChunkSizeError'
    await assert.rejects(s3.send(put(1, 5000)), refused)
    const gathering = connect(bench, { requestStreamBufferSize: 65_536 })
    await gathering.send(put(1))
    gathering.destroy()
    assert.equal(sha256(await read(s3, Bucket, 'large')), sha256(body))
    await s3.send(put(8192))
    const { Body: back } = await s3.send(new GetObjectCommand({ Bucket, Key: 'large' }))
    const hash = createHash('sha256')
    for await (const piece of back as Readable) hash.update(piece as Buffer)
    assert.equal(hash.digest('hex'), sha256(body))
    const { Body: part } = await s3.send(
      new GetObjectCommand({ Bucket, Key: 'large', Range: `bytes=${9 * MIB}-${10 * MIB}` }),
    )
    const bytes = Buffer.from((await part?.transformToByteArray()) ?? [])
    assert.ok(bytes.equals(body.subarray(9 * MIB, 10 * MIB + 1)))
  })

  it('shows nothing of a stream that breaks off', async () => {
    const Body = new PassThrough()
    const breakOff = new AbortController()
    const put = new PutObjectCommand({ Bucket, Key: 'broken', Body, ContentLength: 4 * MIB })
    const sent = s3.send(put, { abortSignal: breakOff.signal })
    Body.write(bytesNamed('broken', MIB))
    setImmediate(() => breakOff.abort())
    await assert.rejects(sent, { name: 'AbortError' })
    const gone = (error: unknown) => error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404
    await assert.rejects(s3.send(new HeadObjectCommand({ Bucket, Key: 'broken' })), gone)
  })

  it('sends a stream of unknown length in parts, several at once, and lists them by pages', async () => {
    const body = bytesNamed('parts', 23 * MIB)
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'parts' }))
    const upload = { Bucket, Key: 'parts', UploadId }
    const numbers = [5, 3, 1, 4, 2]
    const Parts = await Promise.all(
      numbers.map(async (PartNumber) => {
        const Body = body.subarray((PartNumber - 1) * 5 * MIB, PartNumber * 5 * MIB)
        const { ETag } = await s3.send(new UploadPartCommand({ ...upload, PartNumber, Body }))
        return { PartNumber, ETag }
      }),
    )
    const sizes: number[] = []
    for await (const page of paginateListParts({ client: s3, pageSize: 2 }, upload))
      sizes.push(...(page.Parts ?? []).map(({ Size }) => Size ?? 0))
    assert.deepEqual(
      sizes.map((size) => size / MIB),
      [5, 5, 5, 5, 3],
    )
    const { Uploads } = await s3.send(new ListMultipartUploadsCommand({ Bucket }))
    assert.deepEqual(
      Uploads?.map((listed) => listed.Key),
      ['parts'],
    )
    Parts.sort((a, b) => a.PartNumber - b.PartNumber)
    const complete = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } })
    const { ETag } = await s3.send(complete)
    assert.match(String(ETag), /^"[0-9a-f]{32}-5"$/)
    assert.ok((await read(s3, Bucket, 'parts')).equals(body))
    const again = new CompleteMultipartUploadCommand({ ...upload, MultipartUpload: { Parts } })
    assert.equal((await s3.send(again)).ETag, ETag, 'a client that lost the answer asks again')
  })

  it('works with checksums whenever supported and only when required', async () => {
    for (const mode of ['WHEN_SUPPORTED', 'WHEN_REQUIRED'] as const) {
      const client = connect(bench, { requestChecksumCalculation: mode, responseChecksumValidation: mode })
      await client.send(new PutObjectCommand({ Bucket, Key: mode, Body: 'checked' }))
      assert.equal((await read(client, Bucket, mode)).toString(), 'checked')
      await client.send(
        new PutObjectCommand({ Bucket, Key: mode, Body: Readable.from([Buffer.from('streamed')]), ContentLength: 8 }),
      )
      assert.equal((await read(client, Bucket, mode)).toString(), 'streamed')
      client.destroy()
    }
  })

  it('lets exactly one of fifty parallel writers create a file', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: PARALLEL }, (_, n) =>
        s3.send(new PutObjectCommand({ Bucket, Key: 'race', Body: String(n), IfNoneMatch: '*' })),
      ),
    )
    const winners = outcomes.flatMap(({ status }, n) => (status === 'fulfilled' ? [n] : []))
    assert.equal(winners.length, 1)
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected')
        assert.equal(outcome.reason.$metadata.httpStatusCode, 412, String(outcome.reason))
    }
    assert.equal((await read(s3, Bucket, 'race')).toString(), String(winners[0]))
  })

  it('loses none of fifty counts that are written over what was read', async () => {
    await s3.send(new PutObjectCommand({ Bucket, Key: 'count', Body: '0' }))
    const add = async () => {
      for (;;) {
        const { Body, ETag } = await s3.send(new GetObjectCommand({ Bucket, Key: 'count' }))
        const next = String(Number(await Body?.transformToString()) + 1)
        try {
          return await s3.send(new PutObjectCommand({ Bucket, Key: 'count', Body: next, IfMatch: ETag }))
        } catch (error) {
          if (!(error instanceof S3ServiceException && error.$metadata.httpStatusCode === 412)) throw error
        }
      }
    }
    await Promise.all(
      Array.from({ length: 5 }, async () => {
        for (let n = 0; n < PARALLEL / 5; n++) await add()
      }),
    )
    assert.equal((await read(s3, Bucket, 'count')).toString(), String(PARALLEL))
  })

  it('pages through buckets and waits for what comes and goes', async () => {
    const names = ['a', 'b', 'c', 'd', 'e'].map((branch) => `${branch}.paged`)
    for (const name of names) await s3.send(new CreateBucketCommand({ Bucket: name }))
    const found: string[] = []
    for await (const page of paginateListBuckets({ client: s3, pageSize: 2 }, {}))
      found.push(...(page.Buckets ?? []).map(({ Name = '' }) => Name))
    assert.deepEqual(
      found.filter((name) => name.endsWith('.paged')),
      names,
    )
    const limits = { client: s3, minDelay: 1, maxWaitTime: 20 }
    assert.equal((await waitUntilBucketExists(limits, { Bucket: 'a.paged' })).state, 'SUCCESS')
    await s3.send(new DeleteBucketCommand({ Bucket: 'a.paged' }))
    assert.equal((await waitUntilBucketNotExists(limits, { Bucket: 'a.paged' })).state, 'SUCCESS')
    await s3.send(new DeleteObjectCommand({ Bucket, Key: 'race' }))
    assert.equal((await waitUntilObjectNotExists(limits, { Bucket, Key: 'race' })).state, 'SUCCESS')
  })
})
