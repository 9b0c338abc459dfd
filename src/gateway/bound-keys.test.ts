import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { IssuedKey } from '../kernel/index.ts'
import { parseBranchName } from '../versioning/index.ts'
import { branchOf } from '../versioning/testing/store.ts'
import { type PeopledServer, startPeopledServer } from './testing/people.ts'
import type { SendOptions } from './testing/server.ts'

const tagging = '<Tagging><TagSet><Tag><Key>by</Key><Value>bound</Value></Tag></TagSet></Tagging>'

describe('a key that is bound to a branch or a transaction', () => {
  let server: PeopledServer
  let key: IssuedKey
  before(async () => {
    server = await startPeopledServer()
    key = await server.user('owner')
    await send('PUT', '/master.images')
    await send('PUT', '/master.images/a', {
      body: 'x',
      headers: { 'x-amz-acl': 'public-read', 'x-amz-tagging': 'by=all' },
    })
    const { versioning } = server.store
    const { id } = await versioning.finishCommit(branchOf('images@master'))
    await versioning.createBranch(branchOf('images@dev'), { from: id })
    await send('PUT', '/tx-load.master.images')
  })
  after(() => server.close())

  async function send(method: string, path: string, options: SendOptions = {}) {
    const reply = await server.send(method, path, { key, ...options })
    return { status: reply.status, text: await reply.text() }
  }

  for (const branch of ['dev', 'tx-load.master']) {
    it(`changes nothing beside a version that other branches show too: ${branch}`, async () => {
      const bound = await server.lend(key, [{ repo: 'images', role: 'writer', branch }])
      assert.equal((await send('GET', `/${branch}.images/a`, { key: bound })).text, 'x')
      const headers = { 'x-amz-acl': 'private' }
      for (const [method, query, more] of [
        ['PUT', 'tagging', { body: tagging }],
        ['DELETE', 'tagging', {}],
        ['PUT', 'acl', { headers }],
      ] as const) {
        const reply = await send(method, `/${branch}.images/a?${query}`, { key: bound, ...more })
        assert.match(reply.text, /<Code>AccessDenied</, `${method} ${query}`)
      }
      assert.match((await send('GET', '/master.images/a?tagging')).text, /<Value>all</)
      assert.match((await send('GET', '/master.images/a?acl')).text, /AllUsers/)
    })

    it(`changes what stands beside versions of its own: ${branch}`, async () => {
      const bound = await server.lend(key, [{ repo: 'images', role: 'writer', branch }])
      const path = `/${branch}.images/own`
      assert.equal((await send('PUT', path, { key: bound, body: 'y' })).status, 200)
      assert.equal((await send('PUT', `${path}?tagging`, { key: bound, body: tagging })).status, 200)
      assert.match((await send('GET', `${path}?tagging`, { key: bound })).text, /<Value>bound</)
      assert.equal((await send('DELETE', `${path}?tagging`, { key: bound })).status, 204)
      assert.equal((await send('PUT', `${path}?acl`, { key: bound, headers: { 'x-amz-acl': 'private' } })).status, 200)
    })
  }
})

describe('a tag, asked by a key that is bound', () => {
  let server: PeopledServer
  let key: IssuedKey
  before(async () => {
    server = await startPeopledServer()
    key = await server.user('owner')
    const { versioning } = server.store
    await send('PUT', '/master.images')
    for (const path of ['team/a', 'other']) await send('PUT', `/master.images/${path}`, { body: 'of master' })
    const { id } = await versioning.finishCommit(branchOf('images@master'))
    await versioning.createBranch(branchOf('images@dev'), { from: id })
    for (const path of ['team/a', 'other']) await send('PUT', `/dev.images/${path}`, { body: 'of dev' })
    const own = await versioning.finishCommit(branchOf('images@dev'))
    for (const [name, commit] of [
      ['of-master', id],
      ['of-dev', own.id],
    ] as const) {
      await versioning.commitTags.create(branchOf('images').repo, parseBranchName(name), commit)
    }
  })
  after(() => server.close())

  async function send(method: string, path: string, options: SendOptions = {}) {
    const reply = await server.send(method, path, { key, ...options })
    return { status: reply.status, text: await reply.text() }
  }
  /** Everything that can be asked of a bucket, and that shows what is in it. */
  const reads = (bucket: string): readonly (readonly [method: string, path: string, options?: SendOptions])[] => [
    ['GET', `/${bucket}/team/a`],
    ['HEAD', `/${bucket}/team/a`],
    ['GET', `/${bucket}/team/a?tagging`],
    ['GET', `/${bucket}/team/a?attributes`, { headers: { 'x-amz-object-attributes': 'ETag' } }],
    ['GET', `/${bucket}`],
    ['GET', `/${bucket}?list-type=2&prefix=team/`],
    ['GET', `/${bucket}?versions&prefix=team/`],
    ['HEAD', `/${bucket}`],
    ['GET', `/${bucket}?flush`],
    ...['commit', 'log', 'diff', 'provenance', 'flush'].map(
      (name) => ['GET', `/${bucket}/.sluice/${name}.json`] as const,
    ),
    ['GET', `/${bucket}/.sluice/provenance/team/a`],
    ['PUT', '/dev.images/copied', { headers: { 'x-amz-copy-source': `/${bucket}/team/a` }, body: '' }],
  ]

  for (const grant of [{ branch: 'dev' }, { branch: 'dev', prefix: 'team/' }, { branch: 'tx-load.dev' }]) {
    it(`is refused to one of ${JSON.stringify(grant)}, be it of a commit of that branch`, async () => {
      const bound = await server.lend(key, [{ repo: 'images', role: 'writer', ...grant }])
      for (const bucket of ['of-master.images', 'of-dev.images', 'images']) {
        for (const [method, path, options = {}] of reads(bucket)) {
          const { status, text } = await send(method, path, { ...options, key: bound })
          assert.equal(status, 403, `${method} ${path}: ${text}`)
          assert.doesNotMatch(text, /of master|of dev|[0-9a-f]{32}/, path)
        }
      }
    })
  }

  it('shows to one that is bound to a prefix what is below it, as every branch does', async () => {
    const bound = await server.lend(key, [{ repo: 'images', role: 'reader', prefix: 'team/' }])
    assert.equal((await send('GET', '/of-master.images/team/a', { key: bound })).text, 'of master')
    const listed = await send('GET', '/of-dev.images?list-type=2&prefix=team/', { key: bound })
    assert.match(listed.text, /<Key>team\/a</)
    for (const path of [
      '/other',
      '',
      '?list-type=2',
      '?list-type=2&prefix=te',
      '/.sluice/commit.json',
      '/.sluice/log.json',
    ]) {
      const { status, text } = await send('GET', `/of-master.images${path}`, { key: bound })
      assert.equal(status, 403, `${path}: ${text}`)
    }
  })

  it('is all that one sees that is bound to it, and nothing that can be written', async () => {
    const bound = await server.lend(key, [{ repo: 'images', role: 'writer', branch: 'of-master' }])
    assert.equal((await send('GET', '/of-master.images/other', { key: bound })).text, 'of master')
    const denied = [
      ['GET', '/master.images/other'],
      ['GET', '/dev.images/other'],
      ['GET', '/of-dev.images/other'],
      ['PUT', '/of-master.images/other', { body: 'x' }],
      ['DELETE', '/of-master.images/other'],
      ['PUT', '/of-master.images/other?tagging', { body: tagging }],
      ['DELETE', '/of-master.images'],
    ] as const
    for (const [method, path, options = {}] of denied) {
      const { status, text } = await send(method, path, { ...options, key: bound })
      assert.equal(status, 403, `${method} ${path}: ${text}`)
    }
    assert.equal((await send('GET', '/master.images/other')).text, 'of master')
  })
})
