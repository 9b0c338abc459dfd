import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { inspect } from 'node:util'
import { systemClock } from '../../kernel/index.ts'
import type { AzureCredentials } from '../credentials.ts'
import { type ObjectStore, StoreRejected } from '../object-store.ts'
import { createTargetGuard } from '../target-guard.ts'
import { azureTarget, testAccount } from '../testing/azure-account.ts'
import { type AskedRequest, type Reply, type ScriptedServer, startScriptedServer } from '../testing/scripted-server.ts'
import { openAzureStore } from './azure-store.ts'

async function withServer(
  reply: (request: AskedRequest, number: number) => Reply,
  check: (store: ObjectStore, server: ScriptedServer) => Promise<void>,
  credentials: AzureCredentials = testAccount,
): Promise<void> {
  const server = await startScriptedServer(reply)
  const store = openAzureStore({
    target: { ...azureTarget(`http://127.0.0.1:${server.port}`, 'container'), folder: 'folder' },
    credentials,
    guard: createTargetGuard({ allowTargets: ['127.0.0.1:*'] }),
    clock: systemClock,
    random: Math.random,
    retry: { attempts: 1, firstDelayMs: 1, maxDelayMs: 2 },
  })
  try {
    await check(store, server)
  } finally {
    await store.close()
    await server.close()
  }
}

const xml = (body: string): Reply => ({
  headers: { 'content-type': 'application/xml' },
  body: `<?xml version="1.0" encoding="utf-8"?>${body}`,
})
const blob = (name: string) =>
  `<Blob><Name>${name}</Name><Properties><Last-Modified>Fri, 20 Nov 2026 00:00:00 GMT</Last-Modified><Etag>"e"</Etag><Content-Length>1</Content-Length><BlobType>BlockBlob</BlobType></Properties></Blob>`
const page = (inside: string, marker = '') =>
  xml(
    `<EnumerationResults ServiceEndpoint="http://127.0.0.1/" ContainerName="container"><Blobs>${inside}</Blobs><NextMarker>${marker}</NextMarker></EnumerationResults>`,
  )
/** A question of the account's kind; else one for a page. */
const isKind = ({ url }: AskedRequest) => /restype=account/.test(url)
const kind = (hierarchical: boolean): Reply => ({
  headers: {
    'x-ms-is-hns-enabled': String(hierarchical),
    'x-ms-sku-name': 'Standard_LRS',
    'x-ms-account-kind': 'StorageV2',
  },
})

describe('a store of Azure that means ill', () => {
  it('is not asked for empty pages for ever', async () => {
    await withServer(
      // After so many it gives in, so that this test ends in any case.
      (request, number) => (isKind(request) ? kind(false) : page('', number > 3_000 ? '' : `m${number}`)),
      async (store) => {
        await assert.rejects(store.list(), StoreRejected)
      },
    )
  })

  it('does not lead a listing around in a circle of folders', async () => {
    await withServer(
      (request, number) =>
        isKind(request) ? kind(true) : number > 300 ? page('') : page('<BlobPrefix><Name>folder/</Name></BlobPrefix>'),
      async (store, server) => {
        await assert.rejects(store.list(), StoreRejected)
        assert.ok(server.asked.length < 20)
      },
    )
  })

  it('gives nothing away of a request that it echoes', async () => {
    const signed: AzureCredentials = {
      ...testAccount,
      signWith: { sas: 'sv=2021-12-02&sp=racwdl&sig=canary%2Bsecret' },
    }
    const replies: ((url: string) => Reply)[] = [
      (url) => ({ status: 400, headers: { 'content-type': 'text/html' }, body: `<pre>Cannot PUT ${url}</pre>` }),
      (url) => ({
        status: 400,
        headers: { 'content-type': 'application/xml' },
        body: `<Error><Code>Odd</Code><Message>${url.replaceAll('&', '&amp;')}</Message></Error>`,
      }),
      (url) => ({ headers: { 'content-type': 'application/xml' }, body: `<a${url}` }),
    ]
    for (const reply of replies) {
      const check = async (store: ObjectStore) => {
        for (const work of [() => store.put('k', Buffer.from('x'), 1), () => store.list()]) {
          await assert.rejects(work, (error: Error) => {
            assert.doesNotMatch(inspect(error, { depth: 9 }), /canary/)
            return true
          })
        }
      }
      await withServer(({ url }) => reply(url), check, signed)
    }
  })

  it('lists nothing that is outside of the folder', async () => {
    await withServer(
      (request) => (isKind(request) ? kind(false) : page(blob('elsewhere/k'))),
      async (store) => {
        await assert.rejects(store.list(), StoreRejected)
      },
    )
  })

  it('writes no control characters into the reason that people read', async () => {
    await withServer(
      () => ({
        status: 400,
        headers: { 'content-type': 'application/xml', 'x-ms-error-code': 'Odd' },
        body: '<Error><Code>Odd</Code><Message>a\u001b[2Jb\u009bc\rd</Message></Error>',
      }),
      async (store) => {
        await assert.rejects(store.put('k', Buffer.from('x'), 1), (error: Error) => {
          assert.match(error.message, /Odd/)
          assert.doesNotMatch(error.message, /\p{Cc}/u)
          return true
        })
      },
    )
  })
})
