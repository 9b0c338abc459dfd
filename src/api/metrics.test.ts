import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type AccessLog, Metrics, silentLog, systemClock } from '../kernel/index.ts'
import { type Api, createApi } from './server.ts'
import { codeOf, listen, messageOf, send, strangerKey, testKey, testKeys } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

const token = 'a-token-that-is-long-enough'

describe('the metrics', () => {
  let stack: Stack
  let api: Api
  let url: string
  const noted: Parameters<AccessLog['write']>[0][] = []
  let full = false

  before(async () => {
    stack = await openStack()
    const { versioning, pipelines } = stack
    const accessLog: AccessLog = {
      enabled: true,
      lost: 0,
      write: (entry) => noted.push(entry),
      reopen: async () => {},
      close: async () => {},
    }
    const watched = new Proxy(versioning, {
      get: (target, name) => {
        if (name === 'full') return full
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    api = createApi({
      ...stack.options,
      versioning: watched,
      pipelines,
      keys: {
        ...testKeys,
        find: async (id) => (id === strangerKey.accessKeyId ? strangerKey : testKeys.find(id)),
      },
      config: { ...stack.options.config, metricsToken: token },
      clock: systemClock,
      log: silentLog,
      metrics: new Metrics(silentLog),
      accessLog,
    })
    url = await listen(api.server)
  })
  after(async () => {
    await api.close()
    await stack.close()
  })

  it('are for an administrator, or for the token that is configured, and for nobody else', async () => {
    assert.equal((await send(url, { path: '/metrics' })).status, 200)
    const bearer = (value: string) => ({ path: '/metrics', key: null, headers: { authorization: `Bearer ${value}` } })
    const scraped = await send(url, bearer(token))
    assert.equal(scraped.status, 200)
    assert.equal(scraped.headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8')
    assert.match(scraped.text, /^sluice_api_requests_total\{route="GET \/metrics",status="200"\} 1$/m)
    assert.equal((await send(url, { path: '/metrics', key: null })).status, 401)
    assert.equal((await send(url, { path: '/metrics', key: strangerKey })).status, 403)
    for (const wrong of [`${token}x`, token.slice(1), 'x']) {
      const refused = await send(url, bearer(wrong))
      assert.equal(refused.status, 401)
      assert.match(messageOf(refused), /SLUICE_METRICS_TOKEN/)
      assert.ok(!refused.text.includes(token))
    }
    // It opens this one door.
    const other = await send(url, { ...bearer(token), path: '/v1/repos' })
    assert.equal(other.status, 400)
    assert.equal((await send(stack.url, bearer(token))).status, 401, 'without one that is configured')
  })

  it('count requests by route, refusals by reason, and never by what was asked for', async () => {
    await send(url, { path: '/v1/repos/none' })
    await send(url, { path: '/v1/elsewhere' })
    await send(url, { path: '/v1/repos', key: { ...testKey, secretAccessKey: 'not the secret' } })
    const { text } = await send(url, { path: '/metrics' })
    assert.match(text, /^sluice_api_requests_total\{route="GET \/v1\/repos\/:repo",status="404"\} 1$/m)
    assert.match(text, /^sluice_api_requests_total\{route="Unknown",status="404"\} 1$/m)
    assert.match(text, /^sluice_api_auth_failures_total\{reason="SignatureMismatch"\} 1$/m)
    assert.doesNotMatch(text, /elsewhere|none/)
  })

  it('go with a line in the access log for each request, without its query or its token', async () => {
    noted.length = 0
    const canary = 'canary0123456789'
    await send(url, { path: `/v1/repos?x=${canary}`, headers: { 'user-agent': 'a-tool' } })
    await send(url, { path: '/metrics', key: null, headers: { authorization: `Bearer ${canary}` } })
    await new Promise((resolve) => setTimeout(resolve, 20))
    const [first, second] = noted
    assert.equal(first?.operation, 'GET /v1/repos')
    assert.deepEqual(
      [first?.door, first?.user, first?.path, first?.userAgent, first?.error],
      ['api', 'root', '/v1/repos', 'a-tool', 'InvalidInput'],
    )
    assert.deepEqual([second?.status, second?.error, second?.user], [401, 'MissingAuthentication', undefined])
    assert.ok(!JSON.stringify(noted).includes(canary))
  })

  it('have an id for each request, in its headers and in what is said of an error', async () => {
    const reply = await send(url, { path: '/v1/repos/none' })
    const id = reply.headers['x-request-id']
    assert.match(String(id), /^[0-9A-F]{16}$/)
    assert.equal((JSON.parse(reply.text) as { error: { requestId: string } }).error.requestId, id)
    assert.equal(codeOf(reply), 'RepoNotFound')
    assert.notEqual((await send(url, { path: '/healthz', key: null })).headers['x-request-id'], id)
  })

  it('are beside two questions that need no signature: is it up, and does it take requests', async () => {
    const ask = async (path: string) => {
      const reply = await send(url, { path, key: null })
      return [reply.status, JSON.parse(reply.text) as unknown]
    }
    assert.deepEqual(await ask('/readyz'), [200, { status: 'ready' }])
    full = true
    assert.deepEqual(await ask('/readyz'), [503, { status: 'full' }])
    assert.deepEqual(await ask('/healthz'), [200, { status: 'full' }])
    full = false
  })
})
