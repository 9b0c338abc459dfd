import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import type { IssuedKey } from '../kernel/index.ts'
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
