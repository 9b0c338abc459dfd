import assert from 'node:assert/strict'
import { hash, randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { parseRepoName } from '../versioning/index.ts'
import type { GcEventJson, PurgeEventJson, PurgeJson, WhyJson } from './contract.ts'
import { post, testApi } from './testing/api.ts'
import { codeOf, send } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

let stack: Stack
before(async () => {
  stack = await openStack()
})
after(() => stack.close())

const { ask, commit, lines, newBranch } = testApi(() => stack)
const text = () => randomBytes(3_000).toString('hex')

async function gc(body: object = {}): Promise<Extract<GcEventJson, { kind: 'done' }>> {
  const last = (await lines<GcEventJson>('GcEvent', '/v1/gc', post({ graceSeconds: 0, ...body }))).at(-1)
  assert.equal(last?.kind, 'done')
  return last as Extract<GcEventJson, { kind: 'done' }>
}

describe('garbage collection over the API', () => {
  it('says what would go, and removes it', async () => {
    await newBranch('kept')
    await newBranch('gone')
    await commit('kept', { a: text() })
    await commit('gone', { a: text() })
    await stack.versioning.deleteRepo(parseRepoName('gone'))
    const dry = await gc({ dryRun: true })
    assert.deepEqual([dry.dryRun, dry.nodes, dry.chunks, dry.removedChunks], [true, 1, 1, 0])
    const done = await gc()
    assert.deepEqual([done.dryRun, done.nodes, done.chunks, done.removedChunks], [false, 1, 1, 1])
  })

  it('is one at a time', async () => {
    const running = stack.versioning.maintenance.gc({ graceMs: 0 })[Symbol.asyncIterator]()
    await running.next()
    const second = await send(stack.url, { path: '/v1/gc', ...post({}) })
    assert.deepEqual([second.status, codeOf(second)], [409, 'GcRunning'])
    await running.return?.()
    await gc()
  })

  it('refuses a grace that is none', async () => {
    for (const graceSeconds of [-1, 0.5, 1e12]) {
      assert.equal((await send(stack.url, { path: '/v1/gc', ...post({ graceSeconds }) })).status, 400)
    }
  })
})

describe('why, over the API', () => {
  it('names who refers to a content', async () => {
    const body = text()
    await newBranch('why')
    const { id } = await commit('why', { 'dir/file': body })
    const [why] = await lines<WhyJson>('Why', `/v1/why/${hash('sha256', body)}`)
    assert.deepEqual([why!.kind, why!.bytes, why!.total], ['chunk', body.length, 3])
    assert.deepEqual(
      why!.held.find(({ kind }) => kind === 'commit'),
      { kind: 'commit', repo: 'why', branch: 'master', commit: id, path: 'dir/file' },
    )
  })

  it('refuses what is no SHA-256', async () => {
    assert.equal((await send(stack.url, { path: '/v1/why/abc' })).status, 400)
  })
})

describe('purges over the API', () => {
  it('remove a path from all of history, and leave a record', async () => {
    await newBranch('purged')
    const first = await commit('purged', { secret: text(), other: 'other' })
    await commit('purged', { secret: text() })
    const body = { path: 'secret', prefix: false, reason: 'it was never to be there' }
    const events = await lines<PurgeEventJson>('PurgeEvent', '/v1/repos/purged/purges', post(body))
    const last = events.at(-1)
    assert.ok(last?.kind === 'done')
    assert.deepEqual([last.purge.versions, last.purge.commits, last.derivedTotal], [2, 2, 0])
    const file = await send(stack.url, { path: `/v1/repos/purged/commits/${first.id}/file?path=secret` })
    assert.equal(file.status, 404)
    const records = await ask<PurgeJson[]>('Purge', '/v1/purges')
    assert.deepEqual(records, [last.purge])
    assert.equal(records[0]!.reason, body.reason)
  })

  it('are refused without a reason, and in a repo that is not there', async () => {
    const at = (repo: string, body: object) => send(stack.url, { path: `/v1/repos/${repo}/purges`, ...post(body) })
    assert.equal((await at('purged', { path: 'a', prefix: false })).status, 400)
    assert.equal((await at('purged', { path: 'a', prefix: false, reason: '' })).status, 400)
    assert.equal(codeOf(await at('none', { path: 'a', prefix: false, reason: 'why not' })), 'RepoNotFound')
  })
})
