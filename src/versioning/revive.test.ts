import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { BranchMoved, type CommitId, EMPTY_TREE, type FlushEvent } from './index.ts'
import { branchOf, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

const images = branchOf('images@master')

describe('a failed output commit that is opened again', () => {
  let store: TestStore

  beforeEach(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(images)
  })
  afterEach(() => store.close())

  const derived = () => store.versioning.derived
  const define = (output: string, ...inputs: string[]) =>
    store.db.write((tx) =>
      derived().define(tx, {
        output: branchOf(output),
        pipeline: output.split('@')[0]!,
        inputs: inputs.map(branchOf),
      }),
    )
  const commit = async (repo: string, text: string) => {
    await putText(store.versioning, branchOf(repo), 'a', text)
    return (await sealCommit(store.versioning, branchOf(repo))).id
  }
  const open = async () => (await derived().listOpen()).map(({ repo, commit: id }) => [String(repo), id] as const)
  const openOf = async (repo: string) => {
    const found = (await open()).find(([name]) => name === repo)
    assert.ok(found, `${repo} has an open commit`)
    return found[1]
  }
  const finish = (id: CommitId) => store.db.write((tx) => derived().finish(tx, id, EMPTY_TREE))
  const fail = (id: CommitId) => store.db.write((tx) => derived().fail(tx, id, { kind: 'failed', reason: 'no' }))
  const revive = (id: CommitId) => store.db.write((tx) => derived().revive(tx, id))
  const stateOf = async (repo: string, id: CommitId) =>
    (await store.versioning.getCommit(branchOf(`${repo}@master`).repo, id)).state
  const verdicts = async (id: CommitId) => {
    const events: FlushEvent[] = []
    for await (const event of store.versioning.flush([{ repo: images.repo, commit: id }], { timeoutMs: 1 }))
      events.push(event)
    const last = events.at(-1)
    assert.equal(last?.kind, 'verdict')
    return Object.fromEntries(last.branches.map(({ repo, verdict }) => [String(repo), verdict]))
  }

  it('takes what could not run because of it along, and is waited for again', async () => {
    await define('edges@master', 'images@master')
    await define('montage@master', 'images@master', 'edges@master')
    await define('title@master', 'montage@master')
    const root = await commit('images@master', '1')
    const before = await open()
    const edges = await openOf('edges')
    await fail(edges)
    assert.deepEqual(await open(), [])
    assert.deepEqual(await verdicts(root), { edges: 'failed', montage: 'unrunnable', title: 'unrunnable' })

    const revival = await revive(edges)
    assert.equal(revival.kind, 'revived')
    assert.deepEqual(
      revival.kind === 'revived' && revival.commits.map(({ repo, commit: id }) => [String(repo), id]),
      before,
    )
    assert.deepEqual(await open(), before)
    assert.deepEqual(await verdicts(root), { edges: 'timed-out', montage: 'timed-out', title: 'timed-out' })
    for (const [, id] of before) await finish(id)
    assert.deepEqual(await verdicts(root), { edges: 'finished', montage: 'finished', title: 'finished' })
    assert.equal((await store.versioning.getBranch(branchOf('title@master'))).head, before[2]![1])
  })

  it('is not one whose branch has gone on, or is about to', async () => {
    await define('edges@master', 'images@master')
    await commit('images@master', '1')
    const first = await openOf('edges')
    await fail(first)
    await commit('images@master', '2')
    const second = await openOf('edges')
    assert.deepEqual(await revive(first), { kind: 'newer', commit: second, state: 'open' })
    await finish(second)
    assert.deepEqual(await revive(first), { kind: 'newer', commit: second, state: 'finished' })
    assert.equal(await stateOf('edges', first), 'failed')
    await assert.rejects(revive(second), BranchMoved)
  })

  it('may be followed by others that failed as well', async () => {
    await define('edges@master', 'images@master')
    await commit('images@master', '1')
    const first = await openOf('edges')
    await fail(first)
    await commit('images@master', '2')
    const second = await openOf('edges')
    await fail(second)
    await revive(first)
    await revive(second)
    await finish(first)
    await finish(second)
    const head = await store.versioning.getCommit(branchOf('edges@master').repo, second)
    assert.deepEqual([head.state, head.parents], ['finished', [first]])
  })

  it('leaves what another failure stands in the way of, until that is mended too', async () => {
    await define('edges@master', 'images@master')
    await define('tiles@master', 'images@master')
    await define('montage@master', 'edges@master', 'tiles@master')
    await define('title@master', 'montage@master')
    await commit('images@master', '1')
    const [edges, tiles, montage] = [await openOf('edges'), await openOf('tiles'), await openOf('montage')]
    await fail(edges)
    await fail(tiles)
    await revive(edges)
    assert.deepEqual(
      (await open()).map(([repo]) => repo),
      ['edges'],
    )
    assert.equal(await stateOf('montage', montage), 'failed')
    await finish(edges)
    await revive(tiles)
    assert.deepEqual(
      (await open()).map(([repo]) => repo),
      ['tiles', 'montage', 'title'],
    )
    assert.equal(await stateOf('montage', montage), 'open')
  })

  it('has a further commit made of it where a branch downstream has gone on without it', async () => {
    await store.versioning.createBranch(branchOf('words@master'))
    await commit('words@master', '1')
    await define('edges@master', 'images@master')
    await define('montage@master', 'edges@master', 'words@master')
    await commit('images@master', '1')
    for (const [, id] of await open()) await finish(id)
    await commit('images@master', '2')
    const edges = await openOf('edges')
    const old = await openOf('montage')
    await fail(edges)
    const words = await commit('words@master', '2')
    await finish(await openOf('montage'))

    const revival = await revive(edges)
    assert.deepEqual(revival.kind === 'revived' && revival.commits.map(({ commit: id }) => id), [edges])
    assert.equal(await stateOf('montage', old), 'failed')
    const made = (await derived().listOpen()).find(({ repo }) => repo === branchOf('montage@master').repo)
    assert.deepEqual(made?.inputs.map(({ commit: id }) => id).sort(), [edges, words].sort())
  })

  it('is none of a branch that no pipeline writes any more', async () => {
    await define('edges@master', 'images@master')
    await commit('images@master', '1')
    const edges = await openOf('edges')
    await fail(edges)
    await store.db.write((tx) => derived().undefine(tx, branchOf('edges@master')))
    await assert.rejects(revive(edges), BranchMoved)
  })
})
