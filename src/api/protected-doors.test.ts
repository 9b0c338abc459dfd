import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { tarOf } from '../versioning/testing/tar.ts'
import type { BranchJson, CommitJson, FileJson, MergeJson, TagJson } from './contract.ts'
import { routes } from './routes.ts'
import { testApi } from './testing/api.ts'
import { type Ask, codeOf, messageOf, send } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

const MASTER = '/v1/repos/guarded/branches/master'

interface Known {
  readonly first: string
}

const body = (method: string, value: unknown) => ({ method, body: JSON.stringify(value) })
const json = (method: string, path: string, value: unknown): Ask => ({ path, ...body(method, value) })

/** What would change the branch: refused of everybody. */
const refusedDoors: Readonly<Record<string, (known: Known) => readonly Ask[]>> = {
  'DELETE /v1/repos/:repo': () => [{ method: 'DELETE', path: '/v1/repos/guarded' }],
  'DELETE /v1/repos/:repo/branches/:branch': () => [
    { method: 'DELETE', path: MASTER },
    { method: 'DELETE', path: `${MASTER}?force=true` },
  ],
  'POST /v1/repos/:repo/branches/:branch/start': () => [json('POST', `${MASTER}/start`, {})],
  'POST /v1/repos/:repo/branches/:branch/finish': () => [json('POST', `${MASTER}/finish`, { message: 'mine' })],
  'POST /v1/repos/:repo/branches/:branch/restore': ({ first }) => [json('POST', `${MASTER}/restore`, { to: first })],
  'POST /v1/repos/:repo/branches/:branch/transactions': () => [json('POST', `${MASTER}/transactions`, { name: 'new' })],
  'POST /v1/repos/:repo/branches/:branch/transactions/:name/finish': () => [
    json('POST', `${MASTER}/transactions/open/finish`, {}),
  ],
  'POST /v1/repos/:repo/branches/:branch/revert': ({ first }) => [
    json('POST', `${MASTER}/revert`, { commit: 'master' }),
    json('POST', `${MASTER}/revert`, { commit: first, resolve: { all: 'theirs' } }),
  ],
  'POST /v1/repos/:repo/branches/:branch/move': ({ first }) => [
    json('POST', `${MASTER}/move`, { to: first }),
    json('POST', `${MASTER}/move`, { to: 'master' }),
  ],
  'PUT /v1/repos/:repo/branches/:branch/file': () => [
    { method: 'PUT', path: `${MASTER}/file?path=a`, body: 'x' },
    { method: 'PUT', path: `${MASTER}/file?path=_temporary/0/a`, body: 'x' },
  ],
  'DELETE /v1/repos/:repo/branches/:branch/file': () => [{ method: 'DELETE', path: `${MASTER}/file?path=a` }],
  'POST /v1/repos/:repo/branches/:branch/files/move': () => [
    json('POST', `${MASTER}/files/move`, { from: 'a', to: 'moved' }),
    json('POST', `${MASTER}/files/move`, { from: 'b', to: 'a', force: true }),
  ],
  'POST /v1/repos/:repo/branches/:branch/files/copy': () => [
    json('POST', `${MASTER}/files/copy`, { source: 'guarded@dev', from: 'a', to: 'copied' }),
  ],
  'POST /v1/repos/:repo/branches/:branch/import': () => [
    { method: 'POST', path: `${MASTER}/import`, body: tarOf({ name: 'a', body: 'x' }) },
  ],
  'POST /v1/pipelines': () => [
    json('POST', '/v1/pipelines', {
      pipeline: { name: 'guarded' },
      input: { pfs: { repo: 'input', glob: '/' } },
      transform: { cmd: ['true'] },
    }),
  ],
}

/** What is about the branch and leaves its files alone. */
const letThrough: Readonly<Record<string, () => readonly Ask[]>> = {
  'POST /v1/repos/:repo/branches': () => [
    json('POST', '/v1/repos/guarded/branches', { name: 'master' }),
    json('POST', '/v1/repos/guarded/branches', { name: 'fresh', from: 'master' }),
  ],
  'POST /v1/flush': () => [json('POST', '/v1/flush', { commits: ['guarded@master'], force: true })],
  'DELETE /v1/repos/:repo/branches/:branch/transactions/:name': () => [
    { method: 'DELETE', path: `${MASTER}/transactions/open` },
  ],
  'PUT /v1/repos/:repo/branches/:branch/batch': () => [json('PUT', `${MASTER}/batch`, { idleMs: 5_000 })],
  'PUT /v1/repos/:repo/branches/:branch/protection': () => [json('PUT', `${MASTER}/protection`, { protected: true })],
  'POST /v1/repos/:repo/tags': () => [json('POST', '/v1/repos/guarded/tags', { name: 'v1', at: 'master' })],
  'DELETE /v1/repos/:repo/tags/:tag': () => [{ method: 'DELETE', path: '/v1/repos/guarded/tags/v1' }],
  'PUT /v1/repos/:repo/retention': () => [json('PUT', '/v1/repos/guarded/retention', { keepCommits: 1 })],
  'DELETE /v1/repos/:repo/retention': () => [{ method: 'DELETE', path: '/v1/repos/guarded/retention' }],
  'POST /v1/gc': () => [json('POST', '/v1/gc', {})],
  'POST /v1/fsck': () => [json('POST', '/v1/fsck', {})],
}

/** What changes it: merges, and what an administrator takes out of all history, which is recorded. */
const changing = ['POST /v1/repos/:repo/branches/:branch/merge', 'POST /v1/repos/:repo/purges']

/** What is about no branch. */
const elsewhere = [
  'POST /v1/repos',
  'DELETE /v1/pipelines/:name',
  'POST /v1/pipelines/:name/stop',
  'POST /v1/pipelines/:name/start',
  'POST /v1/jobs/:job/kill',
  'POST /v1/egress',
  'POST /v1/egress/:egress/retry',
  'POST /v1/egress/:egress/cancel',
  'POST /v1/egress/:egress/verify',
  'POST /v1/secrets',
  'PUT /v1/secrets/:name',
  'DELETE /v1/secrets/:name',
  'POST /v1/users',
  'DELETE /v1/users/:user',
  'POST /v1/users/:user/rotate',
  'POST /v1/credentials',
  'PUT /v1/repos/:repo/roles/:user',
  'DELETE /v1/repos/:repo/roles/:user',
  'POST /v1/backups',
  'POST /v1/backups/verify',
  'POST /v1/backups/remove',
]

describe('a protected branch, by the routes of the API', () => {
  let stack: Stack
  let known: Known
  before(async () => {
    stack = await openStack({ idleMs: 60_000 })
    await newBranch('guarded')
    await newBranch('input')
    const first = await commit('guarded', { a: 'first' })
    await commit('guarded', { a: 'kept', b: 'kept' })
    await ask('Branch', '/v1/repos/guarded/branches', body('POST', { name: 'dev', from: 'master' }))
    await ask('Transaction', `${MASTER}/transactions`, body('POST', { name: 'open' }))
    await ask('Branch', `${MASTER}/protection`, body('PUT', { protected: true }))
    known = { first: first.id }
  })
  after(() => stack.close())
  const { ask, commit, newBranch } = testApi(() => stack)

  async function shown(): Promise<string> {
    const { head, openCommit, protected: isProtected } = await ask<BranchJson>('Branch', MASTER)
    const { files } = await ask<{ files: FileJson[] }>('Files', '/v1/repos/guarded/commits/master/files')
    const commits = await ask<CommitJson[]>('Commit', '/v1/repos/guarded/commits?branch=master')
    return JSON.stringify([head, openCommit, isProtected, files, commits.map(({ id }) => id)])
  }

  it('has each route that does something classified', () => {
    const doing = routes.filter(({ method }) => method !== 'GET').map(({ method, path }) => `${method} ${path}`)
    const classified = [...Object.keys(refusedDoors), ...Object.keys(letThrough), ...changing, ...elsewhere]
    assert.deepEqual(doing.sort(), classified.sort())
  })

  for (const [name, doors] of Object.entries(refusedDoors)) {
    it(`is not changed by ${name}, not even by the root key: 403 that says what to do`, async () => {
      const before = await shown()
      for (const door of doors(known)) {
        const reply = await send(stack.url, door)
        const where = `${door.method} ${door.path}: ${reply.status} ${reply.text}`
        assert.deepEqual([reply.status, codeOf(reply)], [403, 'ReadOnly'], where)
        assert.match(messageOf(reply), /guarded@master is protected/, where)
        assert.equal(await shown(), before, where)
      }
    })
  }

  for (const [name, doors] of Object.entries(letThrough)) {
    it(`lets ${name} through, which changes no file of it`, async () => {
      const before = await shown()
      for (const door of doors()) {
        const reply = await send(stack.url, door)
        assert.ok(reply.status < 300, `${door.method} ${door.path}: ${reply.status} ${reply.text}`)
        assert.equal(await shown(), before, `${door.method} ${door.path}`)
      }
    })
  }

  it('takes a revert that is made on a branch and merged', async () => {
    const dev = '/v1/repos/guarded/branches/dev'
    await ask('Revert', `${dev}/revert`, body('POST', { commit: 'master' }))
    const merged = await ask<MergeJson>('Merge', `${MASTER}/merge`, body('POST', { from: 'dev' }))
    assert.ok(merged.kind === 'merged')
    assert.deepEqual([merged.changed, merged.deleted], [1, 1])
    const tag = json('POST', '/v1/repos/guarded/tags', { name: 'v2', at: 'master' })
    assert.equal((await ask<TagJson>('Tag', tag.path, tag)).commit, merged.commit.id)
  })

  it('can not be the output of a pipeline', async () => {
    const pipeline = {
      pipeline: { name: 'output' },
      input: { pfs: { repo: 'input', glob: '/' } },
      transform: { cmd: ['true'] },
    }
    const made = await send(stack.url, json('POST', '/v1/pipelines', pipeline))
    assert.ok(made.status < 300, made.text)
    const path = '/v1/repos/output/branches/master/protection'
    const reply = await send(stack.url, json('PUT', path, { protected: true }))
    assert.deepEqual([reply.status, codeOf(reply)], [403, 'ReadOnly'])
    assert.match(messageOf(reply), /output of pipeline output.*can't be protected/)
  })
})
