import assert from 'node:assert/strict'
import { Readable } from 'node:stream'
import { after, before, describe, it } from 'node:test'
import { GetObjectCommand, HeadObjectCommand, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { type Bench, bytesNamed } from '../support.ts'
import { connect, openClient, read } from './client.ts'

const Bucket = 'master.uploads'
const MIB = 1024 * 1024

describe('the AWS SDK for JavaScript: lib-storage, presigned requests', () => {
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

  it('uploads a stream of unknown length in parts, and a short one in one piece', async () => {
    const body = bytesNamed('upload', 23 * MIB)
    const pieces = function* () {
      for (let at = 0; at < body.length; at += 700_001) yield body.subarray(at, at + 700_001)
    }
    const Body = Readable.from(pieces())
    const seen: number[] = []
    const long = new Upload({ client: s3, params: { Bucket, Key: 'long', Body }, queueSize: 4, partSize: 5 * MIB })
    long.on('httpUploadProgress', ({ loaded = 0 }) => seen.push(loaded))
    const { ETag } = await long.done()
    assert.match(String(ETag), /-5"$/)
    assert.equal(Math.max(...seen), body.length)
    assert.ok((await read(s3, Bucket, 'long')).equals(body))
    await new Upload({ client: s3, params: { Bucket, Key: 'short', Body: Readable.from(['short']) } }).done()
    assert.equal((await read(s3, Bucket, 'short')).toString(), 'short')
  })

  it('shows nothing of an upload that is given up', async () => {
    const Body = bytesNamed('given up', 40 * MIB)
    const upload = new Upload({ client: s3, params: { Bucket, Key: 'never', Body }, partSize: 5 * MIB })
    upload.once('httpUploadProgress', () => void upload.abort())
    await assert.rejects(upload.done(), { name: 'AbortError' })
    await assert.rejects(s3.send(new HeadObjectCommand({ Bucket, Key: 'never' })))
  })

  it('presigns reads and writes, and what is signed can not be changed', async () => {
    const put = new PutObjectCommand({ Bucket, Key: 'by link/ü', ContentType: 'text/x-linked' })
    // By default the SDK signs the checksum of an empty body into the link, because it has no other yet.
    const wrong = await getSignedUrl(s3, put, { expiresIn: 60 })
    assert.match(await (await fetch(wrong, { method: 'PUT', body: 'linked' })).text(), /<Code>BadDigest</)
    const signer = connect(bench, { requestChecksumCalculation: 'WHEN_REQUIRED' })
    const up = await getSignedUrl(signer, put, { expiresIn: 60 })
    signer.destroy()
    assert.equal(
      (await fetch(up, { method: 'PUT', body: 'linked', headers: { 'content-type': 'text/x-linked' } })).status,
      200,
    )
    const down = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key: 'by link/ü' }), { expiresIn: 60 })
    const answer = await fetch(down)
    assert.deepEqual([await answer.text(), answer.headers.get('content-type')], ['linked', 'text/x-linked'])
    for (const changed of [down.replace('link', 'lonk'), down.replace('X-Amz-Expires=60', 'X-Amz-Expires=600')])
      assert.equal((await fetch(changed)).status, 403)
    assert.equal((await fetch(down, { method: 'DELETE' })).status, 403)
  })
})
