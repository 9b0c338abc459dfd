import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { IssuedKey } from '../kernel/index.ts'
import { parsePath, parseRepoName } from '../versioning/index.ts'
import type { EgressJson, EgressRequestedJson, UserCreatedJson } from './contract.ts'
import { jobEgressJson } from './egress-views.ts'
import { faultsOf } from './testing/conforms.ts'
import { type Ask, codeOf, messageOf, type Reply, read, sendJson } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

type Key = NonNullable<Ask['key']>

let stack: Stack
let reader: IssuedKey
let stranger: IssuedKey
const ask = (method: string, path: string, body?: unknown, key?: Key): Promise<Reply> =>
  sendJson(stack.url, { method, path, ...(key && { key }) }, body)
const target = { URL: 's3://bucket/dir', secret: 'pushing' }

before(async () => {
  stack = await openStack()
  const images = parseRepoName('images')
  const at = { repo: images, branch: 'master' as never }
  await stack.versioning.createRepo(images)
  const staged = await stack.versioning.content.putBytes(Buffer.from('x'))
  await stack.versioning.put(at, { path: parsePath('a'), staged, etag: 'x', attributes: { metadata: {} } })
  await stack.versioning.finishCommit(at)
  await stack.options.secrets.create({ name: 'pushing', accessKeyId: 'id', secretAccessKey: 'the secret part' })
  for (const name of ['reader', 'stranger']) {
    const { key } = await read<UserCreatedJson>(ask('POST', '/v1/users', { name }))
    if (name === 'reader') reader = key
    else stranger = key
  }
  await stack.versioning.roles.set(images, (await stack.options.users.inspect('reader')).canonicalId, 'reader')
})
after(() => stack.close())

describe('an egress over the API', () => {
  let id: string

  it('is asked for by an administrator, and answered with its id and where it goes', async () => {
    const reply = await ask('POST', '/v1/egress', { commit: 'images@master', egress: target })
    assert.equal(reply.status, 201)
    const { egress, notes } = JSON.parse(reply.text) as EgressRequestedJson
    assert.deepEqual(faultsOf('EgressRequested', { egress, notes }), [])
    assert.match(notes.join(), /egress goes to s3:\/\/bucket\/dir/)
    assert.deepEqual([egress.state, egress.repo, egress.url, egress.askedBy], ['waiting', 'images', target.URL, 'root'])
    assert.doesNotMatch(reply.text, /the secret part/)
    id = egress.id
    for (const key of [reader, stranger]) {
      const refused = await ask('POST', '/v1/egress', { commit: 'images@master', egress: target }, key)
      assert.equal(codeOf(refused), 'AccessDenied')
    }
  })

  it('is refused with what is wrong', async () => {
    for (const [body, code, message] of [
      [{ commit: 'images', egress: target }, 'InvalidInput', /lacks its revision/],
      [{ commit: 'images@master' }, 'InvalidInput', /lacks the field egress/],
      [{ commit: 'images@master', egress: 'x' }, 'InvalidInput', /egress is an object/],
      [
        { commit: 'images@master', egress: { ...target, layuot: 'commit' } },
        'InvalidInput',
        /did you mean egress\.layout/,
      ],
      [{ commit: 'images@other', egress: target }, 'BranchNotFound', /no branch other/],
      [{ commit: 'nothing@master', egress: target }, 'RepoNotFound', /no repo nothing/],
    ] as const) {
      const reply = await ask('POST', '/v1/egress', body)
      assert.equal(codeOf(reply), code, reply.text)
      assert.match(messageOf(reply), message)
    }
  })

  it('is listed and shown to those who may read what it pushes', async () => {
    for (const key of [undefined, reader]) {
      const list = await read<EgressJson[]>(ask('GET', '/v1/egress?state=waiting', undefined, key))
      assert.deepEqual(
        list.map((egress) => [egress.id, faultsOf('Egress', egress)]),
        [[id, []]],
      )
      const shown = await read<EgressJson>(ask('GET', `/v1/egress/${id.slice(0, 10)}`, undefined, key))
      assert.deepEqual(faultsOf('Egress', shown), [])
      assert.deepEqual([shown.id, shown.history], [id, []])
    }
    assert.deepEqual(await read(ask('GET', '/v1/egress', undefined, stranger)), [])
    assert.equal(codeOf(await ask('GET', `/v1/egress/${id}`, undefined, stranger)), 'AccessDenied')
    assert.equal(codeOf(await ask('GET', '/v1/egress?repo=images', undefined, stranger)), 'AccessDenied')
    assert.equal((await ask('GET', `/v1/egress/${'f'.repeat(32)}`)).status, 404)
    assert.equal((await ask('GET', '/v1/egress?state=lost')).status, 400)
    assert.equal(codeOf(await ask('GET', '/v1/egress?repo=nope')), 'RepoNotFound')
  })

  it('is cancelled and retried by an administrator only', async () => {
    for (const what of ['cancel', 'retry']) {
      assert.equal(codeOf(await ask('POST', `/v1/egress/${id}/${what}`, undefined, reader)), 'AccessDenied')
    }
    assert.equal(codeOf(await ask('POST', `/v1/egress/${id}/retry`)), 'EgressRefused')
    const cancelled = await read<EgressJson>(ask('POST', `/v1/egress/${id}/cancel`))
    assert.deepEqual([cancelled.state, cancelled.reason], ['failed', 'cancelled'])
    assert.deepEqual(faultsOf('Egress', cancelled), [])
    const again = await read<EgressJson>(ask('POST', `/v1/egress/${id}/retry`))
    assert.deepEqual([again.state, again.reason, again.finished], ['waiting', undefined, null])
  })
})

it('an egress that tries again says why, how often and since when', () => {
  const counts = { filesTotal: 0, filesDone: 0, filesSkipped: 0, filesDeleted: 0, bytesTotal: 0, bytesDone: 0 }
  const trying = { reason: 'no answer', times: 4, sinceMs: 0 }
  const shown = jobEgressJson({ id: 'x', url: 's3://bucket', state: 'running', ...counts, attempts: 1, trying })
  assert.deepEqual(shown.trying, { reason: 'no answer', times: 4, since: '1970-01-01T00:00:00.000Z' })
  assert.deepEqual(faultsOf('JobEgress', shown), [])
})

it('an egress of a repo that is gone is not shown to the readers of another one of that name', async () => {
  const name = parseRepoName('images')
  assert.ok((await read<EgressJson[]>(ask('GET', '/v1/egress', undefined, reader))).length > 0)
  const [old] = await read<EgressJson[]>(ask('GET', '/v1/egress?repo=images'))
  await stack.versioning.deleteRepo(name)
  await stack.versioning.createRepo(name)
  await stack.versioning.roles.set(name, (await stack.options.users.inspect('stranger')).canonicalId, 'reader')
  for (const path of ['/v1/egress', '/v1/egress?repo=images&limit=1']) {
    assert.deepEqual(await read(ask('GET', path, undefined, stranger)), [])
  }
  const refused = await ask('GET', `/v1/egress/${old!.id}`, undefined, stranger)
  assert.equal(codeOf(refused), 'EgressNotFound')
  assert.equal((await read<EgressJson>(ask('GET', `/v1/egress/${old!.id}`))).id, old!.id)
})
