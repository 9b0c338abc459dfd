import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { after, afterEach, describe, it } from 'node:test'
import { inspect } from 'node:util'
import { systemClock } from '../../kernel/index.ts'
import type { AzureCredentials } from '../credentials.ts'
import {
  ObjectNotFound,
  type ObjectStore,
  StoreDenied,
  type StoreError,
  StoreFull,
  StorePreconditionFailed,
  StoreRejected,
  StoreThrottled,
  StoreUnreachable,
} from '../object-store.ts'
import { createTargetGuard } from '../target-guard.ts'
import { azureTarget, testAccount } from '../testing/azure-account.ts'
import { startAzureServer } from '../testing/azure-server.ts'
import { openAzureStore } from './azure-store.ts'

const server = await startAzureServer({ sas: 'sv=2021-12-02&sp=racwdl&sig=good' })
after(() => server.close())
afterEach(() => {
  server.fault = undefined
})

interface Opening {
  readonly credentials?: AzureCredentials
  readonly endpoint?: string
  readonly container?: string
  readonly allow?: string
}

function open({ credentials = testAccount, endpoint, container = 'container', allow }: Opening = {}): ObjectStore {
  const at = endpoint ?? server.target().endpoint
  return openAzureStore({
    target: azureTarget(at, container),
    credentials,
    guard: createTargetGuard({ allowTargets: [allow ?? '127.0.0.1:*'] }),
    clock: systemClock,
    random: Math.random,
    retry: { attempts: 3, firstDelayMs: 1, maxDelayMs: 2 },
  })
}

async function put(opening?: Opening): Promise<void> {
  const store = open(opening)
  try {
    await store.put('k', Buffer.from('x'), 1)
  } finally {
    await store.close()
  }
}

const bySas = (sas: string): AzureCredentials => ({ ...testAccount, signWith: { sas } })

/** What the service answers, what that is here, how often it is asked, and what the message says to do. */
const answers: readonly [number, string, new (...args: never[]) => StoreError, number, RegExp][] = [
  [503, 'ServerBusy', StoreThrottled, 3, /takes no more requests now \(ServerBusy: said so\)/],
  [429, '', StoreThrottled, 3, /status 429/],
  [500, 'OperationTimedOut', StoreUnreachable, 3, /OperationTimedOut/],
  [500, 'InternalError', StoreUnreachable, 3, /InternalError/],
  [502, '', StoreUnreachable, 3, /status 502/],
  [409, 'ContainerBeingDeleted', StoreUnreachable, 3, /container is just being deleted/],
  [507, '', StoreFull, 1, /is full .*make room/],
  [409, 'QuotaExceeded', StoreFull, 1, /is full/],
  [404, 'ContainerNotFound', ObjectNotFound, 1, /has no container container; create it first/],
  [403, 'AuthenticationFailed', StoreDenied, 1, /account key of sluicetest is wrong/],
  [403, 'AuthorizationPermissionMismatch', StoreDenied, 1, /needs the rights to read, write/],
  [403, 'AuthorizationProtocolMismatch', StoreDenied, 1, /https/],
  [403, 'AuthorizationFailure', StoreDenied, 1, /firewall or the network rules/],
  [403, 'KeyBasedAuthenticationNotPermitted', StoreDenied, 1, /user delegation SAS/],
  [403, 'AccountIsDisabled', StoreDenied, 1, /storage account sluicetest is disabled/],
  [403, 'InsufficientAccountPermissions', StoreDenied, 1, /writing is switched off/],
  [403, '', StoreDenied, 1, /check the secret/],
  [412, 'LeaseIdMissing', StoreDenied, 1, /leased to somebody else/],
  [409, 'BlobImmutableDueToPolicy', StoreDenied, 1, /immutability policy/],
  [412, 'ConditionNotMet', StorePreconditionFailed, 1, /ConditionNotMet/],
  [400, 'AccountRequiresHttps', StoreRejected, 1, /name an https endpoint/],
  [400, 'Md5Mismatch', StoreRejected, 1, /Md5Mismatch/],
  [400, 'MetadataTooLarge', StoreRejected, 1, /8 KiB/],
  [400, 'InvalidBlobOrBlock', StoreRejected, 1, /another program left an unfinished upload/],
  [409, 'InvalidBlobType', StoreRejected, 1, /append or page blob/],
  [413, 'RequestBodyTooLarge', StoreRejected, 1, /RequestBodyTooLarge/],
]

describe("the Azure driver's errors", () => {
  for (const [status, code, kind, tries, message] of answers) {
    it(`tell ${code || status} as ${kind.name}, and ask ${tries === 1 ? 'once' : 'again'}`, async () => {
      let asked = 0
      server.fault = () => {
        asked++
        return { status, code }
      }
      await assert.rejects(put(), (error) => {
        assert.ok(error instanceof kind, String(error))
        assert.match(error.message, message)
        return true
      })
      assert.equal(asked, tries)
    })
  }

  it('leave out nothing that one lost object is to blame for', async () => {
    server.blobs.put(
      'fine',
      Buffer.from('x'),
      { contentType: '', metadata: {} },
      { ifMatch: undefined, ifNoneMatch: undefined },
    )
    server.fault = (request) => (request === 'DELETE leased' ? { status: 412, code: 'LeaseIdMissing' } : undefined)
    const store = open()
    const failures = await store.delete(['leased', 'fine', 'back\\slash'])
    assert.deepEqual(failures.map(({ key, error }) => [key, error.code]).sort(), [
      ['back\\slash', 'StoreRejected'],
      ['leased', 'StoreDenied'],
    ])
    assert.equal(await store.head('fine'), undefined)
    server.fault = () => ({ status: 403, code: 'AuthorizationPermissionMismatch' })
    const before = server.requests.length
    server.fault = (request) => (request === 'DELETE many/0' ? { status: 403, code: 'AccountIsDisabled' } : undefined)
    const many = Array.from({ length: 1000 }, (_, index) => `many/${index}`)
    await assert.rejects(store.delete(many), StoreDenied)
    // What was under way goes on to its end, and nothing after it.
    assert.ok(server.requests.length - before < 500)
    await store.close()
  })

  it('say how long the service asks to be left alone', async () => {
    server.fault = () => ({ status: 503, code: 'ServerBusy', headers: { 'retry-after': '0' } })
    await assert.rejects(put(), { retryAfterMs: 0 })
  })

  it('tell a wrong key and a wrong signature apart from ones that are over', async () => {
    const accountKey = Buffer.from('another key').toString('base64')
    const wrongKey: AzureCredentials = { ...testAccount, signWith: { accountKey } }
    await assert.rejects(put({ credentials: wrongKey }), {
      code: 'StoreDenied',
      message: /account key of sluicetest is wrong: check the name of the account and the key/,
    })
    await put({ credentials: bySas('?sv=2021-12-02&sp=racwdl&sig=good') })
    await assert.rejects(put({ credentials: bySas('sv=2021-12-02&sp=racwdl&sig=bad') }), {
      code: 'StoreDenied',
      message: /shared access signature is not one of sluicetest/,
    })
    await assert.rejects(put({ credentials: bySas('sv=2021-12-02&sp=racwdl&se=2020-01-01T00:00:00Z&sig=bad') }), {
      message: /has expired or is not valid yet: put a new one into the secret/,
    })
    const detail =
      'x</Message><AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [Mon] - Expiry [Tue] - Current [Wed]</AuthenticationErrorDetail><Message>'
    server.fault = () => ({ status: 403, code: 'AuthenticationFailed', message: detail })
    await assert.rejects(put(), { message: /not valid yet \(from Mon to Tue; there it is Wed\)/ })
    server.fault = () => ({ status: 403, code: 'AuthenticationFailed', message: 'Request date header too old' })
    await assert.rejects(put(), { message: /clocks .* differ.*set the clock/ })
  })

  it('name no secret', async () => {
    const credentials = bySas('sv=2021-12-02&sp=racwdl&sig=verysecretsignature')
    const shown = (error: unknown) => {
      assert.ok(error instanceof Error)
      assert.doesNotMatch(inspect(error, { depth: 20, customInspect: false, showHidden: true }), /verysecret/)
      return true
    }
    await assert.rejects(put({ credentials }), shown)
    server.fault = () => 'cut'
    await assert.rejects(put({ credentials }), shown)
    server.fault = () => ({ status: 400, code: 'InvalidInput' })
    await assert.rejects(put({ credentials }), shown)
    server.fault = () => ({ status: 307, headers: { location: 'http://other/?sig=verysecretsignature' } })
    await assert.rejects(put({ credentials }), shown)
  })

  it('tell a missing container, nobody, and a name that nobody has', async () => {
    await assert.rejects(put({ container: 'missing' }), (error) => {
      assert.ok(error instanceof ObjectNotFound)
      assert.equal(error.data['what'], 'bucket')
      return true
    })
    const store = open({ container: 'missing' })
    await assert.rejects(store.head('k'), /has no container missing/)
    await assert.rejects(store.list(), /has no container missing/)
    await store.close()
    const closed = createTcpServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const { port } = closed.address() as AddressInfo
    await new Promise((resolve) => closed.close(resolve))
    await assert.rejects(put({ endpoint: `http://127.0.0.1:${port}/sluicetest` }), {
      code: 'StoreUnreachable',
      message: /ECONNREFUSED/,
    })
    await assert.rejects(put({ endpoint: 'https://sluicetest.blob.invalid' }), {
      code: 'StoreUnreachable',
      message: /check the name of the storage account/,
    })
    await assert.rejects(put({ endpoint: `https://127.0.0.1:${server.port}/sluicetest` }), {
      code: 'StoreRejected',
      message: /does not speak TLS/,
    })
  })

  it('go on over connections that are cut, and answers that end early', async () => {
    for (const fault of ['cut', 'lost'] as const) {
      let left = 2
      server.fault = () => (left-- > 0 ? fault : undefined)
      await put()
      assert.equal(left, -1, fault)
    }
    const store = open()
    let left = 2
    server.fault = (request) => (request.includes('comp=list') && left-- > 0 ? 'torn' : undefined)
    assert.deepEqual(
      (await store.list()).objects.map(({ key }) => key),
      ['k'],
    )
    server.fault = () => 'torn'
    await assert.rejects(
      store.get('k').then((body) => buffer(body)),
      StoreUnreachable,
    )
    await store.close()
  })

  it('try a condition once: what they wrote themselves is not in their way', async () => {
    const store = open()
    await store.delete(['k'])
    server.fault = () => 'lost'
    const before = server.requests.length
    await assert.rejects(store.put('k', Buffer.from('x'), 1, { only: 'absent' }), StoreUnreachable)
    assert.equal(server.requests.length, before + 1)
    await store.close()
  })
})

describe("the Azure driver's connections", () => {
  it('reach no closed target, by whichever endpoint', async () => {
    const before = server.requests.length
    await assert.rejects(put({ allow: 'other:*' }), { code: 'StoreDenied', message: /SLUICE_ALLOW_TARGETS=127/ })
    assert.equal(server.requests.length, before)
  })

  it('follow no redirect', async () => {
    const other = await startAzureServer()
    for (const status of [301, 302, 307, 308]) {
      server.fault = () => ({ status, headers: { location: `http://127.0.0.1:${other.port}/sluicetest/container/k` } })
      const store = open()
      const refused = { code: 'StoreRejected', message: new RegExp(`sends on to 127.0.0.1:${other.port}`) }
      await assert.rejects(store.get('k'), refused)
      await assert.rejects(store.put('k', Buffer.from('x'), 1), refused)
      // Within the same origin the library would.
      server.fault = () => ({ status, headers: { location: '/sluicetest/container/other' } })
      await assert.rejects(store.head('k'), { code: 'StoreRejected' })
      await store.close()
    }
    assert.deepEqual(other.requests, [])
    await other.close()
  })

  it('take nothing from the environment', async () => {
    const names = ['HTTP_PROXY', 'HTTPS_PROXY', 'http_proxy', 'ALL_PROXY', 'AZURE_STORAGE_CONNECTION_STRING']
    const before = names.map((name) => [name, process.env[name]] as const)
    for (const name of names) process.env[name] = 'http://127.0.0.1:1'
    try {
      await put()
    } finally {
      for (const [name, value] of before) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    }
  })

  it('say neither what they are made with nor by whom', async () => {
    await put()
    const headers = server.headersOf.at(-1)
    assert.equal(headers?.['user-agent'], 'sluice')
    assert.equal(headers?.['x-ms-version'], '2021-12-02')
  })
})
