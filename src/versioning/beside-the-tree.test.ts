import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { parsePath, type RenameInput } from './index.ts'
import { branchOf, getText, listAll, openTestStore, putText, type TestStore } from './testing/store.ts'

const at = branchOf('images@master')
const tags = [{ key: 'team', value: 'blue' }]

describe('what stands beside the tree', () => {
  let store: TestStore
  before(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(at)
  })
  after(() => store.close())

  it('costs nothing while there is none, and is known again after a restart', async () => {
    assert.deepEqual([store.versioning.tags.some, store.versioning.sharing.some], [false, false])
    const { version } = await putText(store.versioning, at, 'a', 'x', { tags, access: 'public-read' })
    const rules = [{ origins: ['*'], methods: ['GET'], headers: [], exposed: [] }]
    await store.versioning.settings.setCrossOrigin(at, rules)
    await store.versioning.settings.setTags(at, tags)
    await store.versioning.sharing.shareBranch(at, 'public-read-write')
    await store.reopen()
    const { versioning } = store
    assert.deepEqual([versioning.tags.some, versioning.sharing.some], [true, true])
    assert.deepEqual(await versioning.tags.of(version), tags)
    assert.equal(await versioning.sharing.ofVersion(version), 'public-read')
    assert.equal(await versioning.sharing.ofBranch(at), 'public-read-write')
    assert.deepEqual(await versioning.settings.crossOrigin(at), rules)
    assert.deepEqual(await versioning.settings.tags(at), tags)
  })

  it('is of the version also when that has become part of a commit, and changes none', async () => {
    const { versioning } = store
    const { version } = await putText(versioning, at, 'sealed', 'x', { tags })
    const commit = await versioning.finishCommit(at)
    const entry = await versioning.stat({ kind: 'commit', repo: at.repo, commit: commit.id }, parsePath('sealed'))
    assert.deepEqual(entry.version, version)
    await versioning.tags.replace(at, entry, [{ key: 'other', value: '' }])
    assert.deepEqual(await versioning.tags.of(entry.version), [{ key: 'other', value: '' }])
    assert.equal((await versioning.getCommit(at.repo, commit.id)).root, commit.root)
    assert.equal((await versioning.getBranch(at)).openCommit, undefined)
  })

  it('is not written with a change that is refused', async () => {
    const { versioning, db } = store
    const count = () =>
      db.get('SELECT (SELECT count(*) FROM version_tags) + (SELECT count(*) FROM version_access) AS n')
    const before = await count()
    const refused = putText(versioning, at, 'a', 'y', { tags, access: 'public-read', conditions: { ifNoneMatch: '*' } })
    await assert.rejects(refused, { code: 'ConditionFailed' })
    assert.deepEqual(await count(), before)
  })

  it('is refused of scratch files, which are no versions', async () => {
    const { versioning } = store
    const path = 'out/_temporary/0/part'
    await putText(versioning, at, path, 'x')
    await assert.rejects(putText(versioning, at, path, 'y', { tags }), { code: 'InvalidInput' })
    await assert.rejects(putText(versioning, at, path, 'y', { access: 'public-read' }), { code: 'InvalidInput' })
    const source = await versioning.stat(at, parsePath(path))
    await assert.rejects(versioning.tags.replace(at, source, tags), { code: 'InvalidInput' })
    await assert.rejects(versioning.rename(at, { source, path: parsePath('out/part') }), { code: 'InvalidInput' })
    assert.equal(await getText(versioning, at, path), 'x')
  })

  it('of a pipeline’s output can be set on the branch, but not on what its jobs wrote', async () => {
    const { versioning, db } = store
    const output = branchOf('edges@master')
    await db.write((tx) => versioning.derived.define(tx, { output, pipeline: 'edges', inputs: [at] }))
    const file = await versioning.stat(at, parsePath('a'))
    await assert.rejects(versioning.tags.replace(output, file, tags), { code: 'ReadOnly' })
    await assert.rejects(versioning.sharing.shareVersion(output, file, 'public-read'), { code: 'ReadOnly' })
    await versioning.settings.setTags(output, tags)
    await versioning.sharing.shareBranch(output, 'public-read')
    assert.deepEqual(await versioning.settings.tags(output), tags)
  })

  it('goes with a branch and its repo', async () => {
    const { versioning, db } = store
    const other = branchOf('passing@master')
    await versioning.createBranch(other)
    await putText(versioning, other, 'a', 'x', { tags, access: 'public-read' })
    await versioning.finishCommit(other)
    await putText(versioning, other, 'b', 'x', { tags, access: 'public-read' })
    await versioning.deleteBranch(other, { force: true })
    const left = await db.all(
      `SELECT commit_id FROM version_tags WHERE commit_id NOT IN (SELECT id FROM commits)
       UNION ALL SELECT commit_id FROM version_access WHERE commit_id NOT IN (SELECT id FROM commits)`,
    )
    assert.deepEqual(left, [])
  })
})

describe('a rename', () => {
  let store: TestStore
  before(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(at)
  })
  after(() => store.close())
  const rename = async (from: string, to: string, more: Partial<RenameInput> = {}) => {
    const source = await store.versioning.stat(at, parsePath(from))
    return store.versioning.rename(at, { source, path: parsePath(to), ...more })
  }

  it('is done whole or not at all', async () => {
    const { versioning } = store
    await putText(versioning, at, 'a', 'old')
    const source = await versioning.stat(at, parsePath('a'))
    await putText(versioning, at, 'a', 'new')
    // Nothing of it, though the new path alone could be written.
    await assert.rejects(versioning.rename(at, { source, path: parsePath('b') }), { code: 'BranchMoved' })
    assert.deepEqual(await listAll(versioning, at), ['a'])
    await putText(versioning, at, 'b', 'there')
    await assert.rejects(rename('a', 'b', { conditions: { ifNoneMatch: '*' } }), { code: 'ConditionFailed' })
    assert.equal(await getText(versioning, at, 'a'), 'new')
    assert.equal(await getText(versioning, at, 'b'), 'there')
    await rename('a', 'b')
    assert.deepEqual(await listAll(versioning, at), ['b'])
    await store.reopen()
    assert.equal(await getText(store.versioning, at, 'b'), 'new')
  })

  it('of what is folded, or of what is written in the same group, is the same', async () => {
    const { versioning } = store
    await putText(versioning, at, 'folded', 'x')
    await versioning.finishCommit(at)
    await rename('folded', 'moved')
    const source = await versioning.stat(at, parsePath('moved'))
    // All of these wait for one transaction; who comes second finds that the first was there.
    const outcomes = await Promise.allSettled([
      versioning.rename(at, { source, path: parsePath('first') }),
      versioning.rename(at, { source, path: parsePath('second') }),
      putText(versioning, at, 'third', 'y'),
    ])
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    )
    const keys = await listAll(versioning, at)
    assert.ok(keys.includes('first') && keys.includes('third') && !keys.includes('second') && !keys.includes('moved'))
  })

  it('under a token is done once, also by two at once and after a restart', async () => {
    await putText(store.versioning, at, 'once', 'x')
    const source = await store.versioning.stat(at, parsePath('once'))
    const ask = () => store.versioning.rename(at, { source, path: parsePath('done'), token: 't' })
    const [one, two] = await Promise.all([ask(), ask()])
    assert.deepEqual(one.version, two.version)
    await store.reopen()
    const again = { token: 't', from: parsePath('once'), path: parsePath('done') }
    assert.equal(await store.versioning.renamed(at, again), true)
    assert.equal(await store.versioning.renamed(at, { ...again, token: 'u' }), false)
    await assert.rejects(store.versioning.renamed(at, { ...again, path: parsePath('x') }), { code: 'RenameTokenUsed' })
  })
})
