import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { MIB } from '../kernel/index.ts'
import { md5, objectsIn, refused } from './testing/objects.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

describe('multipart uploads, through the AWS SDK', () => {
  let server: TestServer
  const Bucket = 'master.images'
  const { put, get } = objectsIn(Bucket, () => server)

  before(async () => {
    server = await startTestServer()
    await server.s3.send(new CreateBucketCommand({ Bucket }))
  })
  after(() => server.close())

  it('makes an object of parts that come in any order and again, with an ETag of its kind and parts to read', async () => {
    const { s3 } = server
    const Key = 'multi part'
    const { UploadId } = await s3.send(
      new CreateMultipartUploadCommand({ Bucket, Key, Metadata: { m: '1' }, ChecksumAlgorithm: 'SHA256' }),
    )
    const parts = [randomBytes(5 * MIB), randomBytes(5 * MIB + 1), randomBytes(10)]
    const upload = (number: number, Body: Buffer) =>
      s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: number, Body, ChecksumAlgorithm: 'SHA256' }))
    await upload(2, randomBytes(100))
    const etags = new Map<number, string | undefined>()
    for (const index of [2, 0, 1]) etags.set(index + 1, (await upload(index + 1, parts[index]!)).ETag)
    const listing = await s3.send(new ListPartsCommand({ Bucket, Key, UploadId, MaxParts: 2 }))
    assert.deepEqual(
      listing.Parts?.map(({ PartNumber, Size }) => [PartNumber, Size]),
      [
        [1, 5 * MIB],
        [2, 5 * MIB + 1],
      ],
    )
    assert.equal(listing.IsTruncated, true)
    const uploads = await s3.send(new ListMultipartUploadsCommand({ Bucket, Prefix: 'multi' }))
    assert.deepEqual(
      uploads.Uploads?.map((one) => [one.Key, one.UploadId]),
      [[Key, UploadId]],
    )
    await refused(get(Key), 'NoSuchKey', 404)
    const MultipartUpload = { Parts: [1, 2, 3].map((PartNumber) => ({ PartNumber, ETag: etags.get(PartNumber)! })) }
    const complete = () => s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }))
    await refused(
      s3.send(
        new CompleteMultipartUploadCommand({
          Bucket,
          Key,
          UploadId,
          MultipartUpload: { Parts: [...MultipartUpload.Parts].reverse() },
        }),
      ),
      'InvalidPartOrder',
    )
    await refused(
      s3.send(
        new CompleteMultipartUploadCommand({
          Bucket,
          Key,
          UploadId,
          MultipartUpload: { Parts: [{ PartNumber: 9, ETag: '"x"' }] },
        }),
      ),
      'InvalidPart',
    )
    const completed = await complete()
    const whole = Buffer.concat(parts)
    const etag = `"${md5(Buffer.concat(parts.map((part) => createHash('md5').update(part).digest())))}-3"`
    assert.equal(completed.ETag, etag)
    assert.match(completed.ChecksumSHA256 ?? '', /-3$/)
    assert.equal((await complete()).ETag, etag)
    const read = await get(Key)
    assert.ok(read.bytes.equals(whole))
    assert.deepEqual(read.Metadata, { m: '1' })
    const second = await get(Key, { PartNumber: 2 })
    assert.ok(second.bytes.equals(parts[1]!))
    assert.equal(second.PartsCount, 3)
    await refused(get(Key, { PartNumber: 4 }), 'InvalidPartNumber', 416)
    await refused(s3.send(new ListPartsCommand({ Bucket, Key, UploadId })), 'NoSuchUpload', 404)
  })

  it('gives an object whose writer names no checksum the CRC64NVME of the whole, parts that were copied among them', async () => {
    const { s3 } = server
    const Key = 'default'
    const whole = randomBytes(5 * MIB + 5 * MIB + 7)
    const single = await put('default once', whole, { ChecksumAlgorithm: 'CRC64NVME' })
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    const first = await server.send('PUT', `/${Bucket}/default?partNumber=1&uploadId=${UploadId}`, {
      body: whole.subarray(0, 5 * MIB),
    })
    const { CopyPartResult } = await s3.send(
      new UploadPartCopyCommand({
        Bucket,
        Key,
        UploadId,
        PartNumber: 2,
        CopySource: `${Bucket}/default once`,
        CopySourceRange: `bytes=${5 * MIB}-${whole.length - 1}`,
      }),
    )
    const Parts = [first.headers.get('etag')!, CopyPartResult!.ETag!].map((ETag, index) => ({
      PartNumber: index + 1,
      ETag,
    }))
    const completed = await s3.send(
      new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }),
    )
    assert.equal(completed.ChecksumType, 'FULL_OBJECT')
    assert.equal(completed.ChecksumCRC64NVME, single.ChecksumCRC64NVME)
    const read = await get(Key, { ChecksumMode: 'ENABLED' })
    assert.equal(read.ChecksumCRC64NVME, single.ChecksumCRC64NVME)
    assert.equal(read.ChecksumType, 'FULL_OBJECT')
  })

  it('computes the checksum of the whole object from those of its parts', async () => {
    const { s3 } = server
    const Key = 'full object'
    const whole = randomBytes(5 * MIB + 99)
    for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
      const { UploadId } = await s3.send(
        new CreateMultipartUploadCommand({ Bucket, Key, ChecksumAlgorithm: algorithm, ChecksumType: 'FULL_OBJECT' }),
      )
      const Parts: { PartNumber: number; ETag: string }[] = []
      for (const [index, body] of [whole.subarray(0, 5 * MIB), whole.subarray(5 * MIB)].entries()) {
        // The checksum is left out: the gateway makes it from what the upload says.
        const sent = await server.send('PUT', `/${Bucket}/full%20object?partNumber=${index + 1}&uploadId=${UploadId}`, {
          body,
        })
        Parts.push({ PartNumber: index + 1, ETag: sent.headers.get('etag')! })
      }
      const field = `Checksum${algorithm}` as const
      const single = await put('full object once', whole, { ChecksumAlgorithm: algorithm })
      assert.ok(single[field])
      const complete = (value: string) =>
        s3.send(
          new CompleteMultipartUploadCommand({
            Bucket,
            Key,
            UploadId,
            MultipartUpload: { Parts },
            ChecksumType: 'FULL_OBJECT',
            [field]: value,
          }),
        )
      const wrong = Buffer.from(single[field], 'base64')
      wrong[0] = wrong[0]! ^ 1
      await refused(complete(wrong.toString('base64')), 'BadDigest')
      const completed = await complete(single[field])
      assert.equal(completed.ChecksumType, 'FULL_OBJECT')
      assert.equal(completed[field], single[field])
      assert.equal((await get(Key, { ChecksumMode: 'ENABLED' }))[field], single[field])
    }
  })

  it('names an upload by an id that no command line takes for an option', async () => {
    const { s3 } = server
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: 'named' }))
    assert.match(UploadId ?? '', /^[0-9a-f]+$/)
    await s3.send(new AbortMultipartUploadCommand({ Bucket, Key: 'named', UploadId }))
  })

  it('gives an upload up, and copies ranges into parts', async () => {
    const { s3 } = server
    const source = randomBytes(6 * MIB)
    await put('part source', source)
    const Key = 'of copies'
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    const CopySource = `/${Bucket}/part%20source`
    const copy = (PartNumber: number, CopySourceRange?: string) =>
      s3.send(new UploadPartCopyCommand({ Bucket, Key, UploadId, PartNumber, CopySource, CopySourceRange }))
    const one = await copy(1)
    const two = await copy(2, 'bytes=100-199')
    await refused(copy(3, 'bytes=0-9999999999'), 'InvalidRange', 416)
    await refused(copy(3, 'bytes=5-'), 'InvalidArgument', 400)
    const Parts = [one, two].map((part, index) => ({ PartNumber: index + 1, ETag: part.CopyPartResult!.ETag! }))
    await s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }))
    assert.ok((await get(Key)).bytes.equals(Buffer.concat([source, source.subarray(100, 200)])))
    const { UploadId: given } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key }))
    await s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId: given }))
    await refused(s3.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId: given })), 'NoSuchUpload', 404)
  })

  it('groups uploads by a delimiter, over pages', async () => {
    const { s3 } = server
    const bucket = 'uploads'
    await s3.send(new CreateBucketCommand({ Bucket: bucket }))
    for (const Key of ['a/1', 'a/2', 'b', 'c/1'])
      await s3.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key }))
    const seen: (string | undefined)[] = []
    let KeyMarker: string | undefined
    let UploadIdMarker: string | undefined
    while (seen.length < 4) {
      const page = await s3.send(
        new ListMultipartUploadsCommand({ Bucket: bucket, Delimiter: '/', MaxUploads: 1, KeyMarker, UploadIdMarker }),
      )
      seen.push(
        ...(page.Uploads ?? []).map(({ Key }) => Key),
        ...(page.CommonPrefixes ?? []).map(({ Prefix }) => Prefix),
      )
      if (!page.IsTruncated) break
      KeyMarker = page.NextKeyMarker
      UploadIdMarker = page.NextUploadIdMarker
    }
    assert.deepEqual(seen, ['a/', 'b', 'c/'])
  })
})
