import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  GetObjectAttributesCommand,
  type ObjectAttributes,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { MIB } from '../kernel/index.ts'
import { objectsIn, refused } from './testing/objects.ts'
import { startTestServer, type TestServer } from './testing/server.ts'

const all: ObjectAttributes[] = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize']

describe('the attributes of an object', () => {
  let server: TestServer
  const Bucket = 'master.images'
  const { put, get } = objectsIn(Bucket, () => server)
  const attributes = (Key: string, more = {}) =>
    server.s3.send(new GetObjectAttributesCommand({ Bucket, Key, ObjectAttributes: all, ...more }))
  before(async () => {
    server = await startTestServer()
    await server.s3.send(new CreateBucketCommand({ Bucket }))
  })
  after(() => server.close())

  const upload = async (Key: string, sizes: readonly (readonly [number, number])[], more = {}) => {
    const { UploadId } = await server.s3.send(new CreateMultipartUploadCommand({ Bucket, Key, ...more }))
    const Parts = []
    for (const [PartNumber, size] of sizes) {
      const Body = Buffer.alloc(size, PartNumber)
      const part = await server.s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body, ...more }))
      Parts.push({
        PartNumber,
        ETag: part.ETag,
        ChecksumSHA256: part.ChecksumSHA256,
        ChecksumCRC32: part.ChecksumCRC32,
      })
    }
    const MultipartUpload = { Parts }
    const done = await server.s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload }))
    return { done, Parts }
  }

  it('are those that are asked for, of one in one piece', async () => {
    const { ETag, VersionId } = await put('plain', 'hello', { ChecksumAlgorithm: 'SHA256' })
    const reply = await attributes('plain')
    assert.deepEqual(
      [reply.ETag, reply.ObjectSize, reply.StorageClass, reply.ObjectParts, reply.VersionId, reply.DeleteMarker],
      [ETag?.replaceAll('"', ''), 5, 'STANDARD', undefined, VersionId, undefined],
    )
    assert.equal(reply.Checksum?.ChecksumSHA256, 'LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=')
    assert.equal(reply.Checksum?.ChecksumType, 'FULL_OBJECT')
    assert.deepEqual(reply.LastModified, (await get('plain')).LastModified)
    const some = await attributes('plain', { ObjectAttributes: ['ObjectSize'] })
    assert.deepEqual([some.ObjectSize, some.ETag, some.Checksum], [5, undefined, undefined])
  })

  it('have the parts of a multipart object, page by page, numbered as GET counts them', async () => {
    const sizes = [
      [2, 5 * MIB],
      [5, 5 * MIB],
      [9, 100],
    ] as const
    const { done, Parts } = await upload('parts', sizes, { ChecksumAlgorithm: 'SHA256' })
    const reply = await attributes('parts')
    assert.deepEqual([reply.Checksum?.ChecksumSHA256, reply.Checksum?.ChecksumType], [done.ChecksumSHA256, 'COMPOSITE'])
    assert.match(done.ChecksumSHA256 ?? '', /-3$/)
    assert.equal(reply.ObjectParts?.TotalPartsCount, 3)
    assert.equal(reply.ObjectParts?.IsTruncated, false)
    assert.deepEqual(
      reply.ObjectParts?.Parts?.map((part) => [part.PartNumber, part.Size, part.ChecksumSHA256]),
      Parts.map((part, index) => [index + 1, sizes[index]?.[1], part.ChecksumSHA256]),
    )
    const page = await attributes('parts', { MaxParts: 1, PartNumberMarker: '1' })
    const { IsTruncated, PartNumberMarker, NextPartNumberMarker, MaxParts, Parts: shown } = page.ObjectParts ?? {}
    assert.deepEqual([IsTruncated, PartNumberMarker, NextPartNumberMarker, MaxParts], [true, '1', '2', 1])
    assert.deepEqual(
      shown?.map(({ PartNumber }) => PartNumber),
      [2],
    )
    assert.deepEqual((await attributes('parts', { PartNumberMarker: '7' })).ObjectParts?.Parts ?? [], [])
    // The checksum of a part is its own.
    const part = await get('parts', { PartNumber: 2, ChecksumMode: 'ENABLED' })
    assert.deepEqual([part.ChecksumSHA256, part.ChecksumType], [Parts[1]?.ChecksumSHA256, 'COMPOSITE'])
    assert.equal((await get('parts', { Range: 'bytes=0-4', ChecksumMode: 'ENABLED' })).ChecksumSHA256, undefined)
  })

  it('say FULL_OBJECT of a checksum over the whole', async () => {
    const { done } = await upload(
      'whole',
      [
        [1, 5 * MIB],
        [2, 1],
      ],
      { ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' },
    )
    const { Checksum } = await attributes('whole')
    assert.deepEqual([Checksum?.ChecksumCRC32, Checksum?.ChecksumType], [done.ChecksumCRC32, 'FULL_OBJECT'])
  })

  it('are refused if none or others are asked for, and of nothing', async () => {
    await put('odd')
    const ask = (headers: Record<string, string>) => server.send('GET', `/${Bucket}/odd?attributes=`, { headers })
    for (const headers of [{}, { 'x-amz-object-attributes': '' }, { 'x-amz-object-attributes': 'ETag,Colour' }]) {
      const reply = await ask(headers)
      assert.equal(reply.status, 400)
      assert.match(await reply.text(), /<Code>InvalidArgument</)
    }
    assert.equal((await ask({ 'x-amz-object-attributes': 'ETag', 'x-amz-max-parts': 'x' })).status, 400)
    await refused(attributes('nothing'), 'NoSuchKey', 404)
  })
})
