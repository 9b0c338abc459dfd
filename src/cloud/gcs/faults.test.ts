import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { after, afterEach, before, describe, it } from 'node:test'
import { KIB, MIB, MIN_PART_BYTES } from '../../kernel/index.ts'
import { ObjectNotFound, type ObjectStore, StoreRejected, StoreUnreachable } from '../object-store.ts'
import { openTestGcs } from '../testing/gcs-open.ts'
import { type GcsServer, startGcsServer } from '../testing/gcs-server.ts'

let server: GcsServer
let store: ObjectStore
before(async () => {
  server = await startGcsServer()
  server.makeBucket('bucket')
  store = openTestGcs(server)
})
afterEach(async () => {
  const { objects } = await store.list()
  await store.delete(objects.map(({ key }) => key))
})
after(async () => {
  await store.close()
  await server.close()
})

const SIZE = 2 * MIN_PART_BYTES + 300 * KIB + 7
const whole = randomBytes(SIZE)
const bodies = [0, 1, 2].map((index) => whole.subarray(index * MIN_PART_BYTES, (index + 1) * MIN_PART_BYTES))
const options = { size: SIZE, partBytes: MIN_PART_BYTES }
const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')

const isGone = (error: unknown) => error instanceof ObjectNotFound && error.data['what'] === 'upload'

async function putAll(key: string) {
  const upload = await store.createUpload(key, options)
  const parts = []
  for (const [index, body] of bodies.entries()) parts.push(await upload.putPart(index + 1, body))
  return { upload, parts }
}

/** Bytes of the chunks that came since there were so many requests. */
function chunkBytes(since: number): number {
  return server.requests
    .slice(since)
    .filter(({ operation }) => operation === 'chunk')
    .reduce((bytes, request) => bytes + request.bytes, 0)
}

async function contentIs(key: string, expected: Buffer): Promise<void> {
  assert.equal(md5(await buffer(await store.get(key))), md5(expected))
}

describe('an upload to Google Cloud Storage', () => {
  it('goes on where the service says that it is when a connection is cut in the middle of a part', async () => {
    const since = server.requests.length
    server.misbehave('chunk', { kind: 'cut', afterBytes: MIB + 100 })
    const { upload, parts } = await putAll('cut')
    await upload.complete(parts)
    await contentIs('cut', whole)
    // What arrived was not sent again, but for what is less than a grain.
    assert.equal(chunkBytes(since), SIZE + 100)
  })

  it('comes to its end over a connection that is cut more often than anything is tried, as long as it gets on', async () => {
    server.misbehave('chunk', { kind: 'cut', afterBytes: 512 * KIB }, 7)
    const { upload, parts } = await putAll('cut')
    await upload.complete(parts)
    await contentIs('cut', whole)
  })

  it('gives up where nothing gets on, and can be gone on with', async () => {
    const upload = await store.createUpload('k', options)
    // Some of it arrives and nobody can be asked how much.
    server.misbehave('chunk', { kind: 'cut', afterBytes: MIB })
    server.misbehave('status', { kind: 'answer', status: 500 }, 2)
    await assert.rejects(upload.putPart(1, bodies[0]!), StoreUnreachable)
    server.misbehave('chunk', { kind: 'cut', afterBytes: 100 }, 3)
    await assert.rejects(upload.putPart(1, bodies[0]!), StoreUnreachable)
    const parts = []
    for (const [index, body] of bodies.entries()) parts.push(await upload.putPart(index + 1, body))
    await upload.complete(parts)
    await contentIs('k', whole)
  })

  it('tries again what fails with 5xx or 429', async () => {
    server.misbehave('chunk', { kind: 'answer', status: 503, reason: 'backendError' }, 2)
    server.misbehave('begin', { kind: 'answer', status: 429, reason: 'rateLimitExceeded' })
    const { upload, parts } = await putAll('k')
    await upload.complete(parts)
    await contentIs('k', whole)
  })

  it('sends only the rest of a part that was cut off by a crash', async () => {
    const begun = await store.createUpload('k', options)
    const first = await begun.putPart(1, bodies[0]!)
    server.misbehave('chunk', { kind: 'cut', afterBytes: 3 * MIB })
    server.misbehave('status', { kind: 'answer', status: 500 }, 2)
    await assert.rejects(begun.putPart(2, bodies[1]!), StoreUnreachable)
    const since = server.requests.length
    const resumed = await store.resumeUpload('k', begun.uploadId)
    assert.deepEqual(await resumed.listParts(), [first])
    const parts = [first, await resumed.putPart(2, bodies[1]!), await resumed.putPart(3, bodies[2]!)]
    await resumed.complete(parts)
    assert.equal(chunkBytes(since), SIZE - MIN_PART_BYTES - 3 * MIB)
    await contentIs('k', whole)
  })

  it('is whole when only the answer to its last bytes was lost', async () => {
    const { upload, parts } = await putAll('lost')
    server.misbehave('chunk', { kind: 'lost' })
    const info = await upload.complete(parts)
    assert.equal((await store.head('lost'))?.etag, info.etag)
    await contentIs('lost', whole)
  })

  it('can be completed again after a crash between its last bytes and what comes then', async () => {
    const { upload, parts } = await putAll('crash')
    const info = await upload.complete(parts)
    const resumed = await store.resumeUpload('crash', upload.uploadId)
    assert.deepEqual(await resumed.listParts(), parts)
    assert.deepEqual(await resumed.complete(parts), info)
  })

  it('says that it is gone when the service forgot it', async () => {
    for (const status of [404, 410]) {
      const upload = await store.createUpload('k', options)
      server.misbehave('chunk', { kind: 'answer', status })
      await assert.rejects(upload.putPart(1, bodies[0]!), isGone)
      server.misbehave('status', { kind: 'answer', status })
      await assert.rejects(store.resumeUpload('k', upload.uploadId), isGone)
    }
  })

  it('sends the CRC-32C of the whole with the last bytes, so that nothing else is published', async () => {
    const since = server.requests.length
    const { upload, parts } = await putAll('k')
    const info = await upload.complete(parts)
    const hashes = server.requests.slice(since).map(({ headers }) => headers['x-goog-hash'])
    assert.equal(hashes.at(-1), `crc32c=${Buffer.from(info.crc32c!, 'hex').toString('base64')}`)
    assert.deepEqual(
      hashes.slice(0, -1).filter((hash) => hash !== undefined),
      [],
    )
  })

  it('removes what is another than was sent, and says so', async () => {
    const { upload, parts } = await putAll('k')
    server.misbehave('chunk', { kind: 'wrongChecksum' })
    await assert.rejects(upload.complete(parts), {
      code: 'StoreUnreachable',
      message: 'the store received other bytes than were sent; the object was removed',
    })
    assert.equal(await store.head('k'), undefined)
    await assert.rejects(store.resumeUpload('k', upload.uploadId), isGone)
  })

  it('is not taken for done when what it made was replaced since', async () => {
    const { upload, parts } = await putAll('k')
    await upload.complete(parts)
    await store.put('k', Buffer.from('newer'), 5)
    await assert.rejects(store.resumeUpload('k', upload.uploadId), isGone)
    await contentIs('k', Buffer.from('newer'))
  })

  it('is compared with its MD5 where it was gone on with, and not published if it is another', async () => {
    const begun = await store.createUpload('k', { ...options, md5: md5(whole) })
    const first = await begun.putPart(1, bodies[0]!)
    const resumed = await store.resumeUpload('k', begun.uploadId)
    const parts = [first, await resumed.putPart(2, bodies[0]!), await resumed.putPart(3, bodies[2]!)]
    await assert.rejects(resumed.complete(parts), StoreRejected)
    assert.equal(await store.head('k'), undefined)
    // It would be refused for ever: whoever goes on begins anew.
    await assert.rejects(store.resumeUpload('k', begun.uploadId), isGone)
  })

  it('takes parts in their order and of their size only', async () => {
    await assert.rejects(store.createUpload('k', { size: 10, partBytes: 1000 }), StoreRejected)
    const upload = await store.createUpload('k', options)
    await assert.rejects(upload.putPart(3, bodies[2]!), /part 1 is next/)
    await assert.rejects(upload.putPart(1, bodies[2]!), /has 5242880 bytes, not/)
    await assert.rejects(upload.putPart(4, bodies[2]!), /has no part 4/)
    await upload.abort()
  })

  it('makes an empty object of an empty part, when it is completed', async () => {
    const upload = await store.createUpload('empty', { ...options, size: 0 })
    const part = await upload.putPart(1, Buffer.alloc(0))
    assert.equal(await store.head('empty'), undefined)
    const resumed = await store.resumeUpload('empty', upload.uploadId)
    assert.deepEqual(await resumed.listParts(), [])
    assert.equal((await upload.complete([part])).size, 0)
    assert.equal((await store.head('empty'))?.size, 0)
  })

  it('leads nowhere else, and is named in no message', async () => {
    const upload = await store.createUpload('k', options)
    assert.doesNotMatch(upload.uploadId, /https?:|127\.0\.0\.1/)
    const sessionId = upload.uploadId.split(':').at(-1)!
    server.misbehave('chunk', { kind: 'answer', status: 400, message: `no: /o?upload_id=${sessionId}&x=1` })
    await assert.rejects(upload.putPart(1, bodies[0]!), (error) => {
      assert.match(String(error), /upload_id=…&x=1/)
      return !String(error).includes(sessionId)
    })
  })
})

describe('a put to Google Cloud Storage', () => {
  it('is tried again when its answer was lost, but for one with a condition', async () => {
    server.misbehave('insert', { kind: 'lost' }, 2)
    await store.put('k', Buffer.from('one'), 3)
    const since = server.requests.length
    server.misbehave('insert', { kind: 'lost' })
    await assert.rejects(store.put('once', Buffer.from('one'), 3, { only: 'absent' }), StoreUnreachable)
    assert.equal(server.requests.length - since, 1)
    assert.equal((await store.head('once'))?.size, 3)
  })

  it('removes what is another than was sent, and tries again', async () => {
    server.misbehave('insert', { kind: 'wrongChecksum' })
    const info = await store.put('k', Buffer.from('one'), 3)
    assert.equal(info.md5, md5(Buffer.from('one')))
    server.misbehave('insert', { kind: 'wrongChecksum' })
    const stream = Readable.from([Buffer.from('two')], { objectMode: false })
    await assert.rejects(store.put('s', stream, 3), /received other bytes than were sent; the object was removed/)
    assert.equal(await store.head('s'), undefined)
  })

  it('can be given up while the service takes its time', async () => {
    server.misbehave('insert', { kind: 'late', ms: 600_000 })
    const given = new AbortController()
    const putting = store.put('k', Buffer.from('one'), 3, { signal: given.signal })
    setTimeout(() => given.abort(new Error('given up')), 20)
    await assert.rejects(putting, /given up/)
  })

  it('leaves an object that came after what it has to remove', async () => {
    server.misbehave('insert', { kind: 'wrongChecksum' })
    server.misbehave('delete', { kind: 'answer', status: 412, reason: 'conditionNotMet' })
    const stream = Readable.from([Buffer.from('two')], { objectMode: false })
    await assert.rejects(store.put('s', stream, 3), /the object could not be removed/)
    const removal = server.requests.at(-1)
    assert.equal(removal?.operation, 'delete')
    assert.match(removal?.url ?? '', /ifGenerationMatch=\d+$/)
  })
})

describe('what else is done at Google Cloud Storage', () => {
  it('goes past empty pages of a listing', async () => {
    for (const key of ['a', 'b', 'c']) await store.put(key, Buffer.from(key), 1)
    server.misbehave('list', { kind: 'emptyPage' }, 2)
    const page = await store.list({ limit: 2 })
    assert.deepEqual(
      page.objects.map(({ key }) => key),
      ['a', 'b'],
    )
    assert.equal(page.next, 'b')
  })

  it('copies large objects in as many calls as it takes', async () => {
    await store.put('from', whole, SIZE, { metadata: { a: 'ü' } })
    const since = server.requests.length
    const info = await store.copy('from', 'to')
    assert.equal(server.requests.length - since, 2)
    assert.equal(info.md5, md5(whole))
    assert.deepEqual({ ...info.metadata }, { a: 'ü' })
    await contentIs('to', whole)
  })

  it('tells a download that is cut off from one that is whole', async () => {
    await store.put('k', whole, SIZE)
    server.misbehave('media', { kind: 'tornAnswer' })
    await assert.rejects(
      store.get('k').then((body) => buffer(body)),
      StoreUnreachable,
    )
  })

  it('says of which key a delete was refused, and deletes the others', async () => {
    for (const key of ['a', 'b', 'c']) await store.put(key, Buffer.from(key), 1)
    server.misbehave('delete', { kind: 'answer', status: 403, reason: 'retentionPolicyNotMet', message: 'too young' })
    const failures = await store.delete(['a', 'b', 'c'])
    assert.equal(failures.length, 1)
    assert.ok(failures[0]!.error instanceof StoreRejected)
    assert.match(failures[0]!.error.message, /retention policy/)
    assert.deepEqual(
      (await store.list()).objects.map(({ key }) => key),
      [failures[0]!.key],
    )
  })
})
