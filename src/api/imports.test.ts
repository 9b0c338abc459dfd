import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { tarOf } from '../versioning/testing/tar.ts'
import type { FilesJson, ImportedJson, ImportJson } from './contract.ts'
import { testApi } from './testing/api.ts'
import { faultsOf } from './testing/conforms.ts'
import { codeOf, messageOf, type Reply, send, strangerKey } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

let stack: Stack
before(async () => {
  stack = await openStack()
})
after(() => stack.close())

const { ask, commit, newBranch, put } = testApi(() => stack)

const post = (repo: string, body: Buffer, query = '', more: object = {}): Promise<Reply> =>
  send(stack.url, { method: 'POST', path: `/v1/repos/${repo}/branches/master/import${query}`, body, ...more })

function result(reply: Reply): ImportedJson {
  assert.equal(reply.status, 200, reply.text)
  const lines = reply.text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as ImportJson)
  for (const line of lines) assert.deepEqual(faultsOf('Import', line), [])
  const last = lines.at(-1)
  assert.equal(last?.kind, 'imported', reply.text)
  return last as ImportedJson
}

const archive = tarOf({ name: 'a.csv', body: '1,2' }, { name: 'd/b', body: 'x'.repeat(2_000_000) })

describe('an import', () => {
  it('makes one commit of an archive below a folder, and tells what it did', async () => {
    await newBranch('one')
    await put('one', 'before', 'x')
    const done = result(await post('one', archive, '?prefix=in/&message=both'))
    assert.deepEqual([done.files, done.added, done.changed, done.unchanged, done.skippedTotal], [2, 2, 0, 0, 0])
    assert.deepEqual([done.commit.message, done.commit.files, done.commit.state], ['both', 3, 'finished'])
    const { files } = await ask<FilesJson>('Files', '/v1/repos/one/commits/master/files')
    assert.deepEqual(
      files.map(({ path }) => path),
      ['before', 'in/a.csv', 'in/d/b'],
    )
  })

  it('is refused, and nothing is changed, for what is no archive, was changed on its way, or can not be stored', async () => {
    await newBranch('bad')
    await commit('bad', { kept: 'x' })
    const refused = await post('bad', Buffer.from('no archive'.repeat(100)))
    assert.deepEqual([refused.status, codeOf(refused)], [400, 'InvalidArchive'])
    const changed = await post('bad', archive, '', { bodySha256: '0'.repeat(64) })
    assert.deepEqual([changed.status, codeOf(changed)], [400, 'BodyMismatch'])
    const link = await post('bad', tarOf({ name: 'link', type: '2', linkname: 'kept' }))
    assert.deepEqual([link.status, codeOf(link)], [400, 'InvalidArchive'])
    assert.match(messageOf(link), /"link" in the archive is a symbolic link/)
    const control = await post('bad', archive, '?prefix=.sluice/')
    assert.equal(control.status, 400)
    assert.equal((await post('bad', archive, '?prefx=in/')).status, 400, 'a query that is misspelt')
    assert.equal((await post('none', archive)).status, 404)
    const { files } = await ask<FilesJson>('Files', '/v1/repos/bad/commits/master/files')
    assert.deepEqual(
      files.map(({ path }) => path),
      ['kept'],
    )
  })

  it('needs the right to write', async () => {
    await newBranch('closed')
    const refused = await post('closed', archive, '', { key: strangerKey })
    assert.equal(refused.status, 403)
  })
})
