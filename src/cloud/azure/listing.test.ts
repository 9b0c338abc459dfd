import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '../../kernel/index.ts'
import type { ObjectStore } from '../object-store.ts'
import { createTargetGuard } from '../target-guard.ts'
import { testAccount } from '../testing/azure-account.ts'
import { type AzureServer, type AzureServerOptions, startAzureServer } from '../testing/azure-server.ts'
import { allKeys, inByteOrder } from '../testing/contract-kit.ts'
import { openAzureStore } from './azure-store.ts'
import { byteOrdered, type Listed } from './byte-order.ts'

const servers: AzureServer[] = []
after(() => Promise.all(servers.map((server) => server.close())))

async function start(keys: readonly string[], options: AzureServerOptions = {}) {
  const server = await startAzureServer(options)
  servers.push(server)
  const none = { ifMatch: undefined, ifNoneMatch: undefined }
  for (const key of keys) {
    server.blobs.put(`top/${key}`, Buffer.from(key), { contentType: 'text/plain', metadata: {} }, none)
  }
  return server
}

function open(server: AzureServer): ObjectStore {
  return openAzureStore({
    target: server.target('top'),
    credentials: testAccount,
    guard: createTargetGuard({ allowTargets: ['127.0.0.1:*'] }),
    clock: systemClock,
    random: Math.random,
    retry: { attempts: 3, firstDelayMs: 1, maxDelayMs: 2 },
  })
}

const asked = (server: AzureServer) => server.requests.filter((request) => request.includes('comp=list')).length

/** A folder `a` beside names that come before `a/` by their bytes, and after it in a hierarchical namespace. */
const nested = ['a/1', 'a/b/2', 'a/b-c', 'a-b', 'a.txt', 'a0', 'b/x/y/z', 'b/x.y', 'ü/🎈', 'ü/\uff21', 'z']

describe("the Azure driver's listings", () => {
  for (const hierarchical of [false, true]) {
    const kind = hierarchical ? 'a hierarchical namespace' : 'a flat one'
    it(`give ${kind} in byte order, page by page, without its folders`, async () => {
      const server = await start(nested, { hierarchical })
      const store = open(server)
      for (const limit of [1, 2, 3, 1000]) assert.deepEqual(await allKeys(store, { limit }), inByteOrder(nested))
      assert.deepEqual(await allKeys(store, { prefix: 'a/', limit: 1 }), ['a/1', 'a/b-c', 'a/b/2'])
      assert.deepEqual(await allKeys(store, { prefix: 'a' }), ['a-b', 'a.txt', 'a/1', 'a/b-c', 'a/b/2', 'a0'])
      assert.deepEqual(await allKeys(store, { prefix: 'b/x' }), ['b/x.y', 'b/x/y/z'])
      await store.close()
    })

    it(`go on in ${kind} after any key, also one that no page ended with`, async () => {
      const store = open(await start(nested, { hierarchical }))
      const sorted = inByteOrder(nested)
      for (const after of ['', '0', 'a', 'a-b', 'a/', 'a/b', 'a/b/2', 'a/zzz', 'b/x/y/zz', 'ü/\uff21', 'zz']) {
        const { objects } = await store.list({ after })
        const expected = sorted.filter((key) => Buffer.compare(Buffer.from(after), Buffer.from(key)) < 0)
        assert.deepEqual(
          objects.map(({ key }) => key),
          expected,
          after,
        )
      }
      await store.close()
    })
  }

  it('hide the folders of a hierarchical namespace, which are blobs of their own', async () => {
    const store = open(await start(nested, { hierarchical: true }))
    assert.equal(await store.head('a'), undefined)
    assert.equal((await store.head('a/1'))?.size, 3)
    await store.close()
  })

  it('ask no page twice when they are read on, however short the pages of the service are', async () => {
    const keys = Array.from({ length: 2000 }, (_, index) => `${index}`)
    const server = await start(keys)
    const store = open(server)
    assert.deepEqual(await allKeys(store, { limit: 500 }), inByteOrder(keys))
    // 400 names a page there, and an empty one after each: reading on from the start would take some 20.
    assert.ok(asked(server) <= 10, String(asked(server)))
    await store.close()
  })

  it('keep only a few of them open, and begin the others anew', async () => {
    const keys = Array.from({ length: 30 }, (_, index) => `p${String(index).padStart(2, '0')}/x`)
    const both = [...keys, ...keys.map((key) => key.replace('x', 'y'))]
    const store = open(await start(both))
    const first = await Promise.all(keys.map((key) => store.list({ prefix: key.slice(0, 3), limit: 1 })))
    for (const [index, { objects, next }] of first.entries()) {
      assert.equal(next, objects[0]?.key)
      const rest = await store.list({ prefix: keys[index]!.slice(0, 3), after: next! })
      assert.deepEqual(
        rest.objects.map(({ key }) => key),
        [keys[index]!.replace('x', 'y')],
      )
    }
    await store.close()
  })

  it('refuse an order that is not known rather than miss objects', async () => {
    // A signature that may not ask what the account is.
    const server = await start(nested, { hierarchical: true })
    server.fault = (request) =>
      request.includes('comp=properties') ? { status: 403, code: 'AuthorizationResourceTypeMismatch' } : undefined
    const store = open(server)
    await assert.rejects(store.list(), { code: 'StoreRejected', message: /in an order that is not known/ })
    await store.close()
  })

  it('put any names into byte order that come in the order of UTF-16', async () => {
    const chars = fc.constantFrom('a', '-', '/', '0', '\ud7ff', '\ue000', '\uff21', '🎈', '𝄞')
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(fc.string({ unit: chars, minLength: 1, maxLength: 5 })), async (names) => {
        const source = names.sort().map((name): Listed => ({ name, blob: {} as Listed['blob'] }))
        const ordered: string[] = []
        for await (const { name } of byteOrdered(iterate(source))) ordered.push(name)
        assert.deepEqual(ordered, inByteOrder(names))
      }),
      { numRuns: 300 },
    )
  })

  it('bound what waits for its place', async () => {
    const many = Array.from({ length: 50_001 }, (_, index): Listed => ({ name: `🎈${index}`, blob: undefined }))
    await assert.rejects(
      async () => {
        for await (const _ of byteOrdered(iterate(many))) assert.fail('nothing is sure yet')
      },
      { code: 'StoreRejected', message: /list a folder below/ },
    )
  })
})

async function* iterate<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items
}
