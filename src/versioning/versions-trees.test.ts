import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, it } from 'node:test'
import {
  type BranchAddress,
  type Commit,
  parseBranchName,
  parsePath,
  type Target,
  type VersionName,
  VersionNotFound,
} from './index.ts'
import { branchOf, getText, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

let repos = 0
let store: TestStore
let at: BranchAddress & Target
before(async () => {
  store = await openTestStore()
})
after(() => store.close())
beforeEach(async () => {
  at = branchOf(`t${++repos}@master`)
  await store.versioning.createBranch(at)
})

const nameOf = (version: VersionName) => (version === 'null' ? version : `${version.commit}-${version.seq}`)

/** `path body`, with a star where it is the latest; over pages of two. */
async function listed(target: Target = at, prefix?: string): Promise<string[]> {
  const shown: string[] = []
  let from: NonNullable<Parameters<typeof store.versioning.versions.list>[1]['after']> | undefined
  do {
    const query = { limit: 2, ...(from && { after: from }), ...(prefix !== undefined && { prefix }) }
    const page = await store.versioning.versions.list(target, query)
    for (const { path, version, isLatest, entry } of page.versions) {
      const { found } = await store.versioning.versions.find(target, path, version)
      assert.deepEqual([nameOf(found.version), found.isLatest], [nameOf(version), isLatest])
      const body = entry && (await store.versioning.content.readBytes(entry.content)).toString()
      shown.push(`${path} ${body ?? '-'}${isLatest ? ' *' : ''}`)
    }
    from = page.next
  } while (from)
  return shown
}

const put = (path: string, text: string, to: BranchAddress = at) => putText(store.versioning, to, path, text)
const side = async (from: Commit): Promise<BranchAddress & Target> => {
  const other = { kind: 'branch' as const, repo: at.repo, branch: parseBranchName('side') }
  await store.versioning.createBranch(other, { from: from.id })
  return other
}

describe('versions that came onto a branch as trees', () => {
  it('stay when they are overwritten: of a restored commit of another branch', async () => {
    await put('a', 'first')
    const other = await side(await sealCommit(store.versioning, at))
    const { version } = await put('a', 'elsewhere', other)
    const foreign = await sealCommit(store.versioning, other)
    await put('a', 'second')
    await store.versioning.restore(at, foreign.id)
    assert.deepEqual(await listed(), ['a elsewhere *', 'a second', 'a first'])
    await put('a', 'third')
    assert.deepEqual(await listed(), ['a third *', 'a elsewhere', 'a second', 'a first'])
    const { found } = await store.versioning.versions.find(at, parsePath('a'), version)
    assert.equal(nameOf(found.version), nameOf(version))
    const head = await sealCommit(store.versioning, at)
    const commit = { kind: 'commit' as const, repo: at.repo, commit: head.id }
    assert.deepEqual(await listed(commit), ['a third *', 'a elsewhere', 'a second', 'a first'])
    await store.reopen()
    assert.deepEqual(await listed(), ['a third *', 'a elsewhere', 'a second', 'a first'])
  })

  it('are deleted by their ids, and come back when later ones are', async () => {
    await put('a', 'first')
    const other = await side(await sealCommit(store.versioning, at))
    const brought = await put('a', 'elsewhere', other)
    await put('only', 'there', other)
    const foreign = await sealCommit(store.versioning, other)
    await store.versioning.merges.merge(at, foreign.id)
    const later = await put('a', 'later')
    const gone = await store.versioning.delete(at, parsePath('only'))
    assert.deepEqual(await listed(), ['a later *', 'a elsewhere', 'a first', 'only - *', 'only there'])
    const remove = (path: string, version: VersionName) =>
      store.versioning.versions.delete(at, [{ path: parsePath(path), version }])
    await remove('a', later.version)
    await remove('only', gone.version)
    assert.deepEqual(await listed(), ['a elsewhere *', 'a first', 'only there *'])
    assert.equal(await getText(store.versioning, at, 'only'), 'there')
    await remove('a', brought.version)
    assert.deepEqual(await listed(), ['a first *', 'only there *'])
    await assert.rejects(store.versioning.versions.find(at, parsePath('a'), brought.version), VersionNotFound)
    assert.deepEqual(await listed(other), ['a elsewhere *', 'a first', 'only there *'])
  })

  it('are those of a folder that was moved: under the new names from then on, and before under the old', async () => {
    await put('a/1', 'one')
    await put('a/1', 'two')
    await store.versioning.moves.move(at, { from: 'a/', to: 'b/' })
    assert.deepEqual(await listed(), ['a/1 two', 'a/1 one', 'b/1 two *'])
    await put('b/1', 'three')
    await put('a/1', 'again')
    assert.deepEqual(await listed(), ['a/1 again *', 'a/1 two', 'a/1 one', 'b/1 three *', 'b/1 two'])
    assert.deepEqual(await listed(at, 'b/'), ['b/1 three *', 'b/1 two'])
    const page = await store.versioning.versions.list(at, { limit: 10, delimiter: '/' })
    assert.deepEqual(page.prefixes, ['a/', 'b/'])
  })

  it('are no folder of a listing when all of them were deleted', async () => {
    await put('x', '1')
    const other = await side(await sealCommit(store.versioning, at))
    await put('dir/file', 'there', other)
    await store.versioning.merges.merge(at, (await sealCommit(store.versioning, other)).id)
    const { version } = await store.versioning.stat(at, parsePath('dir/file'))
    await store.versioning.delete(at, parsePath('dir/file'))
    const marker = await store.versioning.versions.marker(at, parsePath('dir/file'))
    const gone = [version, marker!.version].map((name) => ({ path: parsePath('dir/file'), version: name }))
    await store.versioning.versions.delete(at, gone)
    const page = await store.versioning.versions.list(at, { limit: 10, delimiter: '/' })
    assert.deepEqual([page.prefixes, page.versions.map(({ path }) => path)], [[], ['x']])
    assert.deepEqual(await listed(), ['x 1 *'])
  })

  it('are not looked for where a restore brought back a state of the branch itself', async () => {
    await put('a', '1')
    const first = await sealCommit(store.versioning, at)
    await put('a', '2')
    await store.versioning.restore(at, first.id)
    await put('a', '3')
    assert.deepEqual(await listed(), ['a 3 *', 'a 2', 'a 1'])
  })
})

describe('a version that is deleted by its id after the newest commit', () => {
  it('is gone in a transaction that is opened then', async () => {
    const { version } = await put('a', 'old')
    await put('a', 'new')
    await sealCommit(store.versioning, at)
    await store.versioning.versions.delete(at, [{ path: parsePath('a'), version }])
    const transaction = { kind: 'branch' as const, repo: at.repo, branch: 'tx-t.master' as BranchAddress['branch'] }
    await store.versioning.transactions.open(transaction)
    assert.deepEqual(await listed(transaction), ['a new *'])
    await assert.rejects(store.versioning.versions.find(transaction, parsePath('a'), version), VersionNotFound)
    await put('a', 'newest', transaction)
    assert.deepEqual(await listed(transaction), ['a newest *', 'a new'])
    await store.versioning.transactions.finish(transaction)
    assert.deepEqual(await listed(), ['a newest *', 'a new'])
  })
})
