import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { MIB, MIN_PART_BYTES } from '../../kernel/index.ts'
import { ObjectNotFound, StoreRejected, type UploadedPart } from '../object-store.ts'
import { contentOf, fullPart, md5, ofParts, type Promised, putMissing, text } from './contract-kit.ts'

export function uploading(promise: Promised): void {
  promise('makes one object of parts, in whatever order the store takes them', async (store) => {
    const bodies = [fullPart('a'), fullPart('b'), randomBytes(MIB)]
    const upload = await store.createUpload('parts', {
      ...ofParts(11 * MIB),
      contentType: 'text/x',
      metadata: { a: 'ü' },
    })
    const parts: UploadedPart[] = []
    for (const number of upload.sequential ? [1, 2, 3] : [2, 1, 3]) {
      const body = bodies[number - 1]!
      const part = await upload.putPart(number, body)
      assert.deepEqual([part.number, part.size], [number, body.length])
      parts[number - 1] = part
    }
    assert.equal(await store.head('parts'), undefined)
    const info = await upload.complete(parts)
    assert.equal(info.size, 11 * MIB)
    assert.equal(md5(await buffer(await store.get('parts'))), md5(Buffer.concat(bodies)))
    const head = await store.head('parts')
    assert.equal(head?.contentType, 'text/x')
    assert.deepEqual({ ...head?.metadata }, { a: 'ü' })
    assert.equal(head?.etag, info.etag)
    assert.ok(head?.md5 === undefined || head.md5 === md5(Buffer.concat(bodies)))
  })

  promise('takes parts at once, or says that it does not', async (store) => {
    const bodies = [fullPart('a'), fullPart('b'), text('end')]
    const upload = await store.createUpload('at-once', ofParts(2 * MIN_PART_BYTES + 3))
    if (upload.sequential) {
      await assert.rejects(upload.putPart(2, bodies[1]!), StoreRejected)
      await upload.abort()
      return
    }
    const parts = await Promise.all(bodies.map((body, index) => upload.putPart(index + 1, body)))
    await upload.complete(parts)
    assert.equal(md5(await buffer(await store.get('at-once'))), md5(Buffer.concat(bodies)))
  })

  promise('goes on with an upload that was begun before', async (store) => {
    const begun = await store.createUpload('resumed', ofParts(MIN_PART_BYTES + 3))
    // What comes again replaces what came before, except where parts are one stream.
    if (!begun.sequential) await begun.putPart(1, fullPart('x'))
    const first = await begun.putPart(1, fullPart('a'))
    const resumed = await store.resumeUpload('resumed', begun.uploadId)
    assert.deepEqual(await resumed.listParts(), [first])
    const parts = await putMissing(resumed, [fullPart('a'), text('end')])
    await resumed.complete(parts)
    assert.equal(md5(await buffer(await store.get('resumed'))), md5(Buffer.concat([fullPart('a'), text('end')])))
  })

  promise('goes on with a part that was given up in the middle', async (store) => {
    const upload = await store.createUpload('again', ofParts(MIN_PART_BYTES + 3))
    const given = new AbortController()
    const putting = upload.putPart(1, fullPart('a'), given.signal)
    given.abort(new Error('given up'))
    await assert.rejects(putting, /given up/)
    const resumed = await store.resumeUpload('again', upload.uploadId)
    await resumed.complete(await putMissing(resumed, [fullPart('a'), text('end')]))
    assert.equal(md5(await buffer(await store.get('again'))), md5(Buffer.concat([fullPart('a'), text('end')])))
  })

  promise('replaces an object by an upload, at its end', async (store) => {
    await store.put('over', text('old'), 3, { metadata: { old: '1' } })
    const upload = await store.createUpload('over', ofParts(3))
    const part = await upload.putPart(1, text('new'))
    assert.equal(await contentOf(store, 'over'), 'old')
    await upload.complete([part])
    assert.equal(await contentOf(store, 'over'), 'new')
    assert.deepEqual({ ...(await store.head('over'))?.metadata }, {})
  })

  promise('refuses an upload that is not what its MD5 says, if it can tell', async (store) => {
    const upload = await store.createUpload('torn', { ...ofParts(3), md5: md5(text('old')) })
    const part = await upload.putPart(1, text('new'))
    const outcome = await upload.complete([part]).then(
      (info) => ({ info }),
      (error: unknown) => ({ error }),
    )
    if ('error' in outcome) {
      assert.ok(outcome.error instanceof StoreRejected, String(outcome.error))
      assert.equal(await store.head('torn'), undefined)
    } else {
      assert.equal(outcome.info.md5, undefined)
    }
  })

  promise('takes an upload that is what its MD5 says', async (store) => {
    const bodies = [fullPart('a'), text('end')]
    const whole = Buffer.concat(bodies)
    const upload = await store.createUpload('whole', { ...ofParts(whole.length), md5: md5(whole) })
    const info = await upload.complete(await putMissing(upload, bodies))
    assert.ok(info.md5 === undefined || info.md5 === md5(whole))
    assert.equal(md5(await buffer(await store.get('whole'))), md5(whole))
  })

  promise('refuses an upload with parts that were not put', async (store) => {
    const upload = await store.createUpload('broken', ofParts(1))
    const first = await upload.putPart(1, text('a'))
    const wrong: UploadedPart = { ...first, number: 2 }
    await assert.rejects(upload.complete([first, wrong]), StoreRejected)
    await assert.rejects(upload.complete([]), StoreRejected)
    assert.equal(await store.head('broken'), undefined)
    await upload.abort()
  })

  promise('forgets an upload that is given up', async (store) => {
    const upload = await store.createUpload('gone', ofParts(1))
    await upload.putPart(1, text('a'))
    await upload.abort()
    await upload.abort()
    await assert.rejects(store.resumeUpload('gone', upload.uploadId), isGone)
    await assert.rejects(store.resumeUpload('gone', '../../etc'), isGone)
    assert.equal(await store.head('gone'), undefined)
  })

  promise('completes no upload that was given up', async (store) => {
    const upload = await store.createUpload('gone', ofParts(1))
    const part = await upload.putPart(1, text('a'))
    await upload.abort()
    await assert.rejects(upload.complete([part]), isGone)
    assert.equal(await store.head('gone'), undefined)
  })

  promise('knows no upload of another key', async (store) => {
    const upload = await store.createUpload('mine', ofParts(1))
    await assert.rejects(store.resumeUpload('other', upload.uploadId), isGone)
    await upload.abort()
  })
}

/** By `what`, a caller tells an upload that has to begin anew from a bucket that is missing. */
function isGone(error: unknown): boolean {
  assert.ok(error instanceof ObjectNotFound, String(error))
  assert.equal(error.data['what'], 'upload')
  return true
}
