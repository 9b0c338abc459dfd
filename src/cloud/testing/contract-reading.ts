import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { MIB } from '../../kernel/index.ts'
import { ObjectNotFound, StoreRejected } from '../object-store.ts'
import { contentOf, md5, type Promised, text } from './contract-kit.ts'

export function reading(promise: Promised): void {
  promise('gives back what was put, with its description', async (store) => {
    const bytes = randomBytes(300_000)
    const metadata = {
      commit: 'abc@def',
      'content-sha256': 'f00',
      odd: 'Grüße, 日本',
      equals: 'a=?b',
      spaced: ' both ends ',
    }
    const put = await store.put('folder/file.bin', bytes, bytes.length, { contentType: 'image/png', metadata })
    const head = await store.head('folder/file.bin')
    assert.deepEqual(await buffer(await store.get('folder/file.bin')), bytes)
    assert.equal(put.size, bytes.length)
    assert.equal(head?.etag, put.etag)
    assert.equal(head?.size, bytes.length)
    assert.equal(head?.contentType, 'image/png')
    assert.deepEqual({ ...head?.metadata }, metadata)
    assert.ok((head?.modifiedMs ?? 0) > 0)
  })

  promise('says a checksum of the whole content of an object put at once', async (store) => {
    const bytes = text('123456789')
    const put = await store.put('check', bytes, bytes.length)
    const head = await store.head('check')
    assert.ok(head?.md5 ?? head?.crc32c, 'neither an MD5 nor a CRC32C')
    for (const info of [put, head]) {
      assert.ok(info?.md5 === undefined || info.md5 === md5(bytes))
      // The value that all catalogues of CRCs give for this text.
      assert.ok(info?.crc32c === undefined || info.crc32c === 'e3069283')
    }
  })

  promise('gives an object another ETag when its content changes', async (store) => {
    const first = await store.put('k', text('one'), 3)
    const second = await store.put('k', text('two'), 3)
    assert.notEqual(first.etag, '')
    assert.notEqual(first.etag, second.etag)
    assert.doesNotMatch(second.etag, /"/)
  })

  promise('says that nothing is there where nothing is', async (store) => {
    assert.equal(await store.head('missing'), undefined)
    await assert.rejects(store.get('missing'), ObjectNotFound)
    assert.deepEqual(await store.delete(['missing', 'missing/too']), [])
    await assert.rejects(store.copy('missing', 'to'), ObjectNotFound)
  })

  promise('gives ranges, cut at the end, and refuses those that hold nothing', async (store) => {
    const bytes = randomBytes(1000)
    await store.put('r', bytes, bytes.length)
    assert.deepEqual(await buffer(await store.get('r', { start: 10, end: 20 })), bytes.subarray(10, 20))
    assert.deepEqual(await buffer(await store.get('r', { start: 990, end: 5000 })), bytes.subarray(990))
    await assert.rejects(store.get('r', { start: 1000, end: 1001 }), StoreRejected)
    await assert.rejects(store.get('r', { start: 5, end: 5 }), StoreRejected)
  })

  promise('gives a range from the middle of a large object', async (store) => {
    const bytes = randomBytes(12 * MIB)
    await store.put('large', bytes, bytes.length)
    const range = { start: 4 * MIB - 7, end: 9 * MIB + 11 }
    assert.equal(md5(await buffer(await store.get('large', range))), md5(bytes.subarray(range.start, range.end)))
  })

  promise('goes on when a reader leaves in the middle', async (store) => {
    const bytes = randomBytes(6 * MIB)
    await store.put('left', bytes, bytes.length)
    for (let reader = 0; reader < 3; reader++) {
      const body = await store.get('left')
      await once(body, 'data')
      body.destroy()
    }
    assert.equal(md5(await buffer(await store.get('left'))), md5(bytes))
  })

  promise('holds an object of no bytes', async (store) => {
    await store.put('empty', Buffer.alloc(0), 0)
    await store.put('empty-stream', Readable.from([], { objectMode: false }), 0)
    assert.equal((await store.head('empty'))?.size, 0)
    assert.equal(await contentOf(store, 'empty'), '')
    assert.equal(await contentOf(store, 'empty-stream'), '')
  })
}
