import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { parsePath } from '../versioning/index.ts'
import type { CommitJson, DifferenceJson, DiffStatJson, FileChangeJson, FileJson, PlacedJson } from './contract.ts'
import { post, testApi } from './testing/api.ts'
import { codeOf, messageOf, send, strangerKey } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

let stack: Stack
before(async () => {
  stack = await openStack({ idleMs: 3_600_000 })
})
after(() => stack.close())

const { ask, commit, lines, newBranch, put } = testApi(() => stack)
const get = (path: string) => send(stack.url, { path })

describe('the log', () => {
  it('goes along a branch, commit or time, in pages', async () => {
    await newBranch('logs')
    const one = await commit('logs', { a: '1' })
    const two = await commit('logs', { b: '1' })
    await put('logs', 'c', 'open')
    const list = (query: string) => ask<CommitJson[]>('Commit', `/v1/repos/logs/commits?${query}`)
    const ids = async (query: string) => (await list(query)).map(({ id }) => id)
    const open = (await ids('branch=master&limit=1'))[0]!
    assert.deepEqual(await ids('branch=master'), [open, two.id, one.id])
    assert.deepEqual(await ids('revision=master'), [open, two.id, one.id])
    assert.deepEqual(await ids(`revision=master&before=${open}&limit=1`), [two.id])
    assert.deepEqual(await ids(`revision=${two.id}%5E`), [one.id])
    const time = encodeURIComponent(one.finished!)
    assert.ok((await ids(`revision=master&until=${time}`)).includes(one.id))
    assert.deepEqual(await ids('branch=master&until=2020-01-01'), [])
    assert.deepEqual(await ids('since=2999-01-01'), [])
    for (const query of ['branch=master&revision=master', 'since=never', 'until=2026-02-30', 'limit=0']) {
      assert.equal((await get(`/v1/repos/logs/commits?${query}`)).status, 400, query)
    }
    assert.equal((await get('/v1/repos/logs/commits?revision=nobody')).status, 404)
    assert.equal((await get(`/v1/repos/logs/commits?before=${'0'.repeat(32)}`)).status, 404)
    const revision = encodeURIComponent('master@{2999-01-01T10:00Z}^')
    assert.equal((await ask<CommitJson>('Commit', `/v1/repos/logs/commits/${revision}`)).id, one.id)
    const bad = await get(`/v1/repos/logs/commits/${encodeURIComponent('master@{then}')}`)
    assert.deepEqual([bad.status, codeOf(bad)], [400, 'InvalidInput'])
  })

  it('of a file has the commits that changed it; of a folder what each changed', async () => {
    await newBranch('files')
    const one = await commit('files', { 'a/x': '1', b: '1' })
    const two = await commit('files', { 'a/x': '22', 'a/y': '3' })
    const log = (query: string) => lines<FileChangeJson>('FileChange', `/v1/repos/files/commits/master/log?${query}`)
    const brief = (changes: readonly FileChangeJson[]) =>
      changes.map(({ commit, difference, added, changed, growthBytes }) => [
        commit.id,
        difference?.kind ?? null,
        added,
        changed,
        growthBytes,
      ])
    const whole = [
      [two.id, 'changed', 0, 1, 1],
      [one.id, 'added', 1, 0, 1],
    ]
    assert.deepEqual(brief(await log('path=a/x')), whole)
    assert.deepEqual(brief(await log('path=a/x&limit=1')), whole.slice(0, 1))
    assert.deepEqual(brief(await log(`path=a/x&before=${two.id}`)), whole.slice(1))
    assert.deepEqual(brief(await log('path=a/&below=true')), [
      [two.id, null, 1, 1, 2],
      [one.id, null, 1, 0, 1],
    ])
    assert.deepEqual(await log('path=none'), [])
    assert.equal((await get('/v1/repos/files/commits/master/log')).status, 400)
  })
})

describe('a diff', () => {
  it('comes in pages and numbers, against nothing, and of an open transaction', async () => {
    await newBranch('diffs')
    await commit('diffs', { 'a/1': '1', b: '2' })
    const path = '/v1/repos/diffs/commits/master/diff'
    const diff = async (query: string, at = path) =>
      (await lines<DifferenceJson>('Difference', `${at}?${query}`)).map(({ kind, path }) => `${kind} ${path}`)
    assert.deepEqual(await diff('from=empty'), ['added a/1', 'added b'])
    assert.deepEqual(await diff('from=empty&limit=1'), ['added a/1'])
    assert.deepEqual(await diff('from=empty&after=a/1'), ['added b'])
    const stat = await lines<DiffStatJson>('DiffStat', `${path}/stat?from=empty&prefix=a/`)
    assert.deepEqual(
      stat.map(({ path, added }) => [path, added.files, added.bytes]),
      [
        ['a/', 1, 1],
        [null, 1, 1],
      ],
    )
    await ask('Transaction', '/v1/repos/diffs/branches/master/transactions', post({ name: 't' }))
    const at = { repo: 'diffs' as never, branch: 'tx-t.master' as never }
    await stack.versioning.delete(at, parsePath('b'))
    assert.deepEqual(await diff('', '/v1/repos/diffs/commits/tx-t.master/diff'), ['deleted b'])
    assert.deepEqual(await diff('from=diffs@tx-t.master'), ['added b'])
    assert.equal(codeOf(await get('/v1/repos/diffs/commits/tx-none.master/diff')), 'TransactionNotFound')
    assert.equal((await get(`${path}?from=nothing`)).status, 400)
  })
})

describe('moves and copies', () => {
  it('are one commit, and say what is in the way', async () => {
    await newBranch('from')
    await newBranch('to')
    await put('from', 'a/1', 'x')
    await put('from', 'a/2', 'y')
    const move = '/v1/repos/from/branches/master/files/move'
    const copy = '/v1/repos/to/branches/master/files/copy'
    const moved = await ask<PlacedJson>('Placed', move, post({ from: 'a/', to: 'b/', message: 'tidy' }))
    assert.deepEqual([moved.files, moved.sizeBytes, moved.commit.message], [2, 2, 'tidy'])
    assert.deepEqual(moved.commit.authors, ['root'])
    const source = 'from@master'
    await ask<PlacedJson>('Placed', copy, post({ source, from: '', to: 'in/' }))
    const file = await ask<FileJson>('File', '/v1/repos/to/commits/master/file?path=in/b/1')
    assert.equal(file.sizeBytes, 1)
    const again = await send(stack.url, { path: copy, ...post({ source, from: 'b/', to: 'in/b/' }) })
    assert.deepEqual([again.status, codeOf(again)], [409, 'FilesExist'])
    assert.match(messageOf(again), /in\/b\/1, in\/b\/2 would be replaced/)
    await ask('Placed', copy, post({ source, from: 'b/', to: 'in/b/', force: true }))
    for (const body of [{ from: 'b/', to: 'c' }, { from: 'b/', to: 'b/c/' }, { to: 'b/' }, { from: 'b/', to: 3 }]) {
      assert.equal((await send(stack.url, { path: move, ...post(body) })).status, 400, JSON.stringify(body))
    }
    assert.equal((await send(stack.url, { path: move, ...post({ from: 'none/', to: 'c/' }) })).status, 404)
    const stranger = await send(stack.url, { path: move, key: strangerKey, ...post({ from: 'b/', to: 'c/' }) })
    assert.equal(stranger.status, 403)
  })
})
