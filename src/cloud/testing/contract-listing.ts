import assert from 'node:assert/strict'
import { StoreRejected } from '../object-store.ts'
import { allKeys, type ContractLimits, contentOf, inBatches, inByteOrder, type Promised, text } from './contract-kit.ts'

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
  // After the one above in UTF-16, before it in UTF-8.
  'äöü/日本語/\uff21',
  'tab\there',
  '.hidden',
  'trailing.',
  'question?query#hash',
  'colon:pipe|star*',
  'back\\slash',
  `long/${'x'.repeat(400)}`,
  `${'ü'.repeat(200)}/${'é'.repeat(200)}`,
]

const dottedKeys = ['a//b', 'a/', 'a/./b', 'a/../b', 'a/b', 'a/b/']

export function listing(promise: Promised, { refuses = {}, loses = {} }: ContractLimits): void {
  const held = (keys: readonly string[]) => keys.filter((key) => !(key in refuses) && !(key in loses))

  promise('holds odd keys side by side, and lists them in UTF-8 byte order', async (store) => {
    const keys = held(oddKeys)
    for (const key of keys) await store.put(key, text(key), Buffer.byteLength(key))
    assert.deepEqual(await allKeys(store), inByteOrder(keys))
    assert.deepEqual(await allKeys(store, { limit: 3 }), inByteOrder(keys))
    for (const key of keys) assert.equal(await contentOf(store, key), key)
    assert.deepEqual(await store.delete(keys), [])
    assert.deepEqual(await allKeys(store), [])
  })

  promise('keeps keys with empty segments and dots apart', async (store) => {
    const keys = held(dottedKeys)
    for (const key of keys) await store.put(key, text(key), Buffer.byteLength(key))
    assert.deepEqual(await allKeys(store), inByteOrder(keys))
    for (const key of keys) assert.equal(await contentOf(store, key), key)
  })

  promise('refuses keys that its service can not hold, by name', async (store) => {
    for (const key of Object.keys(refuses)) await assert.rejects(store.put(key, text('x'), 1), StoreRejected)
    assert.deepEqual(await allKeys(store), [])
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
    // After a key that is not there, and that no prefix asked for begins with.
    assert.deepEqual((await store.list({ after: 'a/11' })).objects[0]?.key, 'a/2')
    assert.deepEqual((await store.list({ prefix: 'a/', after: 'Z' })).objects[0]?.key, 'a/1')
    assert.deepEqual((await store.list({ prefix: 'a/', after: 'a0' })).objects, [])
    assert.deepEqual((await store.list({ after: 'b' })).objects, [])
    assert.equal((await store.list({ limit: keys.length })).next, undefined)
  })

  promise('says the same of an object in a listing as alone', async (store) => {
    for (const [key, body] of Object.entries({ 'd/a': 'one', 'd/b': '' })) await store.put(key, text(body), body.length)
    const { objects } = await store.list({ prefix: 'd/' })
    assert.equal(objects.length, 2)
    for (const listed of objects) {
      const head = await store.head(listed.key)
      assert.equal(listed.etag, head?.etag)
      assert.equal(listed.size, head?.size)
      // A listing may know less, never anything else.
      assert.ok(listed.md5 === undefined || listed.md5 === head?.md5)
      assert.ok(listed.crc32c === undefined || listed.crc32c === head?.crc32c)
      assert.ok(Math.abs(listed.modifiedMs - head!.modifiedMs) < 1000)
    }
  })

  promise('lists and deletes more keys than one request of S3 takes', async (store) => {
    const keys = Array.from({ length: 1005 }, (_, index) => `many/${index}`)
    await inBatches(keys, (key) => store.put(key, text('x'), 1))
    await store.put('stays', text('x'), 1)
    const page = await store.list({ prefix: 'many/' })
    assert.equal(page.objects.length, 1000)
    assert.equal(page.next, page.objects.at(-1)?.key)
    assert.deepEqual(await allKeys(store), [...inByteOrder(keys), 'stays'])
    assert.deepEqual(await store.delete(keys), [])
    assert.deepEqual(await allKeys(store), ['stays'])
  })
}
