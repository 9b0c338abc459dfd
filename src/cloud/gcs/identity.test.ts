import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { inspect } from 'node:util'
import { StoreDenied } from '../object-store.ts'
import { createTargetGuard } from '../target-guard.ts'
import { openTestGcs, type TestGcsOptions } from '../testing/gcs-open.ts'
import { type GcsServer, startGcsServer } from '../testing/gcs-server.ts'
import { makeAccount } from '../testing/gcs-token.ts'

let server: GcsServer
before(async () => {
  server = await startGcsServer()
  server.makeBucket('bucket')
})
after(() => server.close())

async function put(options: TestGcsOptions): Promise<void> {
  const store = openTestGcs(options)
  try {
    await store.put('k', Buffer.from('x'), 1)
  } finally {
    await store.close()
  }
}

/** Every name is a closed address here, so that the refusal says where a request wanted to go. */
const nowhere = createTargetGuard({
  allowTargets: [],
  lookup: (_, __, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
})

async function withEnvironment(values: Readonly<Record<string, string>>, work: () => Promise<void>): Promise<void> {
  const before = Object.fromEntries(Object.keys(values).map((name) => [name, process.env[name]]))
  Object.assign(process.env, values)
  try {
    await work()
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
}

describe('who pushes to Google Cloud Storage', () => {
  it('is the service account, by tokens that it signs itself', async () => {
    await put(server)
    const { headers } = server.requests.at(-1)!
    const [head, claims] = headers.authorization!.replace('Bearer ', '').split('.')
    const decode = (part = '') => JSON.parse(Buffer.from(part, 'base64url').toString()) as Record<string, unknown>
    assert.deepEqual(decode(head), { alg: 'RS256', typ: 'JWT', kid: 'key-1' })
    assert.equal(decode(claims)['scope'], 'https://www.googleapis.com/auth/devstorage.read_write')
    assert.equal(decode(claims)['iss'], server.credentials.clientEmail)
  })

  it('is told apart from one whose key is another, or none, without a word of the key', async () => {
    const { privateKey } = makeAccount().credentials
    const other = { ...server.credentials, privateKey }
    await assert.rejects(put({ ...server, credentials: other }), {
      code: 'StoreDenied',
      message: /does not accept the key of the service account pusher@/,
    })
    const broken = { ...server.credentials, privateKey: privateKey.replace(/[A-Za-z0-9+/]{40}\n/, 'broken\n') }
    await assert.rejects(put({ ...server, credentials: broken }), (error) => {
      assert.match(String(error), /nothing can be signed with the key of the service account pusher@/)
      const lines = privateKey.split('\n').slice(1, -2)
      assert.deepEqual(
        lines.filter((line) => inspect(error, { depth: 10 }).includes(line)),
        [],
      )
      return true
    })
  })

  it('does not change with the environment, and goes where it was told to', async () => {
    const environment = {
      STORAGE_EMULATOR_HOST: 'http://127.0.0.1:1',
      GOOGLE_APPLICATION_CREDENTIALS: '/not/there.json',
      GOOGLE_CLOUD_QUOTA_PROJECT: 'another-project',
      GOOGLE_CLOUD_PROJECT: 'another-project',
      GOOGLE_CLOUD_UNIVERSE_DOMAIN: 'another.example',
      GCE_METADATA_HOST: '127.0.0.1:1',
      HTTP_PROXY: 'http://127.0.0.1:1',
      HTTPS_PROXY: 'http://127.0.0.1:1',
      http_proxy: 'http://127.0.0.1:1',
      https_proxy: 'http://127.0.0.1:1',
    }
    await withEnvironment(environment, async () => {
      await put(server)
      assert.equal(server.requests.at(-1)?.headers['x-goog-user-project'], undefined)
      await assert.rejects(put({ credentials: server.credentials, guard: nowhere }), {
        message: /^storage\.googleapis\.com:443 /,
      })
    })
  })

  it("is the host's own identity only where Google asks", async () => {
    await assert.rejects(put({ ...server, credentials: undefined }), {
      code: 'StoreDenied',
      message: /host's own identity is for Google's own endpoint only/,
    })
    for (const endpoint of [
      'https://googleapis.com.example',
      'http://storage.googleapis.com',
      'https://xgoogleapis.com',
    ]) {
      await assert.rejects(put({ endpoint, credentials: undefined }), { code: 'StoreDenied' }, endpoint)
    }
  })

  it("is the host's key file where it has one, whose token services are guarded too", async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-gcs-'))
    const file = join(folder, 'key.json')
    const environment = { GOOGLE_APPLICATION_CREDENTIALS: file, HTTPS_PROXY: 'http://127.0.0.1:1' }
    try {
      const { clientEmail, privateKey } = server.credentials
      await writeFile(
        file,
        JSON.stringify({
          type: 'service_account',
          client_email: clientEmail,
          private_key: privateKey,
          token_uri: 'http://127.0.0.1:1/token',
        }),
      )
      const wantsTo = (place: RegExp) =>
        withEnvironment(environment, () =>
          assert.rejects(put({ credentials: undefined, guard: nowhere }), (error) => {
            assert.match(String(error), place)
            assert.doesNotMatch(inspect(error, { depth: 10 }), /refresh( |%20|\+)me/)
            return error instanceof StoreDenied
          }),
        )
      await wantsTo(/ storage\.googleapis\.com:443 /)
      await writeFile(
        file,
        JSON.stringify({ type: 'authorized_user', client_id: 'c', client_secret: 's', refresh_token: 'refresh me' }),
      )
      await wantsTo(/oauth2\.googleapis\.com:443 /)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })
})

describe('a connection to Google Cloud Storage', () => {
  it('reaches no closed target', async () => {
    await assert.rejects(put({ ...server, guard: createTargetGuard({ allowTargets: ['other:*'] }) }), {
      code: 'StoreDenied',
      message: /SLUICE_ALLOW_TARGETS=127/,
    })
    const metadata = { endpoint: 'http://169.254.169.254', credentials: server.credentials }
    await assert.rejects(put(metadata), { code: 'StoreDenied', message: /metadata address/ })
  })

  it('follows no redirect, to wherever it leads', async () => {
    const closed = await startGcsServer()
    closed.makeBucket('bucket')
    const store = openTestGcs({
      ...server,
      guard: createTargetGuard({ allowTargets: [`127.0.0.1:${server.port}`] }),
    })
    await store.put('k', Buffer.from('x'), 1)
    const upload = await store.createUpload('u', { size: 1, partBytes: 256 * 1024 })
    const part = await upload.putPart(1, Buffer.from('x'))
    for (const [operation, ask] of [
      ['get', () => store.head('k')],
      ['media', () => store.get('k')],
      ['list', () => store.list()],
      ['insert', () => store.put('k', Buffer.from('y'), 1)],
      ['rewrite', () => store.copy('k', 'l')],
      ['begin', () => store.createUpload('k', { size: 1, partBytes: 256 * 1024 })],
      ['chunk', () => upload.complete([part])],
    ] as const) {
      server.misbehave(operation, { kind: 'redirect', to: `${closed.endpoint}/storage/v1/b/bucket/o/k` })
      await assert.rejects(ask, /redirects to http:\/\/127\.0\.0\.1:\d+ \(307\), which is not followed/, operation)
    }
    assert.deepEqual(closed.requests, [])
    await store.close()
    await closed.close()
  })

  it('says that nobody answers', async () => {
    const gone = await startGcsServer()
    await gone.close()
    await assert.rejects(put(gone), { code: 'StoreUnreachable', message: /ECONNREFUSED/ })
  })
})
