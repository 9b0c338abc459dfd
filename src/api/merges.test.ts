import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type {
  BranchJson,
  CommitJson,
  FileJson,
  MergeConflictJson,
  MergeJson,
  MovedBranchJson,
  RevertJson,
  TagJson,
} from './contract.ts'
import { post, testApi } from './testing/api.ts'
import { faultsOf } from './testing/conforms.ts'
import { type Ask, codeOf, messageOf, send } from './testing/requests.ts'
import { openStack, type Stack } from './testing/stack.ts'

let stack: Stack
before(async () => {
  // Batches are sealed when the tests say so.
  stack = await openStack({ idleMs: 600_000 })
})
after(() => stack.close())

const { ask, commit, newBranch } = testApi(() => stack)
const putJson = (body: unknown): Partial<Ask> => ({ method: 'PUT', body: JSON.stringify(body) })

const branchPath = (repo: string, branch: string, rest = '') => `/v1/repos/${repo}/branches/${branch}${rest}`

/** A repo with a commit of these files on master, and a branch `side` that begins there. */
async function fork(repo: string, files: Readonly<Record<string, string>>): Promise<CommitJson> {
  await newBranch(repo)
  const first = await commit(repo, files)
  await ask<BranchJson>('Branch', `/v1/repos/${repo}/branches`, post({ name: 'side', from: 'master' }))
  return first
}

async function put(repo: string, branch: string, path: string, body: string): Promise<void> {
  await ask('Written', branchPath(repo, branch, `/file?path=${path}`), { method: 'PUT', body })
}

const files = async (repo: string, revision: string) => {
  const shown = await ask<{ files: FileJson[] }>('Files', `/v1/repos/${repo}/commits/${revision}/files`)
  return shown.files.map(({ path }) => path)
}

describe('merges over the API', () => {
  it('settle both branches, make one commit, and say when there is nothing to do', async () => {
    await fork('merge', { a: '0' })
    await put('merge', 'master', 'm', 'staged')
    await put('merge', 'side', 's', 'staged')
    const path = branchPath('merge', 'master', '/merge')
    const preview = await ask<MergeJson>('Merge', path, post({ from: 'side', dryRun: true }))
    assert.ok(preview.kind === 'preview')
    assert.deepEqual([preview.added, preview.conflictsTotal, preview.bases.length], [1, 0, 1])
    const merged = await ask<MergeJson>('Merge', path, post({ from: 'side', message: 'bring it' }))
    assert.ok(merged.kind === 'merged')
    assert.deepEqual([merged.commit.parents.length, merged.commit.message, merged.added], [2, 'bring it', 1])
    assert.equal((await ask<MergeJson>('Merge', path, post({ from: 'side' }))).kind, 'contained')
  })

  it('answer 409 with the three sides of each conflict, and take decisions', async () => {
    await fork('conflict', { a: '0', b: '0' })
    for (const path of ['a', 'b']) {
      await put('conflict', 'master', path, 'ours')
      await put('conflict', 'side', path, 'theirs!')
    }
    const path = branchPath('conflict', 'master', '/merge')
    const refused = await send(stack.url, { path, ...post({ from: 'side' }) })
    assert.deepEqual([refused.status, codeOf(refused)], [409, 'MergeConflict'])
    const { conflicts, total } = JSON.parse(refused.text).error.data as {
      conflicts: MergeConflictJson[]
      total: number
    }
    assert.equal(total, 2)
    const sizes = conflicts.map(({ path, base, ours, theirs }) => [
      path,
      base?.sizeBytes,
      ours?.sizeBytes,
      theirs?.sizeBytes,
    ])
    assert.deepEqual(sizes, [
      ['a', 1, 4, 7],
      ['b', 1, 4, 7],
    ])
    assert.match(conflicts[0]!.ours!.version, /^[0-9a-f]{32}-\d+$/)
    const needless = await send(stack.url, {
      path,
      ...post({ from: 'side', resolve: { all: 'ours', paths: { c: 'ours' } } }),
    })
    assert.equal(codeOf(needless), 'NotInConflict')
    const resolve = { all: 'ours', paths: { b: 'theirs' } }
    const merged = await ask<MergeJson>('Merge', path, post({ from: 'side', resolve }))
    assert.ok(merged.kind === 'merged')
    assert.equal(merged.changed, 1)
  })

  it('answer with lines where progress is asked for: refusals as always, and the last line what was done', async () => {
    await fork('lines', { a: '0', b: '0' })
    await put('lines', 'side', 'a', 'theirs')
    await put('lines', 'master', 'a', 'ours')
    const path = branchPath('lines', 'master', '/merge')
    const refused = await send(stack.url, { path, ...post({ from: 'side', progress: true }) })
    assert.deepEqual([refused.status, codeOf(refused)], [409, 'MergeConflict'])
    const merge = stack.versioning.merges.merge
    Object.assign(stack.versioning.merges, {
      merge: async (...args: Parameters<typeof merge>) => {
        args[2]?.onWork?.({ step: 'reading', done: 1, total: 2 })
        await pause(1_500)
        return merge.apply(stack.versioning.merges, args)
      },
    })
    try {
      const late = await send(stack.url, { path, ...post({ from: 'side', progress: true }) })
      const lines = late.text.split('\n').filter(Boolean)
      assert.equal(late.status, 200)
      assert.deepEqual(faultsOf('Working', JSON.parse(lines[0]!)), [])
      assert.deepEqual(JSON.parse(lines[0]!), { kind: 'working', step: 'reading', done: 1, total: 2 })
      assert.equal((JSON.parse(lines.at(-1)!) as { error: { code: string } }).error.code, 'MergeConflict')
      const resolve = { folders: {}, all: 'theirs' }
      const done = await send(stack.url, { path, ...post({ from: 'side', progress: true, resolve }) })
      const last = JSON.parse(done.text.trim().split('\n').at(-1)!) as MergeJson
      assert.deepEqual(faultsOf('Merge', last), [])
      assert.equal(last.kind, 'merged')
    } finally {
      Object.assign(stack.versioning.merges, { merge })
    }
  })

  it('refuse malformed decisions by name', async () => {
    await fork('malformed', { a: '0' })
    const path = branchPath('malformed', 'master', '/merge')
    for (const [resolve, said] of [
      [{ all: 'mine' }, /resolve\.all must say ours or theirs/],
      [{ paths: { a: true } }, /resolve\.paths must say ours or theirs/],
      [{ folders: { raw: 'ours' } }, /resolve\.folders names "raw": a folder ends in \//],
      [{ folders: { 'raw/': 'mine' } }, /resolve\.folders must say ours or theirs/],
      [{ path: {} }, /unknown field "path"/],
      [[], /resolve must be an object/],
    ] as const) {
      const reply = await send(stack.url, { path, ...post({ from: 'side', resolve }) })
      assert.equal(reply.status, 400)
      assert.match(messageOf(reply), said)
    }
  })
})

describe('reverts, moves and protection over the API', () => {
  it('take a commit back, once', async () => {
    await newBranch('revert')
    await commit('revert', { a: '0' })
    await commit('revert', { b: '0' })
    const path = branchPath('revert', 'master', '/revert')
    const bad = (await ask<CommitJson[]>('Commit', '/v1/repos/revert/commits'))[0]!
    const reverted = await ask<RevertJson>('Revert', path, post({ commit: bad.id }))
    assert.ok(reverted.kind === 'reverted')
    assert.deepEqual([reverted.deleted, reverted.commit.message], [1, `revert ${bad.id}`])
    assert.equal((await ask<RevertJson>('Revert', path, post({ commit: bad.id }))).kind, 'unchanged')
  })

  it('point a branch elsewhere only from where it is expected to be', async () => {
    await newBranch('move')
    const first = await commit('move', { a: '0' })
    const second = await commit('move', { b: '0' })
    const path = branchPath('move', 'master', '/move')
    const stale = await send(stack.url, { path, ...post({ to: first.id, expect: first.id }) })
    assert.deepEqual([stale.status, codeOf(stale)], [409, 'BranchMoved'])
    const moved = await ask<MovedBranchJson>('MovedBranch', path, post({ to: 'master^', expect: second.id }))
    assert.deepEqual([moved.kind, moved.branch.head, moved.left], ['moved', first.id, second.id])
    assert.deepEqual(await files('move', 'master'), ['a'])
    assert.deepEqual(await files('move', second.id), ['a', 'b'])
  })

  it('keep writes out of a protected branch', async () => {
    await newBranch('guarded')
    await commit('guarded', { a: '0' })
    const path = branchPath('guarded', 'master', '/protection')
    assert.equal((await ask<BranchJson>('Branch', path, putJson({ protected: true }))).protected, true)
    const reply = await send(stack.url, {
      method: 'PUT',
      path: branchPath('guarded', 'master', '/file?path=a'),
      body: 'x',
    })
    assert.deepEqual([reply.status, codeOf(reply)], [403, 'ReadOnly'])
    assert.match(messageOf(reply), /only merges change it/)
    assert.equal((await ask<BranchJson>('Branch', path, putJson({ protected: false }))).readOnly, null)
  })
})

describe('tags over the API', () => {
  it('are made, listed, read and deleted', async () => {
    await newBranch('tags')
    const first = await commit('tags', { a: '0' })
    const tag = await ask<TagJson>('Tag', '/v1/repos/tags/tags', post({ name: 'v1', at: 'master', message: 'one' }))
    assert.deepEqual([tag.commit, tag.bucket, tag.message], [first.id, 'v1.tags', 'one'])
    await commit('tags', { b: '0' })
    assert.deepEqual(await files('tags', 'v1'), ['a'])
    assert.deepEqual(await ask<TagJson[]>('Tag', '/v1/repos/tags/tags'), [tag])
    assert.deepEqual(await ask<TagJson[]>('Tag', '/v1/repos/tags/tags?after=v1'), [])
    assert.deepEqual(await ask<TagJson>('Tag', '/v1/repos/tags/tags/v1'), tag)
    const moved = await send(stack.url, { path: '/v1/repos/tags/tags', ...post({ name: 'v1', at: 'master' }) })
    assert.deepEqual([moved.status, codeOf(moved)], [409, 'TagExists'])
    const branch = await send(stack.url, { path: '/v1/repos/tags/branches', ...post({ name: 'v1' }) })
    assert.equal(codeOf(branch), 'TagExists')
    assert.equal((await send(stack.url, { method: 'DELETE', path: '/v1/repos/tags/tags/v1' })).status, 204)
    assert.equal(codeOf(await send(stack.url, { path: '/v1/repos/tags/tags/v1' })), 'TagNotFound')
  })
})
