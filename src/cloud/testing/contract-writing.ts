import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { StoreRejected } from '../object-store.ts'
import { allKeys, contentOf, md5, type Promised, stream, text } from './contract-kit.ts'

export function writing(promise: Promised): void {
  promise('takes a stream of known size', async (store) => {
    const pieces = Array.from({ length: 40 }, () => randomBytes(100_000))
    const whole = Buffer.concat(pieces)
    const info = await store.put('stream', stream(...pieces), whole.length, { md5: md5(whole) })
    assert.ok(info.md5 === undefined || info.md5 === md5(whole))
    assert.equal(md5(await buffer(await store.get('stream'))), md5(whole))
  })

  promise('keeps the old object when a body is too short, too long or torn', async (store) => {
    await store.put('kept', text('old'), 3)
    const torn = Readable.from(
      (function* () {
        yield text('ne')
        throw new Error('torn')
      })(),
      { objectMode: false },
    )
    await assert.rejects(store.put('kept', stream('ne', 'w'), 4), StoreRejected)
    await assert.rejects(store.put('kept', stream('new', 'er'), 3), StoreRejected)
    await assert.rejects(store.put('kept', text('new'), 4), StoreRejected)
    await assert.rejects(store.put('kept', torn, 3), /torn/)
    assert.equal(await contentOf(store, 'kept'), 'old')
    assert.deepEqual(await allKeys(store), ['kept'])
  })

  promise('keeps the old object when a body is not what its MD5 says', async (store) => {
    await store.put('kept', text('old'), 3)
    const other = { md5: md5(text('other')) }
    await assert.rejects(store.put('kept', text('new'), 3, other), StoreRejected)
    await assert.rejects(store.put('kept', stream('new'), 3, other), StoreRejected)
    assert.equal(await contentOf(store, 'kept'), 'old')
  })

  promise('ends a put that is given up, and keeps the old object', async (store) => {
    await store.put('kept', text('old'), 3)
    const given = new AbortController()
    const endless = Readable.from(
      (async function* () {
        yield text('n')
        given.abort(new Error('given up'))
        await new Promise((resolve) => setTimeout(resolve, 20))
        yield text('ew')
      })(),
      { objectMode: false },
    )
    await assert.rejects(store.put('kept', endless, 100, { signal: given.signal }), /given up/)
    await assert.rejects(store.put('kept', text('new'), 3, { signal: given.signal }), /given up/)
    assert.equal(await contentOf(store, 'kept'), 'old')
  })

  promise('replaces an object whole', async (store) => {
    await store.put('k', text('first'), 5, { metadata: { one: '1' } })
    const reader = await store.get('k')
    await store.put('k', text('second!'), 7, { metadata: { two: '2' } })
    assert.equal(await contentOf(store, 'k'), 'second!')
    assert.deepEqual({ ...(await store.head('k'))?.metadata }, { two: '2' })
    assert.equal(String(await buffer(reader)), 'first')
  })

  promise('copies inside the store, content and description', async (store) => {
    const metadata = { a: 'b', 'content-sha256': 'Grüße' }
    await store.put('to/x', text('before'), 6)
    const put = await store.put('from/ä b+c', text('content'), 7, { contentType: 'text/plain', metadata })
    const info = await store.copy('from/ä b+c', 'to/x')
    const head = await store.head('to/x')
    assert.equal(info.size, 7)
    assert.equal(info.etag, head?.etag)
    assert.ok(head?.md5 === undefined || put.md5 === undefined || head.md5 === put.md5)
    assert.equal(await contentOf(store, 'to/x'), 'content')
    assert.equal(head?.contentType, 'text/plain')
    assert.deepEqual({ ...head?.metadata }, metadata)
    assert.equal(await contentOf(store, 'from/ä b+c'), 'content')
  })

  promise('refuses keys that are empty, too long or not Unicode', async (store) => {
    for (const key of ['', 'x'.repeat(1025), '\ud800']) {
      await assert.rejects(store.put(key, text('x'), 1), StoreRejected)
      await assert.rejects(store.get(key), StoreRejected)
    }
  })
}
