import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import {
  ObjectNotFound,
  type ObjectStore,
  StoreDenied,
  StoreError,
  StoreFull,
  StorePreconditionFailed,
  StoreRejected,
  StoreThrottled,
  StoreUnreachable,
} from '../object-store.ts'
import { openTestGcs, type TestGcsOptions } from '../testing/gcs-open.ts'
import { type GcsServer, startGcsServer } from '../testing/gcs-server.ts'

let server: GcsServer
before(async () => {
  server = await startGcsServer()
  server.makeBucket('bucket')
})
after(() => server.close())

async function put(options: Partial<TestGcsOptions> = {}): Promise<void> {
  const store = openTestGcs({ ...server, ...options })
  try {
    await store.put('k', Buffer.from('x'), 1)
  } finally {
    await store.close()
  }
}

describe('the driver of Google Cloud Storage', () => {
  it('tells the answers of the service apart, says what to do, and tries again what may help', async () => {
    const rows: readonly (readonly [number, string, new (...arguments_: never[]) => StoreError, number, RegExp])[] = [
      [429, 'rateLimitExceeded', StoreThrottled, 3, /takes no more requests/],
      [403, 'rateLimitExceeded', StoreThrottled, 3, /takes no more requests/],
      [403, 'userRateLimitExceeded', StoreThrottled, 3, /takes no more requests/],
      [403, 'quotaExceeded', StoreFull, 1, /have it raised in the Cloud console/],
      [507, '', StoreFull, 1, /is used up/],
      [403, 'accountDisabled', StoreDenied, 1, /check its billing/],
      [403, 'accessNotConfigured', StoreDenied, 1, /enable its API/],
      [403, 'forbidden', StoreDenied, 1, /service account pusher@.* in bucket bucket .* role Storage Object Admin/],
      [403, 'insufficientPermissions', StoreDenied, 1, /role Storage Object Admin on the bucket/],
      [401, 'authError', StoreDenied, 1, /not accept the key of .*pusher@.* clock/],
      [403, 'retentionPolicyNotMet', StoreRejected, 1, /retention policy or a hold/],
      [403, 'objectUnderActiveHold', StoreRejected, 1, /retention policy or a hold/],
      [400, 'userProjectMissing', StoreRejected, 1, /requester pays/],
      [400, 'invalid', StoreRejected, 1, /refused the request \(400 invalid said so\)/],
      [412, 'conditionNotMet', StorePreconditionFailed, 1, /said so/],
      [412, 'orgPolicyConstraintFailed', StoreRejected, 1, /orgPolicyConstraintFailed/],
      [404, 'notFound', ObjectNotFound, 1, /has no bucket bucket; create it first/],
      [408, 'uploadBrokenConnection', StoreUnreachable, 3, /failed/],
      [409, 'conflict', StoreUnreachable, 3, /failed/],
      [500, 'backendError', StoreUnreachable, 3, /failed \(500 backendError said so\)/],
      [503, '', StoreUnreachable, 3, /failed/],
      [501, '', StoreRejected, 1, /refused/],
    ]
    for (const [status, reason, kind, tries, words] of rows) {
      const since = server.requests.length
      server.misbehave('insert', { kind: 'answer', status, reason, message: 'said so' }, tries)
      await assert.rejects(put(), (error) => {
        assert.ok(error instanceof StoreError, `${reason}: ${error}`)
        assert.ok(error instanceof kind, `${status} ${reason}: ${error}`)
        assert.match(error.message, words)
        return true
      })
      assert.equal(server.requests.length - since, tries, `${status} ${reason}`)
    }
  })

  it('says how long the service asks to be left alone', async () => {
    const store = openTestGcs(server)
    for (const [retryAfter, expected] of [
      ['7', 7000],
      ['-1', undefined],
      ['soon', undefined],
    ] as const) {
      server.misbehave('insert', { kind: 'answer', status: 429, reason: 'rateLimitExceeded', retryAfter })
      // With a condition it is tried once.
      await assert.rejects(store.put('k', Buffer.from('x'), 1, { only: 'absent' }), (error) => {
        assert.ok(error instanceof StoreThrottled)
        assert.equal(error.retryAfterMs, expected)
        return true
      })
    }
    await store.close()
  })

  it('tells a bucket that is missing from an object that is', async () => {
    const store = openTestGcs({ ...server, bucket: 'nowhere' })
    const isMissing = (error: unknown) => error instanceof ObjectNotFound && error.data['what'] === 'bucket'
    for (const asking of [
      () => store.head('k'),
      () => store.get('k'),
      () => store.list(),
      () => store.delete(['k']),
      () => store.copy('k', 'l'),
      () => store.createUpload('k', { size: 1, partBytes: 256 * 1024 }),
    ]) {
      await assert.rejects(asking, isMissing)
    }
    await store.close()
  })

  it('keeps every letter of a description, and none of it becomes a header', async () => {
    const store = openTestGcs(server)
    const contentType = 'text/plain\r\nx-injected: 1'
    await store.put('k', Buffer.from('x'), 1, { contentType, metadata: { 'näme "x"': '\u0000 line\nbreak 🎈' } })
    const head = await store.head('k')
    assert.equal(head?.contentType, contentType)
    assert.deepEqual({ ...head?.metadata }, { 'näme "x"': '\u0000 line\nbreak 🎈' })
    assert.equal(server.requests.at(-1)?.headers['x-injected'], undefined)
    await store.close()
  })

  it('takes no ETag for the wish that there be no object', async () => {
    const store = openTestGcs(server)
    for (const etag of ['0', '00', '', '*']) {
      await assert.rejects(store.put('new', Buffer.from('x'), 1, { only: { etag } }), StorePreconditionFailed)
    }
    assert.equal(await store.head('new'), undefined)
    await store.close()
  })

  it('holds content that looks like the end of its own request', async () => {
    const store: ObjectStore = openTestGcs(server)
    const content = Buffer.from('\r\n--sluice-0--\r\n--sluice\r\n\r\n--')
    const info = await store.put('k', content, content.length)
    assert.equal(info.size, content.length)
    await store.close()
  })

  it('says that a server is none of Google Cloud Storage', async () => {
    server.misbehave('insert', { kind: 'redirect', to: 'https://elsewhere.example/login?x=1' })
    await assert.rejects(put(), { code: 'StoreRejected', message: /redirects to https:\/\/elsewhere\.example \(307\)/ })
  })
})
