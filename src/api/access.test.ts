import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Config, type KeyRing, Metrics, silentLog, systemClock } from '../kernel/index.ts'
import type { Services } from './route.ts'
import { routes } from './routes.ts'
import { type Api, createApi } from './server.ts'
import {
  type Ask,
  codeOf,
  listen,
  messageOf,
  send,
  sendExpecting,
  strangerKey,
  testKey,
  testKeys,
} from './testing/requests.ts'

/** Fails the test if a route reaches the domain: these requests must be refused before. */
let touched: string[] = []
function untouchable<T extends object>(name: string): T {
  return new Proxy({} as T, {
    get(_target, member) {
      touched.push(`${name}.${String(member)}`)
      throw new Error(`${name}.${String(member)} was reached`)
    },
  })
}

const ring: KeyRing = {
  find: async (id) => (id === strangerKey.accessKeyId ? strangerKey : testKeys.find(id)),
}

let api: Api
let url: string
before(async () => {
  api = createApi({
    versioning: untouchable<Services['versioning']>('versioning'),
    pipelines: untouchable<Services['pipelines']>('pipelines'),
    egress: untouchable<Services['egress']>('egress'),
    secrets: untouchable<Services['secrets']>('secrets'),
    users: untouchable<Services['users']>('users'),
    places: untouchable<Services['places']>('places'),
    keys: ring,
    config: { region: undefined } as Config,
    clock: systemClock,
    log: silentLog,
    version: '0',
    metrics: new Metrics(silentLog),
  })
  url = await listen(api.server)
})
after(() => api.close())

const closed = routes.filter((route) => route.needs !== 'none')

/** A request for a route that would be a good one if it were signed. */
function ask(route: (typeof routes)[number]): Ask {
  const path = route.path.replace(/:\w+/g, 'aaaaaaaa')
  const body = route.body === 'none' ? {} : { body: '{}' }
  return { method: route.method, path, ...body }
}

const faults: readonly { name: string; status: number; code: string; spoil: (good: Ask) => Ask }[] = [
  { name: 'no signature', status: 401, code: 'MissingAuthentication', spoil: (good) => ({ ...good, key: null }) },
  {
    name: 'a wrong secret',
    status: 403,
    code: 'SignatureMismatch',
    spoil: (good) => ({ ...good, key: { ...testKey, secretAccessKey: 'some-other-secret' } }),
  },
  {
    name: 'an unknown key',
    status: 403,
    code: 'UnknownAccessKey',
    spoil: (good) => ({ ...good, key: { ...testKey, accessKeyId: 'NOBODY' } }),
  },
  {
    name: 'a stale date',
    status: 403,
    code: 'RequestTimeSkewed',
    spoil: (good) => ({ ...good, now: new Date(Date.now() - 3_600_000) }),
  },
  {
    name: 'a key without rights',
    status: 403,
    code: 'AccessDenied',
    spoil: (good) => ({ ...good, key: strangerKey }),
  },
]

describe('every route', () => {
  for (const { name, status, code, spoil } of faults) {
    it(`refuses ${name} before anything is done`, async () => {
      // What a route for any key shows or does, it decides by what that key may: roles.test.ts.
      const asked = closed.filter((route) => code !== 'AccessDenied' || route.needs !== 'known')
      for (const route of asked) {
        touched = []
        const reply = await send(url, spoil(ask(route)))
        assert.equal(reply.status, status, `${route.method} ${route.path}`)
        assert.equal(codeOf(reply), code, `${route.method} ${route.path}`)
        assert.deepEqual(touched, [])
      }
    })
  }

  it('is reached with a good signature, so that the refusals above mean something', async () => {
    for (const route of closed) {
      const reply = await send(url, ask(route))
      assert.ok(![401, 403, 404, 405].includes(reply.status), `${route.method} ${route.path}: ${reply.text}`)
    }
  })

  it('names the need it has, and only health and the document have none', () => {
    const open = routes.filter((route) => route.needs === 'none').map((route) => route.path)
    assert.deepEqual(open, ['/healthz', '/readyz', '/v1/openapi.json'])
  })
})

describe('what is no route', () => {
  it('is refused like a route, so that nobody learns which there are', async () => {
    for (const path of ['/', '/v1', '/v1/none', '/v2/repos', '/v1/repos/a/b/c/d', '//v1/openapi.json']) {
      assert.equal((await send(url, { path, key: null })).status, 401, path)
      assert.equal(codeOf(await send(url, { path })), 'RouteNotFound', path)
    }
  })

  it('is told apart from a wrong method', async () => {
    assert.equal(codeOf(await send(url, { method: 'PUT', path: '/v1/repos' })), 'MethodNotAllowed')
    assert.equal((await send(url, { method: 'OPTIONS', path: '/v1/repos', key: null })).status, 401)
  })

  it('can not hide a slash in a name', async () => {
    touched = []
    const reply = await send(url, { path: '/v1/pipelines/a%2Fb' })
    assert.equal(reply.status, 400)
    assert.match(messageOf(reply), /no slash/)
    assert.deepEqual(touched, [])
  })
})

describe('bodies', () => {
  const post: Ask = { method: 'POST', path: '/v1/repos', body: '{"name":"a"}' }

  it('that are not the signed ones are refused', async () => {
    touched = []
    const reply = await send(url, { ...post, bodySha256: '0'.repeat(64) })
    assert.equal(reply.status, 400)
    assert.equal(codeOf(reply), 'BodyMismatch')
    assert.deepEqual(touched, [])
  })

  it('of JSON must be signed', async () => {
    const reply = await send(url, { ...post, bodySha256: 'UNSIGNED-PAYLOAD' })
    assert.equal(codeOf(reply), 'UnsignedBody')
  })

  it('that nobody asked for are refused', async () => {
    const reply = await send(url, { method: 'GET', path: '/v1/repos', body: 'x' })
    assert.equal(reply.status, 413)
  })

  it('of JSON are at most 1 MiB', async () => {
    const reply = await send(url, { ...post, body: `"${'x'.repeat(1024 * 1024)}"` })
    assert.equal(reply.status, 413)
  })

  it('are not asked for when the request is refused anyway', async () => {
    const path = '/v1/repos/a/branches/b/file?path=c'
    const reply = await sendExpecting(url, { method: 'PUT', path, key: null })
    assert.deepEqual(reply, { continued: false, status: 401 })
  })

  for (const [what, body, message] of [
    ['broken JSON', '{', /not JSON/],
    ['an empty body', '', /needs a JSON document/],
    ['a list', '[]', /must be a JSON object, not a list/],
    ['an unknown field', '{"name":"a","nmae":"b"}', /unknown field "nmae".*name, description/],
    ['a missing field', '{}', /lacks the field name/],
    ['a field of the wrong kind', '{"name":7}', /name must be a text, not a number/],
    ['a prototype', '{"name":"a","__proto__":{"x":1}}', /unknown field "__proto__"/],
    ['bytes that are no text', Buffer.from([0x22, 0xff, 0x22]), /not UTF-8/],
  ] as const) {
    it(`with ${what} are refused with a clear message`, async () => {
      touched = []
      const reply = await send(url, { ...post, body })
      assert.equal(reply.status, 400)
      assert.match(messageOf(reply), message)
      assert.deepEqual(touched, [])
    })
  }
})

describe('queries', () => {
  for (const [what, query, message] of [
    ['an unknown field', 'lmit=1', /unknown field "lmit".*limit/],
    ['a field twice', 'limit=1&limit=2', /"limit" twice/],
    ['a number out of range', 'limit=0', /limit must be a whole number from 1 to 1000/],
    ['no number', 'limit=1e3', /limit must be a whole number/],
  ] as const) {
    it(`with ${what} are refused with a clear message`, async () => {
      touched = []
      const reply = await send(url, { path: `/v1/jobs?${query}` })
      assert.equal(reply.status, 400)
      assert.match(messageOf(reply), message)
      assert.deepEqual(touched, [])
    })
  }

  it('that sign the request are refused: a URL gets around', async () => {
    const { presignUrl } = await import('../kernel/index.ts')
    const presigned = presignUrl({
      method: 'GET',
      url: `${url}/v1/repos`,
      ...testKey,
      region: 'us-east-1',
      service: 's3',
      now: new Date(),
      expiresSeconds: 60,
    })
    const reply = await send(url, { path: presigned.slice(url.length), key: null })
    assert.equal(reply.status, 400)
    assert.match(reply.text, /no presigned URLs/)
  })
})

describe('the OpenAPI document', () => {
  it('is open, and has every route with its parameters', async () => {
    const reply = await send(url, { path: '/v1/openapi.json', key: null })
    assert.equal(reply.status, 200)
    const document = JSON.parse(reply.text) as {
      paths: Record<string, Record<string, { operationId: string; parameters: { name: string }[]; security: object[] }>>
      components: { schemas: object }
    }
    const ids = new Set<string>()
    for (const route of routes) {
      const path = route.path.replace(/:(\w+)/g, '{$1}')
      const operation = document.paths[path]?.[route.method.toLowerCase()]
      assert.ok(operation, `${route.method} ${path}`)
      ids.add(operation.operationId)
      const inPath = [...route.path.matchAll(/:(\w+)/g)].map(([, name]) => name)
      const names = operation.parameters.map(({ name }) => name)
      assert.deepEqual(names, [...Object.keys(route.params), ...Object.keys(route.query)])
      assert.deepEqual(Object.keys(route.params), inPath, route.path)
      assert.equal(operation.security.length === 0, route.needs === 'none')
    }
    assert.equal(ids.size, routes.length, 'operation ids are unique')
  })

  it('refers to nothing that is not in it', async () => {
    const { text } = await send(url, { path: '/v1/openapi.json', key: null })
    const { components } = JSON.parse(text) as { components: { schemas: Record<string, unknown> } }
    for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) assert.ok(components.schemas[name!], name)
  })
})
