import assert from 'node:assert/strict'
import { after, afterEach, describe, it } from 'node:test'
import { systemClock } from '../../kernel/index.ts'
import { ObjectNotFound, type ObjectStore, StorePreconditionFailed, StoreRejected } from '../object-store.ts'
import { createTargetGuard } from '../target-guard.ts'
import { testAccount } from '../testing/azure-account.ts'
import { startAzureServer } from '../testing/azure-server.ts'
import { contentOf, fullPart, md5, ofParts, putMissing, text } from '../testing/contract-kit.ts'
import { openAzureStore } from './azure-store.ts'

const server = await startAzureServer({ pendingCopies: 2 })
const stores: ObjectStore[] = []
afterEach(async () => {
  server.fault = undefined
  for (const store of stores.splice(0)) await store.close()
})
after(() => server.close())

/** As a process does that knows nothing of what was before. */
function open(): ObjectStore {
  const store = openAzureStore({
    target: server.target(),
    credentials: testAccount,
    guard: createTargetGuard({ allowTargets: ['127.0.0.1:*'] }),
    clock: systemClock,
    random: Math.random,
    retry: { attempts: 3, firstDelayMs: 1, maxDelayMs: 2 },
  })
  stores.push(store)
  return store
}

const lostOnce = (wanted: RegExp) => {
  let left = 1
  server.fault = (request) => (wanted.test(request) && left-- > 0 ? 'lost' : undefined)
}
const isNoUpload = (error: unknown) => error instanceof ObjectNotFound && error.data['what'] === 'upload'

describe("the Azure driver's uploads", () => {
  it('keep what is said at the start to the end, in another process', async () => {
    const options = { ...ofParts(3), contentType: 'text/x', metadata: { 'sluice-commit': 'ü' } }
    const { uploadId } = await open().createUpload('kept', options)
    const resumed = await open().resumeUpload('kept', uploadId)
    const info = await resumed.complete(await putMissing(resumed, [text('new')]))
    assert.equal(info.contentType, 'text/x')
    assert.deepEqual(info.metadata, { 'sluice-commit': 'ü' })
  })

  it('know that they were completed when only the answer was lost', async () => {
    for (const only of [undefined, 'absent'] as const) {
      const store = open()
      const upload = await store.createUpload(`lost-${only}`, { ...ofParts(3), ...(only ? { only } : {}) })
      const part = await upload.putPart(1, text('new'))
      lostOnce(/^PUT .*blocklist/)
      assert.equal((await upload.complete([part])).size, 3)
      assert.equal((await upload.complete([part])).size, 3)
    }
  })

  it('send nothing again when they were completed before a crash', async () => {
    const upload = await open().createUpload('done', ofParts(3))
    const part = await upload.putPart(1, text('new'))
    const { etag } = await upload.complete([part])
    const resumed = await open().resumeUpload('done', upload.uploadId)
    assert.deepEqual(await resumed.listParts(), [part])
    const before = server.requests.length
    assert.equal((await resumed.complete([part])).etag, etag)
    assert.ok(!server.requests.slice(before).some((request) => request.startsWith('PUT')))
  })

  it('are gone when somebody else wrote the object meanwhile', async () => {
    const store = open()
    const upload = await store.createUpload('theirs', ofParts(3))
    const part = await upload.putPart(1, text('new'))
    await store.put('theirs', text('other'), 5)
    await assert.rejects(upload.complete([part]), isNoUpload)
    await assert.rejects(open().resumeUpload('theirs', upload.uploadId), isNoUpload)
    assert.equal(await contentOf(store, 'theirs'), 'other')
  })

  it('tell a condition that somebody else broke from an upload that is gone', async () => {
    const store = open()
    const upload = await store.createUpload('once', { ...ofParts(3), only: 'absent' })
    const part = await upload.putPart(1, text('new'))
    await store.put('once', text('other'), 5)
    await assert.rejects(upload.complete([part]), StorePreconditionFailed)
    const resumed = await open().resumeUpload('once', upload.uploadId)
    await assert.rejects(resumed.complete(await putMissing(resumed, [text('new')])), StorePreconditionFailed)
  })

  it('leave nothing but a byte of each part behind when they are given up', async () => {
    const store = open()
    const upload = await store.createUpload('left', ofParts(2))
    for (const number of [1, 2, 3]) await upload.putPart(number, fullPart('x'))
    const other = await store.createUpload('left', ofParts(2))
    const theirs = await other.putPart(1, text('theirs'))
    await upload.abort()
    assert.deepEqual(
      server.blobs.waiting('left').map(({ size }) => size),
      [2, 1, 1, 1, 1, 6],
    )
    assert.equal(await store.head('left'), undefined)
    await other.complete([theirs])
    assert.equal(await contentOf(store, 'left'), 'theirs')
    await upload.abort()
  })

  it('say no MD5 of the whole, which nobody compared with what arrived', async () => {
    const store = open()
    const upload = await store.createUpload('unseen', { ...ofParts(3), md5: md5(text('old')) })
    assert.equal((await upload.complete([await upload.putPart(1, text('new'))])).md5, undefined)
  })

  it('refuse a part that is not what was sent', async () => {
    const upload = await open().createUpload('part', ofParts(3))
    const body = text('new')
    const putting = upload.putPart(1, body)
    // As a line does that turns bits: the MD5 is the one of what was handed over.
    server.changeBodies = (bytes) => Buffer.from(bytes).fill('x')
    await assert.rejects(putting, { code: 'StoreRejected', message: /Md5Mismatch/ })
    server.changeBodies = undefined
    assert.deepEqual(await upload.listParts(), [])
  })

  it('refuse parts that are not the ones that were put', async () => {
    const store = open()
    const upload = await store.createUpload('parts', ofParts(3))
    const one = await upload.putPart(1, text('one'))
    const two = await upload.putPart(2, text('two'))
    await assert.rejects(upload.complete([two, one]), StoreRejected)
    await assert.rejects(upload.complete([{ ...one, size: 4 }]), StoreRejected)
    await assert.rejects(upload.complete([{ ...one, etag: two.etag }]), StoreRejected)
    await assert.rejects(upload.putPart(0, text('x')), StoreRejected)
    await assert.rejects(upload.putPart(3, Buffer.alloc(0)), StoreRejected)
    assert.equal((await upload.complete([one])).size, 3)
  })

  it('say what to do when another program left an upload at the name', async () => {
    server.blobs.stage('taken', Buffer.from('short').toString('base64'), text('x'))
    await assert.rejects(open().createUpload('taken', ofParts(3)), {
      code: 'StoreRejected',
      message: /another program left an unfinished upload/,
    })
  })

  it('take no id that is not theirs', async () => {
    const store = open()
    const { uploadId } = await store.createUpload('mine', ofParts(3))
    const ids = ['', 'x', '../../etc', Buffer.from('[1]').toString('base64url'), Buffer.from('{').toString('base64url')]
    for (const id of [...ids, `${uploadId}x`.repeat(100_000)])
      await assert.rejects(store.resumeUpload('mine', id), isNoUpload)
    await assert.rejects(store.resumeUpload('other', uploadId), isNoUpload)
    // Nor one whose condition the other object breaks.
    const once = await store.createUpload('mine', { ...ofParts(3), only: 'absent' })
    await store.put('other', text('other'), 5)
    await assert.rejects(store.resumeUpload('other', once.uploadId), isNoUpload)
  })
})

describe("the Azure driver's copies", () => {
  it('wait for one that the service has only begun', async () => {
    const store = open()
    await store.put('from', text('content'), 7, { metadata: { a: 'b' } })
    const info = await store.copy('from', 'to')
    assert.equal(info.size, 7)
    assert.deepEqual(info.metadata, { a: 'b' })
    assert.equal(await contentOf(store, 'to'), 'content')
  })
})
