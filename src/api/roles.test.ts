import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { IssuedKey, Role } from '../kernel/index.ts'
import { parsePath, parseRepoName } from '../versioning/index.ts'
import type { CredentialsJson, FileChangeJson, KeyJson, UserCreatedJson, UserJson } from './contract.ts'
import { routes } from './routes.ts'
import { type Ask, codeOf, messageOf, type Reply, read, send, sendJson, testKey } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

type Key = NonNullable<Ask['key']>

/** Of the key that the server was started with. */
const rootUser = '/v1/users/root'
let stack: Stack
before(async () => {
  stack = await openStack()
})
after(() => stack.close())

const ask = (key: Key | undefined, method: string, path: string, body?: unknown): Promise<Reply> =>
  sendJson(stack.url, { method, path, ...(key && { key }) }, body)
const create = async (body: object): Promise<IssuedKey> =>
  (await read<UserCreatedJson>(ask(undefined, 'POST', '/v1/users', body))).key
const grant = async (name: string, repo: string, role: Role | undefined) =>
  stack.versioning.roles.set(parseRepoName(repo), (await stack.options.users.inspect(name)).canonicalId, role)
const isDenied = (reply: Reply) => reply.status === 403 && codeOf(reply) === 'AccessDenied'

describe('each route', () => {
  const people = ['nothing', 'reader', 'writer', 'owner', 'admin'] as const
  type Who = (typeof people)[number]
  const keys = {} as Record<Who, IssuedKey>
  before(async () => {
    for (const name of people) keys[name] = await create({ name, admin: name === 'admin', mayCreateRepos: false })
  })

  const enough = { read: 1, write: 2, owner: 3, admin: 4 }
  /** Who gets past the door of the routes that decide by themselves, for a request as `askRoute` makes it. */
  const known: Readonly<Record<string, number>> = {
    'GET /v1/version': 0,
    'GET /v1/repos': 0,
    'POST /v1/repos': 4,
    'POST /v1/repos/:repo/branches': 2,
    'POST /v1/flush': 1,
    'GET /v1/pipelines': 0,
    'POST /v1/pipelines': 3,
    'GET /v1/jobs': 0,
    'GET /v1/jobs/:job': 0,
    'POST /v1/jobs/:job/kill': 0,
    'GET /v1/jobs/:job/datums': 0,
    'GET /v1/jobs/:job/datums/:datum': 0,
    'GET /v1/egress': 0,
    'GET /v1/egress/:egress': 0,
    'GET /v1/logs': 0,
    'GET /v1/user': 0,
    'GET /v1/users/:user': 4,
    'POST /v1/users/:user/rotate': 4,
    'POST /v1/credentials': 0,
  }
  const bodies: Readonly<Record<string, object>> = {
    'POST /v1/repos': { name: 'fresh' },
    'POST /v1/repos/:repo/branches': { name: 'made' },
    'POST /v1/flush': { commits: ['matrix@master'], timeoutMs: 0 },
    'POST /v1/pipelines': {
      pipeline: { name: 'matrix' },
      input: { pfs: { repo: 'matrix', glob: '/' } },
      transform: { cmd: ['true'] },
    },
  }

  /** What the requests are about, again, after one that has removed it. */
  async function restore(): Promise<void> {
    const repo = parseRepoName('matrix')
    const repos = await stack.versioning.listRepos()
    if (!repos.some(({ name }) => name === repo)) {
      await stack.versioning.createRepo(repo)
      const at = { repo, branch: 'master' as never }
      const staged = await stack.versioning.content.putBytes(Buffer.from('x'))
      await stack.versioning.put(at, { path: parsePath('a'), staged, etag: 'x', attributes: { metadata: {} } })
      await stack.versioning.finishCommit(at)
    }
    for (const role of ['reader', 'writer', 'owner'] as const) await grant(role, repo, role)
  }

  const askRoute = (route: (typeof routes)[number], key: Key): Promise<Reply> => {
    const about = route.about ?? 'repo'
    const path = route.path.replace(/:(\w+)/g, (_all, name: string) => {
      if (name === about) return 'matrix'
      if (name === 'user') return 'nobody-else'
      return name === 'branch' || name === 'revision' ? 'master' : 'aaaaaaaa'
    })
    const query = 'path' in route.query ? '?path=a' : ''
    const body = bodies[`${route.method} ${route.path}`] ?? (route.body === 'none' ? undefined : {})
    return ask(key, route.method, path + query, body)
  }

  it('names the need it has, or is in the table of those that decide by themselves', () => {
    const deciding = routes.filter((route) => route.needs === 'known').map(({ method, path }) => `${method} ${path}`)
    assert.deepEqual(deciding.sort(), Object.keys(known).sort())
    for (const { needs, path, about } of routes) {
      if (needs === 'none' || needs === 'known' || needs === 'admin') continue
      assert.ok(path.includes(`/:${about ?? 'repo'}`), `${path} says of which repo it needs the right to ${needs}`)
    }
  })

  for (const [rank, who] of people.entries()) {
    it(`is open to ${who} as far as that goes, and no further`, async () => {
      for (const route of routes) {
        if (route.needs === 'none') continue
        await restore()
        const name = `${route.method} ${route.path}`
        const needed = route.needs === 'known' ? known[name]! : enough[route.needs]
        const reply = await askRoute(route, keys[who])
        // Where this machine has no sandbox, only administrators may.
        if (/without a sandbox/.test(reply.text)) continue
        assert.equal(isDenied(reply), rank < needed, `${who}, ${name}: ${reply.status} ${reply.text}`)
      }
    })
  }
})

describe('users', () => {
  let ada: IssuedKey
  let bob: IssuedKey
  before(async () => {
    ada = await create({ name: 'ada', email: 'ada@example.com' })
    bob = await create({ name: 'bob' })
  })

  it('own what they create, and see what they may read', async () => {
    assert.equal((await ask(ada, 'POST', '/v1/repos', { name: 'adas' })).status, 201)
    assert.equal((await ask(bob, 'POST', '/v1/repos/bobs/branches', { name: 'dev' })).status, 201)
    const names = async (key: Key) =>
      (await read<{ name: string }[]>(ask(key, 'GET', '/v1/repos'))).map(({ name }) => name)
    assert.deepEqual(await names(ada), ['adas'])
    assert.deepEqual(await names(bob), ['bobs'])
    assert.ok(isDenied(await ask(bob, 'POST', '/v1/repos/adas/branches', { name: 'dev' })))
    assert.equal((await ask(bob, 'POST', '/v1/repos', { name: 'adas' })).status, 409)
    const me = await read<UserJson>(ask(ada, 'GET', '/v1/user'))
    assert.deepEqual([me.name, me.email, me.roles], ['ada', 'ada@example.com', [{ repo: 'adas', role: 'owner' }]])
  })

  it('grant and revoke on what they own, and nowhere else', async () => {
    assert.ok(isDenied(await ask(bob, 'PUT', '/v1/repos/adas/roles/bob', { role: 'reader' })))
    assert.equal((await ask(ada, 'PUT', '/v1/repos/adas/roles/bob', { role: 'writer' })).status, 200)
    assert.ok(isDenied(await ask(bob, 'PUT', '/v1/repos/adas/roles/bob', { role: 'owner' })))
    assert.ok(isDenied(await ask(bob, 'GET', '/v1/repos/adas/roles')))
    assert.equal((await ask(bob, 'GET', '/v1/repos/adas')).status, 200)
    assert.equal((await ask(ada, 'DELETE', '/v1/repos/adas/roles/bob')).status, 204)
    assert.ok(isDenied(await ask(bob, 'GET', '/v1/repos/adas')))
    assert.equal(codeOf(await ask(ada, 'PUT', '/v1/repos/adas/roles/none', { role: 'reader' })), 'UserNotFound')
    assert.match(
      messageOf(await ask(ada, 'PUT', '/v1/repos/adas/roles/bob', { role: 'admin' })),
      /reader, writer, owner/,
    )
  })

  it('see themselves and turn their own keys, and nobody else', async () => {
    assert.equal((await ask(bob, 'GET', '/v1/users/bob')).status, 200)
    for (const [method, path, body] of [
      ['GET', '/v1/users/ada', undefined],
      ['GET', '/v1/users/no-such-user', undefined],
      ['POST', '/v1/users/ada/rotate', {}],
      ['POST', `${rootUser}/rotate`, {}],
      ['DELETE', '/v1/users/bob', undefined],
      ['POST', '/v1/users', { name: 'eve', admin: true }],
    ] as const) {
      assert.ok(isDenied(await ask(bob, method, path, body)), `${method} ${path}`)
    }
    const turned = await read<KeyJson>(ask(bob, 'POST', '/v1/users/bob/rotate', {}))
    assert.equal(codeOf(await ask(bob, 'GET', '/v1/user')), 'UnknownAccessKey')
    assert.equal((await read<UserJson>(ask(turned, 'GET', '/v1/user'))).name, 'bob')
    bob = await read<KeyJson>(ask(turned, 'POST', '/v1/users/bob/rotate', { graceSeconds: 600 }))
    // Whoever has the old key must not outlast it, nor end the new one.
    assert.equal((await ask(turned, 'GET', '/v1/user')).status, 200)
    assert.ok(isDenied(await ask(turned, 'POST', '/v1/users/bob/rotate', {})))
    assert.equal((await ask(bob, 'GET', '/v1/user')).status, 200)
  })

  it('see jobs, logs and pipelines of what they may read only, and make pipelines that stay inside', async () => {
    await ask(ada, 'POST', '/v1/repos', { name: 'source' })
    const spec = (name: string, more = {}, transform = {}) => ({
      pipeline: { name },
      input: { pfs: { repo: 'source', glob: '/' } },
      transform: { cmd: ['true'], ...transform },
      ...more,
    })
    assert.ok(isDenied(await ask(bob, 'POST', '/v1/pipelines', spec('bobs-view'))), 'no right on the input')
    assert.equal((await ask(undefined, 'POST', '/v1/pipelines', spec('roots'))).status, 201)
    assert.ok(isDenied(await ask(ada, 'POST', '/v1/pipelines?update=true', spec('roots'))), 'not the owner')
    const egress = { egress: { URL: 's3://bucket/dir', secret: 'pushing' } }
    for (const [what, body] of [
      ['egress', spec('adas-view', egress)],
      ['a folder of the host', spec('adas-view', {}, { working_dir: '/home' })],
      ['a file of the host', spec('adas-view', {}, { cmd: ['cat', '/etc/passwd'] })],
      ['a way to the host', spec('adas-view', {}, { cmd: ['cat', 'pfs/../etc/passwd'] })],
    ] as const) {
      const reply = await ask(ada, 'POST', '/v1/pipelines', body)
      assert.ok(isDenied(reply), what)
      assert.match(messageOf(reply), /only an administrator/, what)
    }
    const names = async (key?: Key) =>
      (await read<{ name: string }[]>(ask(key, 'GET', '/v1/pipelines'))).map(({ name }) => name)
    assert.deepEqual(await names(ada), [])
    assert.ok((await names()).includes('roots'))
    assert.ok(isDenied(await ask(ada, 'GET', '/v1/pipelines/roots')))
    assert.ok(isDenied(await ask(ada, 'GET', '/v1/jobs?pipeline=roots')))
    assert.ok(isDenied(await ask(ada, 'GET', '/v1/logs?pipeline=roots')))
    assert.deepEqual(await read(ask(ada, 'GET', '/v1/jobs')), [])
    assert.equal((await ask(ada, 'GET', '/v1/logs')).text, '')
  })
})

describe('temporary credentials', () => {
  let key: IssuedKey
  let lent: CredentialsJson
  const lend = async (body: object, by: Key = key) => read<CredentialsJson>(ask(by, 'POST', '/v1/credentials', body))
  before(async () => {
    key = await create({ name: 'tina' })
    await ask(key, 'POST', '/v1/repos', { name: 'tinas' })
    for (const path of ['in/a', 'out/a']) {
      await send(stack.url, {
        method: 'PUT',
        path: `/v1/repos/tinas/branches/master/file?path=${path}`,
        key,
        body: 'x',
      })
    }
    await ask(key, 'POST', '/v1/repos/tinas/branches/master/finish', {})
    lent = await lend({})
  })

  it('reach what their maker reaches, and administer nothing', async () => {
    assert.equal((await ask(lent, 'GET', '/v1/repos/tinas')).status, 200)
    const admin = await create({ name: 'temporary-admin', admin: true })
    const lentByAdmin = await lend({}, admin)
    assert.equal((await ask(lentByAdmin, 'GET', '/v1/repos/tinas')).status, 200)
    for (const [by, method, path, body] of [
      [lent, 'PUT', '/v1/repos/tinas/roles/bob', { role: 'owner' }],
      [lent, 'DELETE', '/v1/repos/tinas/roles/tina', undefined],
      [lent, 'POST', '/v1/users/tina/rotate', {}],
      [lent, 'POST', '/v1/credentials', {}],
      [lentByAdmin, 'POST', '/v1/users', { name: 'eve' }],
      [lentByAdmin, 'GET', '/v1/users', undefined],
      [lentByAdmin, 'GET', '/v1/secrets', undefined],
      [lentByAdmin, 'POST', '/v1/users/tina/rotate', {}],
    ] as const) {
      assert.ok(isDenied(await ask(by, method, path, body)), `${method} ${path}`)
    }
  })

  it('are made for what their maker may do, and as long as is allowed', async () => {
    assert.ok(isDenied(await ask(key, 'POST', '/v1/credentials', { grants: [{ repo: 'adas', role: 'reader' }] })))
    for (const body of [
      { forSeconds: 59 },
      { forSeconds: 12 * 3600 + 1 },
      { grants: [] },
      { grants: [{ repo: 'tinas', role: 'owner' }] },
      { grants: [{ repo: 'tinas' }] },
      { grants: [{ repo: 'tinas', role: 'reader', branch: 'tx-' }] },
      { grants: [{ repo: 'tinas', role: 'reader', branch: 'Bad Name' }] },
      { grants: [{ repo: 'tinas', role: 'reader', prefix: 'p'.repeat(1025) }] },
      { grants: [{ repo: 'tinas', role: 'reader', folder: 'x' }] },
    ]) {
      assert.equal((await ask(key, 'POST', '/v1/credentials', body)).status, 400, JSON.stringify(body).slice(0, 100))
    }
    const { expires } = await lend({
      forSeconds: 60,
      grants: [{ repo: 'tinas', role: 'reader', branch: 'tx-a.master' }],
    })
    assert.equal(new Date(expires).toISOString(), expires)
  })

  it('bound to a prefix read and write files below it, and ask nothing about the whole', async () => {
    const bound = await lend({ grants: [{ repo: 'tinas', role: 'writer', prefix: 'in/' }] })
    const file = (path: string) => `/v1/repos/tinas/commits/master/content?path=${encodeURIComponent(path)}`
    assert.equal((await ask(bound, 'GET', file('in/a'))).status, 200)
    assert.equal((await ask(bound, 'GET', '/v1/repos/tinas/commits/master/files?prefix=in/')).status, 200)
    assert.equal((await ask(bound, 'GET', '/v1/repos/tinas/commits/master/diff?prefix=in/')).status, 200)
    const log = await ask(bound, 'GET', '/v1/repos/tinas/commits/master/log?path=in/a')
    const { commit } = JSON.parse(log.text.trim()) as FileChangeJson
    assert.deepEqual([commit.message, commit.authors, commit.files, commit.sizeBytes], ['', [], 0, 0])
    for (const path of [
      file('out/a'),
      file('in/../out/a').replace('in', 'out'),
      '/v1/repos/tinas/commits/master/files',
      '/v1/repos/tinas/commits/master/files?prefix=in',
      '/v1/repos/tinas/commits/master/log?path=in&below=true',
      '/v1/repos/tinas/commits?revision=master',
      '/v1/repos/tinas/commits/master/diff',
      '/v1/repos/tinas/commits',
      '/v1/repos/tinas/branches',
    ]) {
      assert.ok(isDenied(await ask(bound, 'GET', path)), path)
    }
    assert.ok(isDenied(await ask(bound, 'DELETE', '/v1/repos/tinas/branches/master/file?path=out/a')))
    assert.equal((await ask(bound, 'DELETE', '/v1/repos/tinas/branches/master/file?path=in/a')).status, 200)
    assert.ok(isDenied(await ask(bound, 'POST', '/v1/flush', { commits: ['tinas@master'] })))
    assert.ok(isDenied(await ask(bound, 'POST', '/v1/repos/tinas/branches/master/finish', {})))
    const move = '/v1/repos/tinas/branches/master/files/move'
    assert.ok(isDenied(await ask(bound, 'POST', move, { from: 'in/', to: 'in/more/' })))
  })

  it('bound to a branch bring nothing of others into it, and leave its transactions to those they are for', async () => {
    const branches = '/v1/repos/tinas/branches'
    assert.equal((await ask(key, 'POST', branches, { name: 'dev' })).status, 201)
    const bound = await lend({ grants: [{ repo: 'tinas', role: 'writer', branch: 'dev' }] })
    assert.equal((await ask(bound, 'GET', `${branches}/dev`)).status, 200)
    const head = await read<{ id: string }>(ask(key, 'GET', '/v1/repos/tinas/commits/master'))
    for (const to of ['master', 'master^', head.id]) {
      assert.ok(isDenied(await ask(bound, 'POST', `${branches}/dev/restore`, { to })), to)
    }
    await ask(key, 'POST', `${branches}/dev/transactions`, { name: 'load' })
    assert.ok(isDenied(await ask(bound, 'POST', `${branches}/dev/transactions`, { name: 'more' })))
    assert.ok(isDenied(await ask(bound, 'POST', `${branches}/dev/transactions/load/finish`, {})))
    assert.ok(isDenied(await ask(bound, 'DELETE', `${branches}/dev/transactions/load`)))
    const loading = await lend({ grants: [{ repo: 'tinas', role: 'writer', branch: 'tx-load.dev' }] })
    assert.ok(isDenied(await ask(loading, 'DELETE', `${branches}/master/transactions/load`)))
    assert.equal((await ask(loading, 'DELETE', `${branches}/dev/transactions/load`)).status, 204)
  })

  it('compare with commits that they may read only', async () => {
    assert.ok(isDenied(await ask(lent, 'GET', '/v1/repos/tinas/commits/master/diff?from=adas@master')))
  })
})

describe('a flush', () => {
  it('tells of repos that one may not read that they are waited for, and not what was written there', async () => {
    const key = await create({ name: 'fay' })
    await ask(key, 'POST', '/v1/repos', { name: 'fays' })
    const spec = {
      pipeline: { name: 'hidden' },
      input: { pfs: { repo: 'fays', glob: '/' } },
      transform: { cmd: ['sh', '-c', 'exit 3'] },
    }
    assert.equal((await ask(undefined, 'POST', '/v1/pipelines', spec)).status, 201)
    await send(stack.url, { method: 'PUT', path: '/v1/repos/fays/branches/master/file?path=a', key, body: 'x' })
    const reply = await ask(key, 'POST', '/v1/flush', { commits: ['fays@master'] })
    const lines = reply.text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as { kind: string; branches?: object[] })
    const verdict = lines.at(-1)
    assert.equal(verdict?.kind, 'verdict')
    assert.match(JSON.stringify(verdict), /"repo":"hidden".*"verdict":"failed","reason":"not shown"/)
    assert.doesNotMatch(reply.text, /exit/)
    assert.match((await ask(undefined, 'POST', '/v1/flush', { commits: ['fays@master'] })).text, /exit/)
  })
})

it('the root key can not be replaced or removed by anybody', async () => {
  assert.equal((await ask(undefined, 'DELETE', rootUser)).status, 400)
  assert.equal((await ask(undefined, 'POST', `${rootUser}/rotate`, {})).status, 400)
  assert.equal((await ask(testKey, 'GET', '/v1/user')).status, 200)
})
