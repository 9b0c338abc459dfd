import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import type { GcsCredentials } from '../credentials.ts'
import { type ObjectStore, StoreRejected, StoreUnreachable } from '../object-store.ts'
import { openTestGcs } from '../testing/gcs-open.ts'
import { type AskedRequest, type Reply, type ScriptedServer, startScriptedServer } from '../testing/scripted-server.ts'

const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
})
const credentials: GcsCredentials = { kind: 'gcs', clientEmail: 'a@example.com', privateKey }

async function withServer(
  reply: (request: AskedRequest, number: number) => Reply,
  check: (store: ObjectStore, server: ScriptedServer) => Promise<void>,
): Promise<void> {
  const server = await startScriptedServer(reply)
  const store = openTestGcs({ endpoint: `http://127.0.0.1:${server.port}`, credentials, folder: 'folder' })
  try {
    await check(store, server)
  } finally {
    await store.close()
    await server.close()
  }
}

const json = (value: unknown): Reply => ({ body: JSON.stringify(value) })

describe('a store of Google Cloud Storage that means ill', () => {
  it('does not hold this process up by a page without ends', async () => {
    await withServer(
      () => ({ status: 400, body: '<'.repeat(4 * 1024 * 1024) }),
      async (store) => {
        await assert.rejects(store.head('k'), StoreRejected)
      },
    )
  })

  it('gives nothing away of a request that it echoes', async () => {
    const page = (url: string, authorization: string) => `<p>Cannot GET ${url}</p> ${authorization}`
    for (const asJson of [true, false]) {
      const reply = ({ url, headers }: AskedRequest): Reply => {
        const text = page(url, headers.authorization ?? '')
        return { status: 400, body: asJson ? JSON.stringify({ error: { message: text } }) : text }
      }
      await withServer(reply, async (store) => {
        await assert.rejects(store.head('k'), (error: Error) => {
          assert.match(error.message, /Cannot GET .* Bearer/)
          assert.doesNotMatch(inspect(error, { depth: 9 }), /eyJ/)
          return true
        })
      })
    }
  })

  it('lists nothing that is outside of the folder', async () => {
    await withServer(
      () => json({ items: [{ name: 'elsewhere/k', size: '1', generation: '1' }] }),
      async (store) => {
        await assert.rejects(store.list(), StoreRejected)
      },
    )
  })

  it('has nothing deleted that only its answer has named', async () => {
    await withServer(
      () => json({ name: 'of/others', size: '7', generation: '1' }),
      async (store, server) => {
        await assert.rejects(store.put('k', Buffer.from('x'), 1), StoreUnreachable)
        for (const { url } of server.asked) assert.ok(!url.includes('others'), url)
      },
    )
  })
})
