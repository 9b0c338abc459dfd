import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { describe, it } from 'node:test'
import { MIB, MIN_PART_BYTES } from '../kernel/index.ts'
import {
  ObjectNotFound,
  type ObjectStore,
  StorePreconditionFailed,
  StoreRejected,
  type UploadedPart,
} from './object-store.ts'

/**
 * What every driver promises, run against each. `open` gives an empty store, the same one each time; `skip` names promises that
 * the store behind a driver can't keep, each with the reason.
 */
export function objectStoreContract(
  name: string,
  open: () => Promise<ObjectStore>,
  skip: Readonly<Record<string, string>> = {},
): void {
  const promise = (title: string, check: (store: ObjectStore) => Promise<void>) => {
    it(title, { skip: skip[title] ?? false }, async () => {
      const store = await open()
      try {
        await check(store)
      } finally {
        await removeAll(store)
        await store.close()
      }
    })
  }
  describe(`${name} keeps the contract of object stores`, () => {
    reading(promise)
    writing(promise)
    listing(promise)
    uploading(promise)
  })
}

type Promised = (title: string, check: (store: ObjectStore) => Promise<void>) => void

/** Names that file systems, URLs, XML or a careless driver make trouble with. */
const oddKeys = [
  'plain.txt',
  'Plain.TXT',
  'a',
  'a/b',
  'a/b/c',
  'with space/and+plus',
  'per%41cent/%2e%2e/%',
  'quotes"\'<&>;`$',
  'äöü/日本語/🎈',
  'tab\there',
  '.hidden',
  'trailing.',
  'question?query#hash',
  'colon:pipe|star*',
  `long/${'x'.repeat(400)}`,
  `${'ü'.repeat(200)}/${'é'.repeat(200)}`,
]

const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')
const text = (value: string) => Buffer.from(value)

async function removeAll(store: ObjectStore): Promise<void> {
  for (;;) {
    const { objects } = await store.list()
    if (objects.length === 0) return
    assert.deepEqual(await store.delete(objects.map(({ key }) => key)), [])
  }
}

async function allKeys(store: ObjectStore, options: { prefix?: string; limit?: number } = {}): Promise<string[]> {
  const keys: string[] = []
  for (let after: string | undefined; ; ) {
    const page = await store.list({ ...options, ...(after === undefined ? {} : { after }) })
    keys.push(...page.objects.map(({ key }) => key))
    if (page.next === undefined) return keys
    assert.ok(after === undefined || Buffer.compare(Buffer.from(after), Buffer.from(page.next)) < 0)
    after = page.next
  }
}

function inByteOrder(keys: readonly string[]): string[] {
  return [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

function reading(promise: Promised): void {
  promise('gives back what was put, with its description', async (store) => {
    const bytes = randomBytes(300_000)
    const metadata = { commit: 'abc@def', odd: 'Grüße, 日本', equals: 'a=?b', spaced: ' both ends ' }
    const put = await store.put('folder/file.bin', bytes, bytes.length, { contentType: 'image/png', metadata })
    const head = await store.head('folder/file.bin')
    assert.deepEqual(await buffer(await store.get('folder/file.bin')), bytes)
    assert.equal(put.etag, md5(bytes))
    assert.equal(head?.etag, put.etag)
    assert.equal(head?.size, bytes.length)
    assert.equal(head?.contentType, 'image/png')
    assert.deepEqual({ ...head?.metadata }, metadata)
    assert.ok((head?.modifiedMs ?? 0) > 0)
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

  promise('holds an object of no bytes', async (store) => {
    await store.put('empty', Buffer.alloc(0), 0)
    await store.put('empty-stream', Readable.from([], { objectMode: false }), 0)
    assert.equal((await store.head('empty'))?.size, 0)
    assert.equal((await buffer(await store.get('empty'))).length, 0)
    assert.equal((await buffer(await store.get('empty-stream'))).length, 0)
  })
}

function writing(promise: Promised): void {
  promise('takes a stream of known size', async (store) => {
    const pieces = Array.from({ length: 40 }, () => randomBytes(100_000))
    const whole = Buffer.concat(pieces)
    const info = await store.put('stream', Readable.from(pieces, { objectMode: false }), whole.length, {
      md5: md5(whole),
    })
    assert.equal(info.etag, md5(whole))
    assert.equal(md5(await buffer(await store.get('stream'))), md5(whole))
  })

  promise('keeps the old object when a body is too short, too long or torn', async (store) => {
    const put = (body: Readable | Buffer, size: number, digest?: string) =>
      store.put('kept', body, size, digest === undefined ? {} : { md5: digest })
    await put(text('old'), 3)
    const stream = (...pieces: string[]) => Readable.from(pieces.map(text), { objectMode: false })
    const torn = Readable.from(
      (function* () {
        yield text('ne')
        throw new Error('torn')
      })(),
      { objectMode: false },
    )
    await assert.rejects(put(stream('ne', 'w'), 4), StoreRejected)
    await assert.rejects(put(stream('new', 'er'), 3), StoreRejected)
    await assert.rejects(put(torn, 3), /torn/)
    assert.equal(String(await buffer(await store.get('kept'))), 'old')
    assert.deepEqual(await allKeys(store), ['kept'])
  })

  promise('keeps the old object when a body is not what its MD5 says', async (store) => {
    await store.put('kept', text('old'), 3)
    const other = { md5: md5(text('other')) }
    await assert.rejects(store.put('kept', text('new'), 3, other), StoreRejected)
    await assert.rejects(
      store.put('kept', Readable.from([text('new')], { objectMode: false }), 3, other),
      StoreRejected,
    )
    assert.equal(String(await buffer(await store.get('kept'))), 'old')
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
    await assert.rejects(store.put('kept', endless, 100, { signal: given.signal }))
    assert.equal(String(await buffer(await store.get('kept'))), 'old')
  })

  promise('replaces an object whole', async (store) => {
    await store.put('k', text('first'), 5, { metadata: { one: '1' } })
    const reader = await store.get('k')
    await store.put('k', text('second!'), 7, { metadata: { two: '2' } })
    assert.equal(String(await buffer(await store.get('k'))), 'second!')
    assert.deepEqual({ ...(await store.head('k'))?.metadata }, { two: '2' })
    assert.equal(String(await buffer(reader)), 'first')
  })

  promise('puts only where nothing is, if asked to', async (store) => {
    await store.put('once', text('first'), 5, { only: 'absent' })
    await assert.rejects(store.put('once', text('again'), 5, { only: 'absent' }), StorePreconditionFailed)
    assert.equal(String(await buffer(await store.get('once'))), 'first')
  })

  promise('copies inside the store', async (store) => {
    await store.put('from/ä b+c', text('content'), 7, { contentType: 'text/plain', metadata: { a: 'b' } })
    const info = await store.copy('from/ä b+c', 'to/x')
    assert.equal(info.size, 7)
    assert.equal(String(await buffer(await store.get('to/x'))), 'content')
    assert.equal((await store.head('to/x'))?.contentType, 'text/plain')
  })

  promise('refuses keys that are empty, too long or not Unicode', async (store) => {
    for (const key of ['', 'x'.repeat(1025), '\ud800']) {
      await assert.rejects(store.put(key, text('x'), 1), StoreRejected)
      await assert.rejects(store.get(key), StoreRejected)
    }
  })
}

function listing(promise: Promised): void {
  promise('holds odd keys side by side, and lists them in UTF-8 byte order', async (store) => {
    for (const key of oddKeys) await store.put(key, text(key), Buffer.byteLength(key))
    assert.deepEqual(await allKeys(store), inByteOrder(oddKeys))
    assert.deepEqual(await allKeys(store, { limit: 3 }), inByteOrder(oddKeys))
    for (const key of oddKeys) assert.equal(String(await buffer(await store.get(key))), key)
    assert.deepEqual(await store.delete(oddKeys), [])
    assert.deepEqual(await allKeys(store), [])
  })

  promise('keeps keys with empty segments and dots apart', async (store) => {
    const keys = ['a//b', 'a/', 'a/./b', 'a/../b', 'a/b', 'a/b/']
    for (const key of keys) await store.put(key, text(key), Buffer.byteLength(key))
    assert.deepEqual(await allKeys(store), inByteOrder(keys))
    for (const key of keys) assert.equal(String(await buffer(await store.get(key))), key)
  })

  promise('lists by prefix and after a key', async (store) => {
    const keys = ['a', 'a-b', 'a/1', 'a/2', 'a/2/x', 'a0', 'b']
    for (const key of keys) await store.put(key, text(key), key.length)
    assert.deepEqual(await allKeys(store, { prefix: 'a/' }), ['a/1', 'a/2', 'a/2/x'])
    assert.deepEqual(await allKeys(store, { prefix: 'a/2', limit: 1 }), ['a/2', 'a/2/x'])
    const page = await store.list({ after: 'a/1', limit: 2 })
    assert.deepEqual(
      page.objects.map(({ key, size }) => [key, size]),
      [
        ['a/2', 3],
        ['a/2/x', 5],
      ],
    )
    assert.equal(page.next, 'a/2/x')
    assert.deepEqual((await store.list({ after: 'b' })).objects, [])
    assert.equal((await store.list({ limit: keys.length })).next, undefined)
  })

  promise('deletes more keys than one request of S3 takes', async (store) => {
    const keys = Array.from({ length: 1005 }, (_, index) => `many/${index}`)
    for (let at = 0; at < keys.length; at += 15) {
      await Promise.all(keys.slice(at, at + 15).map((key) => store.put(key, text('x'), 1)))
    }
    await store.put('stays', text('x'), 1)
    assert.deepEqual(await store.delete(keys), [])
    assert.deepEqual(await allKeys(store), ['stays'])
  })
}

/** An object of this size in the smallest parts. */
const ofParts = (size: number) => ({ size, partBytes: MIN_PART_BYTES })

function uploading(promise: Promised): void {
  const big = (fill: string) => Buffer.alloc(MIN_PART_BYTES, fill)

  promise('makes one object of parts, whatever order they came in', async (store) => {
    const parts = [big('a'), big('b'), randomBytes(MIB)]
    const upload = await store.createUpload('parts', {
      ...ofParts(11 * MIB),
      contentType: 'text/x',
      metadata: { a: 'ü' },
    })
    const second = await upload.putPart(2, parts[1]!)
    const first = await upload.putPart(1, parts[0]!)
    const third = await upload.putPart(3, parts[2]!)
    assert.equal(await store.head('parts'), undefined)
    const info = await upload.complete([first, second, third])
    assert.equal(info.size, 11 * MIB)
    assert.equal(md5(await buffer(await store.get('parts'))), md5(Buffer.concat(parts)))
    const head = await store.head('parts')
    assert.equal(head?.contentType, 'text/x')
    assert.deepEqual({ ...head?.metadata }, { a: 'ü' })
    assert.equal(head?.etag, info.etag)
    assert.match(info.etag, /^[0-9a-f]{32}-3$/)
  })

  promise('goes on with an upload that was begun before', async (store) => {
    const begun = await store.createUpload('resumed', ofParts(MIN_PART_BYTES + 3))
    await begun.putPart(1, big('x'))
    const first = await begun.putPart(1, big('a'))
    const resumed = await store.resumeUpload('resumed', begun.uploadId)
    assert.deepEqual(await resumed.listParts(), [first])
    const second = await resumed.putPart(2, text('end'))
    await resumed.complete([first, second])
    assert.equal(md5(await buffer(await store.get('resumed'))), md5(Buffer.concat([big('a'), text('end')])))
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
    await assert.rejects(store.resumeUpload('gone', upload.uploadId), ObjectNotFound)
    await assert.rejects(store.resumeUpload('gone', '../../etc'), ObjectNotFound)
    assert.equal(await store.head('gone'), undefined)
  })

  promise('completes no upload that was given up', async (store) => {
    const upload = await store.createUpload('gone', ofParts(1))
    const part = await upload.putPart(1, text('a'))
    await upload.abort()
    await assert.rejects(upload.complete([part]), ObjectNotFound)
    assert.equal(await store.head('gone'), undefined)
  })

  promise('knows no upload of another key', async (store) => {
    const upload = await store.createUpload('mine', ofParts(1))
    await assert.rejects(store.resumeUpload('other', upload.uploadId), ObjectNotFound)
    await upload.abort()
  })

  promise('completes an upload only where nothing is, if asked to', async (store) => {
    const upload = await store.createUpload('condition', { ...ofParts(3), only: 'absent' })
    const part = await upload.putPart(1, text('new'))
    await store.put('condition', text('old'), 3)
    const resumed = await store.resumeUpload('condition', upload.uploadId)
    await assert.rejects(resumed.complete([part]), StorePreconditionFailed)
    assert.equal(String(await buffer(await store.get('condition'))), 'old')
    await resumed.abort()
  })
}
