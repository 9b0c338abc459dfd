import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import { text } from 'node:stream/consumers'
import { after, before, beforeEach, describe, it } from 'node:test'
import type { IssuedKey, Role } from '../kernel/index.ts'
import { parseBranchName, parseRepoName } from '../versioning/index.ts'
import { registry } from './s3/registry.ts'
import { type PeopledServer, startPeopledServer } from './testing/people.ts'
import { type SendOptions, testKey } from './testing/server.ts'

type Key = SendOptions['key']

let server: PeopledServer
/** What of the store the gateway used, besides asking who owns a repo. */
let touched: string[] = []

before(async () => {
  server = await startPeopledServer({
    watch: (versioning) =>
      new Proxy(versioning, {
        get(target, name) {
          if (name !== 'roles') touched.push(String(name))
          const value: unknown = Reflect.get(target, name, target)
          return typeof value === 'function' ? value.bind(target) : value
        },
      }),
  })
})
after(() => server.close())

/** By `node:http`, since `fetch` would rewrite `..` in a path. */
async function ask(method: string, path: string, key: Key, options: SendOptions = {}) {
  const headers = server.sign(method, path, { ...options, ...(key ? { key } : {}) })
  const request = http.request({ host: '127.0.0.1', port: server.port, method, path, headers, agent: false })
  request.end(options.body)
  const [reply] = (await once(request, 'response')) as [http.IncomingMessage]
  const body = await text(reply)
  const code = /<Code>(\w+)<\/Code>/.exec(body)?.[1]
  return { status: reply.statusCode ?? 0, text: body, code, headers: reply.headers }
}

/** Of a bucket without a body, which would be its configuration. */
const put = (path: string, key: Key = testKey, body = path.includes('/', 1) ? 'x' : '', headers = {}) =>
  ask('PUT', path, key, { body, headers })
const get = (path: string, key: Key = testKey) => ask('GET', path, key)
const remove = (path: string, key: Key = testKey) => ask('DELETE', path, key)
const bulkDelete = (bucket: string, key: Key, ...names: string[]) =>
  ask('POST', `/${bucket}?delete`, key, {
    body: `<Delete>${names.map((name) => `<Object><Key>${name}</Key></Object>`).join('')}</Delete>`,
  })
const copy = (path: string, source: string, key: Key) => put(path, key, '', { 'x-amz-copy-source': source })

describe('each operation', () => {
  const roles: readonly (Role | 'nothing' | 'admin')[] = ['nothing', 'reader', 'writer', 'owner', 'admin']
  const enough = { read: 1, write: 2, owner: 3, admin: 4 }
  const keys = new Map<string, IssuedKey>()
  before(async () => {
    for (const role of roles) {
      const { key } = await server.users.create({ name: role, admin: role === 'admin' })
      keys.set(role, key)
    }
  })

  const requests = registry.flatMap(({ name, method, on, parameters, header, operation }) => {
    if (!operation || operation.needs === 'known') return []
    const query = Object.entries(parameters).map(([key, value]) => `${key}=${value === true ? '' : value}`)
    const path = on === 'bucket' ? '/master.matrix' : '/master.matrix/a.png'
    const target = query.length > 0 ? `${path}?${query.join('&')}` : path
    // A copy from the bucket itself: the source asks for no more than the operation does.
    const headers = header === undefined ? {} : { [header]: '/master.matrix/other' }
    return [{ name, method, target, headers, needed: enough[operation.needs] }]
  })

  /** Operations may remove what the next one is about. */
  async function restore(): Promise<void> {
    assert.equal((await put('/master.matrix')).status, 200)
    for (const role of ['reader', 'writer', 'owner'] as const) await server.grant(role, 'matrix', role)
  }

  for (const [rank, role] of roles.entries()) {
    it(`is refused to ${role} before anything is done, unless that is enough`, async () => {
      for (const { name, method, target, headers, needed } of requests) {
        await restore()
        touched = []
        const body = method === 'PUT' || method === 'POST' ? { body: '' } : {}
        const reply = await ask(method, target, keys.get(role), { headers, ...body })
        // HEAD answers have no code.
        const isRefused = method === 'HEAD' ? reply.status === 403 : reply.code === 'AccessDenied'
        if (rank < needed) {
          assert.equal(isRefused, true, `${role} ${name}: ${reply.status} ${reply.text}`)
          assert.deepEqual(touched, [], name)
        } else {
          assert.equal(isRefused, false, `${role} ${name}: ${reply.text}`)
        }
      }
    })
  }

  it('that any key may ask for decides by itself: there are two', () => {
    const known = registry.filter(({ operation }) => operation?.needs === 'known').map(({ name }) => name)
    assert.deepEqual(known, ['ListBuckets', 'CreateBucket'])
  })

  it('DeleteBucket is for owners only, whoever else may write', async () => {
    await put('/removed')
    for (const role of ['writer', 'owner'] as const) await server.grant(role, 'removed', role)
    assert.equal((await remove('/removed', keys.get('writer'))).code, 'AccessDenied')
    assert.equal((await remove('/removed', keys.get('owner'))).status, 204)
  })
})

describe('users', () => {
  let ada: IssuedKey & { canonicalId: string }
  let bob: IssuedKey & { canonicalId: string }
  before(async () => {
    ada = await server.user('ada')
    bob = await server.user('bob')
  })

  it('own the repos that they make, list their own buckets only, and are shown as owners', async () => {
    assert.equal((await put('/ada-data', ada)).status, 200)
    assert.equal((await put('/ada-data', ada)).status, 200)
    assert.equal((await put('/bob-data', bob)).status, 200)
    assert.equal((await put('/ada-data/a', ada)).status, 200)
    const names = async (key: Key) =>
      [...(await get('/', key)).text.matchAll(/<Name>([^<]*)</g)].map(([, name]) => name)
    assert.deepEqual(await names(ada), ['ada-data'])
    assert.deepEqual(await names(bob), ['bob-data'])
    assert.ok((await names(testKey)).includes('ada-data'))
    const listed = await get('/ada-data?list-type=2&fetch-owner=true')
    assert.match(listed.text, new RegExp(`<Owner><ID>${ada.canonicalId}</ID><DisplayName>ada</DisplayName></Owner>`))
    assert.match((await get('/', ada)).text, new RegExp(`<Owner><ID>${ada.canonicalId}</ID>`))
  })

  it('are told what AWS tells of buckets of others, and of buckets that are not there', async () => {
    await put('/ada-own', ada)
    assert.deepEqual([(await get('/ada-own', bob)).status, (await get('/ada-own', bob)).code], [403, 'AccessDenied'])
    assert.equal((await ask('HEAD', '/ada-own', bob)).status, 403)
    assert.equal((await get('/nowhere', bob)).code, 'NoSuchBucket')
    assert.equal((await ask('HEAD', '/nowhere', bob)).status, 404)
    assert.equal((await put('/nowhere/a', bob)).code, 'NoSuchBucket')
    for (const bucket of ['/ada-own', '/dev.ada-own', '/master.ada-own']) {
      const reply = await put(bucket, bob)
      assert.deepEqual([reply.status, reply.code], [409, 'BucketAlreadyExists'], bucket)
    }
    assert.equal((await get('/dev.ada-own')).code, 'NoSuchBucket')
  })

  it('make no repos where they may not, and branches where they may write', async () => {
    const { key } = await server.users.create({ name: 'guest', mayCreateRepos: false })
    assert.equal((await put('/guest-data', key)).code, 'AccessDenied')
    await put('/shared')
    await server.grant('guest', 'shared', 'reader')
    assert.equal((await put('/dev.shared', key)).code, 'BucketAlreadyExists')
    await server.grant('guest', 'shared', 'writer')
    assert.equal((await put('/dev.shared', key)).status, 200)
    assert.equal((await put('/shared', key)).status, 200)
  })

  it('lose a role with the next request, and their roles with the repo', async () => {
    await put('/lent')
    await put('/lent/a')
    await server.grant('bob', 'lent', 'reader')
    assert.equal((await get('/lent/a', bob)).status, 200)
    await server.grant('bob', 'lent', undefined)
    assert.equal((await get('/lent/a', bob)).status, 403)
    await server.grant('bob', 'lent', 'owner')
    assert.equal((await get('/lent/a', bob)).status, 200)
    await remove('/lent/a')
    assert.equal((await remove('/lent')).status, 204)
    assert.equal((await put('/lent', ada)).status, 200)
    await put('/lent/a', ada)
    assert.equal((await get('/lent/a', bob)).status, 403)
  })

  it('are gone with the next request when they are deleted', async () => {
    const carl = await server.user('carl')
    await put('/carl-data', carl)
    await put('/carl-data/a', carl)
    await server.users.delete('carl')
    assert.equal((await get('/carl-data/a', carl)).code, 'InvalidAccessKeyId')
    const listed = await get('/carl-data?list-type=2&fetch-owner=true')
    assert.match(listed.text, /<DisplayName>carl<\/DisplayName>/)
  })

  it('copy from what they may read only', async () => {
    await put('/ada-secret', ada)
    await put('/ada-secret/a', ada, 'secret')
    await put('/bob-copies', bob)
    assert.equal((await copy('/bob-copies/a', '/ada-secret/a', bob)).code, 'AccessDenied')
    assert.equal((await copy('/bob-copies/a', '/nowhere/a', bob)).code, 'NoSuchBucket')
    const upload = /<UploadId>([^<]*)</.exec((await ask('POST', '/bob-copies/b?uploads', bob)).text)?.[1]
    assert.equal(
      (await copy(`/bob-copies/b?partNumber=1&uploadId=${upload}`, '/ada-secret/a', bob)).code,
      'AccessDenied',
    )
    await server.grant('bob', 'ada-secret', 'reader')
    assert.equal((await copy('/bob-copies/a', '/ada-secret/a', bob)).status, 200)
  })

  it('are told of a flush how it ends, and why only where they may read', async () => {
    await put('/veiled', ada)
    const { versioning, db } = server.store
    const output = { repo: parseRepoName('hidden'), branch: parseBranchName('master') }
    const inputs = [{ repo: parseRepoName('veiled'), branch: parseBranchName('master') }]
    await db.write((tx) => versioning.derived.define(tx, { output, pipeline: 'hidden', inputs }))
    await put('/veiled/a', ada)
    const sealed = await versioning.seal(inputs[0]!)
    await versioning.waitForCommit(sealed!.commit)
    const [open] = await versioning.derived.listOpen()
    const failure = { kind: 'failed', reason: 'what was in the file' } as const
    await db.write((tx) => versioning.derived.fail(tx, open!.commit, failure))
    for (const path of ['/veiled?flush', '/veiled/.sluice/flush.json']) {
      const seen = (await get(path, ada)).text
      assert.match(seen, /"repo": ?"hidden"/)
      assert.match(seen, /"not shown: ask/)
      assert.doesNotMatch(seen, /what was in the file/)
      assert.match((await get(path)).text, /what was in the file/)
    }
    await server.grant('ada', 'hidden', 'reader')
    assert.match((await get('/veiled?flush', ada)).text, /what was in the file/)
  })

  it('may expect who owns a bucket', async () => {
    await put('/expected', ada)
    const expecting = (id: string, key: Key = ada) =>
      ask('GET', '/expected', key, { headers: { 'x-amz-expected-bucket-owner': id } })
    assert.equal((await expecting(ada.canonicalId)).status, 200)
    assert.equal((await expecting(ada.canonicalId, testKey)).status, 200)
    assert.equal((await expecting(bob.canonicalId)).code, 'AccessDenied')
    const source = (id: string) =>
      put('/expected/b', ada, '', {
        'x-amz-copy-source': '/expected/a',
        'x-amz-source-expected-bucket-owner': id,
      })
    await put('/expected/a', ada)
    assert.equal((await source(bob.canonicalId)).code, 'AccessDenied')
    assert.equal((await source(ada.canonicalId)).status, 200)
    // Of what they may not read they learn nothing by guessing.
    await put('/bob-guesses', bob)
    for (const id of [ada.canonicalId, bob.canonicalId]) {
      const headers = { 'x-amz-copy-source': '/expected/a', 'x-amz-source-expected-bucket-owner': id }
      assert.equal((await ask('GET', '/bob-guesses', bob, { headers })).status, 200)
      assert.match((await put('/bob-guesses/a', bob, '', headers)).text, /needs the right to read/)
    }
  })
})

describe('temporary credentials', () => {
  let key: IssuedKey & { canonicalId: string }
  before(async () => {
    key = await server.user('tina')
    await put('/tina', key)
    await put('/dev.tina', key)
    for (const name of ['team/a/x', 'team/b/x', 'team', 'other']) await put(`/master.tina/${name}`, key)
  })
  beforeEach(async () => {
    await put('/master.tina/team/a/x', key)
  })

  it('do what their maker may do', async () => {
    const lent = await server.lend(key)
    assert.equal((await put('/master.tina/lent', lent)).status, 200)
    assert.equal((await get('/master.tina/lent', lent)).status, 200)
    assert.match((await get('/', lent)).text, /<Name>tina<\/Name>/)
    assert.equal((await get('/ada-secret/a', lent)).status, 403)
  })

  it('without their token, with that of others, or after their maker is gone are refused', async () => {
    const lent = await server.lend(key)
    const { sessionToken } = await server.lend(key)
    const { accessKeyId, secretAccessKey } = lent
    assert.equal((await get('/tina', { accessKeyId, secretAccessKey })).code, 'InvalidAccessKeyId')
    assert.equal((await get('/tina', { ...lent, sessionToken })).code, 'InvalidToken')
    assert.equal((await get('/tina', { ...key, sessionToken: lent.sessionToken })).code, 'InvalidToken')
    assert.equal((await get('/tina', { ...testKey, sessionToken: 'x' })).code, 'InvalidToken')
  })

  it('bound to reading write nothing', async () => {
    const lent = await server.lend(key, [{ repo: 'tina', role: 'reader' }])
    assert.equal((await get('/master.tina/team/a/x', lent)).status, 200)
    for (const reply of [
      await put('/master.tina/n', lent),
      await remove('/master.tina/team/a/x', lent),
      await bulkDelete('master.tina', lent, 'other'),
      await ask('POST', '/master.tina/n?uploads', lent),
      await copy('/master.tina/n', '/master.tina/other', lent),
    ]) {
      assert.match(reply.text, /<Code>AccessDenied<\/Code>/)
    }
    assert.equal((await put('/more.tina', lent)).code, 'BucketAlreadyExists')
    assert.equal((await put('/brand-new', lent)).code, 'AccessDenied')
    assert.equal((await get('/master.tina/other', lent)).status, 200)
  })

  it('bound to a prefix stay below it, by whatever way', async () => {
    const lent = await server.lend(key, [{ repo: 'tina', role: 'writer', prefix: 'team/a/' }])
    const denied = async (what: string, reply: ReturnType<typeof ask>) => {
      const { text, code } = await reply
      assert.equal(code, 'AccessDenied', `${what}: ${text}`)
    }
    assert.equal((await get('/master.tina/team/a/x', lent)).status, 200)
    assert.equal((await put('/master.tina/team/a/y', lent)).status, 200)
    assert.equal((await copy('/master.tina/team/a/z', '/master.tina/team/a/x', lent)).status, 200)
    assert.equal((await get('/master.tina?prefix=team/a/', lent)).status, 200)
    assert.equal((await get('/master.tina?list-type=2&delimiter=/&prefix=team/a/x', lent)).status, 200)
    assert.equal((await get('/master.tina?uploads&prefix=team/a/', lent)).status, 200)
    assert.equal((await ask('HEAD', '/master.tina', lent)).status, 200)
    assert.match((await get('/', lent)).text, /<Name>tina<\/Name>/)

    for (const path of [
      'team/b/x',
      'team',
      'team/a',
      'team/b/../a/x',
      'team%2Fb%2Fx',
      '%74eam/b/x',
      './team/a/x',
      '/team/a/x',
      'other',
      '.sluice/log.json',
      '.sluice/provenance/team/a/x',
    ]) {
      await denied(`GET ${path}`, get(`/master.tina/${path}`, lent))
      if (!path.startsWith('.sluice')) await denied(`PUT ${path}`, put(`/master.tina/${path}`, lent))
    }
    // In S3 a key is a key: this one is below the prefix, and no path.
    assert.equal((await put('/master.tina/team/a/%2E%2E/b/x', lent)).status, 200)
    assert.equal((await get('/master.tina/team/b/x', key)).text, 'x')

    for (const query of [
      '',
      'list-type=2',
      'prefix=team',
      'prefix=team%2Fb',
      'prefix=&delimiter=/',
      'versions',
      'uploads',
    ]) {
      await denied(`list ${query}`, get(`/master.tina?${query}`, lent))
    }
    await denied('copy out of it', copy('/master.tina/team/a/w', '/master.tina/team/b/x', lent))
    await denied('copy out of it, encoded', copy('/master.tina/team/a/w', '/master.tina/team%2Fb%2Fx', lent))
    await denied('copy to elsewhere', copy('/master.tina/team/b/w', '/master.tina/team/a/x', lent))
    await denied('flush', get('/master.tina?flush', lent))
    const rename = (path: string, source: string) =>
      put(`/master.tina/${path}?renameObject`, lent, '', { 'x-amz-rename-source': source })
    await denied('rename out of it', rename('team/a/w', 'team/b/x'))
    await denied('rename to elsewhere', rename('team/b/w', 'team/a/x'))
    await denied('make a commit', put('/master.tina/.sluice/commit', lent, 'a message'))
    await denied('tags of others', get('/master.tina/team/b/x?tagging', lent))
    await denied('share it', put('/master.tina/team/a/w', lent, 'x', { 'x-amz-acl': 'public-read' }))
    assert.equal((await put('/more.tina', lent)).code, 'BucketAlreadyExists')
    await denied('delete the bucket', remove('/dev.tina', lent))
    const deleted = await bulkDelete('master.tina', lent, 'team/a/y', 'team/b/x', 'other', 'team/a/../b/x')
    assert.deepEqual(
      [...deleted.text.matchAll(/<Error><Key>([^<]*)<\/Key><Code>(\w+)</g)].map(([, name, code]) => [name, code]),
      [
        ['team/b/x', 'AccessDenied'],
        ['other', 'AccessDenied'],
      ],
    )
    assert.equal((await get('/master.tina/team/b/x', key)).status, 200)
    assert.equal((await get('/master.tina/team/a/y', key)).status, 404)
    // What the control folder tells is about the whole bucket, whatever the prefix.
    for (const prefix of ['.', '.sluice/']) {
      const dotted = await server.lend(key, [{ repo: 'tina', role: 'writer', prefix }])
      await denied(`control with ${prefix}`, get('/master.tina/.sluice/diff.json', dotted))
      await denied(`commit with ${prefix}`, put('/master.tina/.sluice/commit', dotted, 'a message'))
    }
  })

  it('bound to a branch reach that bucket alone, and no version that is named by its id', async () => {
    const lent = await server.lend(key, [{ repo: 'tina', role: 'writer', branch: 'dev' }])
    const made = await put('/dev.tina/a', lent)
    assert.equal(made.status, 200)
    assert.equal((await get('/dev.tina/a', lent)).status, 200)
    assert.equal((await get('/dev.tina', lent)).status, 200)
    const commit = (await ask('HEAD', '/master.tina/other', key)).headers['x-sluice-commit']
    for (const path of ['/tina/other', '/master.tina/other', `/${commit}.tina/other`, '/tina', '/master.tina']) {
      assert.equal((await get(path, lent)).code, 'AccessDenied', path)
    }
    for (const version of [commit, `${commit}-1`, made.headers['x-amz-version-id']]) {
      assert.equal((await get(`/dev.tina/other?versionId=${version}`, lent)).code, 'AccessDenied', String(version))
      const source = `/dev.tina/other?versionId=${version}`
      assert.equal((await copy('/dev.tina/b', source, lent)).code, 'AccessDenied', String(version))
    }
    const id = made.headers['x-amz-version-id']
    const object = `<Object><Key>a</Key><VersionId>${id}</VersionId></Object>`
    const deleted = await ask('POST', '/dev.tina?delete', lent, { body: `<Delete>${object}</Delete>` })
    assert.match(deleted.text, /<Code>AccessDenied</)
    assert.equal((await remove(`/dev.tina/a?versionId=${id}`, lent)).code, 'AccessDenied')
    assert.equal((await get('/dev.tina/a', lent)).status, 200)
    assert.equal((await get(`/dev.tina?flush=${commit}`, lent)).code, 'AccessDenied')
    assert.equal((await copy('/dev.tina/b', '/master.tina/other', lent)).code, 'AccessDenied')
    assert.equal((await put('/dev2.tina', lent)).code, 'BucketAlreadyExists')
  })
})
