import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type BranchAddress, MergeConflict, NoMergeBase, NotInConflict, parsePath } from './index.ts'
import { assertSound } from './testing/fsck.ts'
import { branchOf, getText, listAll, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

let store: TestStore
let count = 0

before(async () => {
  store = await openTestStore()
})
after(async () => {
  await assertSound(store, { deep: true })
  await store.close()
})

/** A repo of its own with a first commit of these files on master, and a branch `side` that begins there. */
async function fork(files: Readonly<Record<string, string>>) {
  const { versioning } = store
  const repo = `repo${++count}`
  const master = branchOf(repo)
  const side = branchOf(`${repo}@side`)
  await versioning.createBranch(master)
  for (const [path, text] of Object.entries(files)) await putText(versioning, master, path, text)
  const first = await sealCommit(versioning, master)
  await versioning.createBranch(side, { from: first.id })
  return { versioning, repo: master.repo, master, side, first }
}

async function remove(at: ReturnType<typeof branchOf>, path: string): Promise<void> {
  await store.versioning.delete(at, parsePath(path))
}

/** What a target holds, as an object. */
async function contents(at: Parameters<typeof listAll>[1]): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const path of await listAll(store.versioning, at)) found[path] = await getText(store.versioning, at, path)
  return found
}

describe('merge', () => {
  it('makes one commit with two parents of what both sides changed', async () => {
    const { versioning, master, side, first } = await fork({ kept: '0', mine: '0', theirs: '0', gone: '0' })
    await putText(versioning, master, 'mine', '1')
    const ours = await sealCommit(versioning, master)
    await putText(versioning, side, 'theirs', '2')
    await putText(versioning, side, 'new', '22')
    await remove(side, 'gone')
    const theirs = await sealCommit(versioning, side)
    const merged = await versioning.merges.merge(master, theirs.id, { message: 'bring it in', author: 'ann' })
    assert.equal(merged.kind, 'merged')
    assert.ok(merged.kind === 'merged')
    const { commit, counts } = merged
    assert.deepEqual(commit.parents, [ours.id, theirs.id])
    assert.deepEqual([commit.message, commit.authors, commit.state], ['bring it in', ['ann'], 'finished'])
    assert.deepEqual(counts, { added: 1, changed: 1, deleted: 1 })
    assert.deepEqual([commit.files, commit.sizeBytes], [4, 5])
    const wanted = { kept: '0', mine: '1', new: '22', theirs: '2' }
    assert.deepEqual(await contents(master), wanted)
    assert.deepEqual(await contents({ kind: 'commit', repo: master.repo, commit: commit.id }), wanted)
    assert.deepEqual(await versioning.merges.mergeBases(master.repo, ours.id, theirs.id), [first.id])
    assert.equal((await versioning.getBranch(master)).head, commit.id)
  })

  it('answers that a commit is contained, and changes nothing', async () => {
    const { versioning, master, side, first } = await fork({ a: '0' })
    await putText(versioning, side, 'a', '1')
    const theirs = await sealCommit(versioning, side)
    const one = await versioning.merges.merge(master, theirs.id)
    assert.ok(one.kind === 'merged')
    const again = await versioning.merges.merge(master, theirs.id)
    assert.deepEqual(again, { kind: 'contained', head: one.commit.id })
    assert.deepEqual(await versioning.merges.merge(master, first.id), again)
  })

  it('makes a commit with two parents where the branch itself did not change', async () => {
    const { versioning, master, side, first } = await fork({ a: '0' })
    await putText(versioning, side, 'b', '1')
    const theirs = await sealCommit(versioning, side)
    const merged = await versioning.merges.merge(master, theirs.id)
    assert.ok(merged.kind === 'merged')
    assert.deepEqual(merged.commit.parents, [first.id, theirs.id])
    assert.equal(merged.commit.root, theirs.root)
    assert.deepEqual(merged.counts, { added: 1, changed: 0, deleted: 0 })
  })

  it('takes what the open batch holds as part of the branch, and seals it', async () => {
    const { versioning, master, side } = await fork({ a: '0' })
    await versioning.startCommit(master)
    await putText(versioning, master, 'staged', '1')
    await putText(versioning, side, 'b', '2')
    const theirs = await sealCommit(versioning, side)
    const merged = await versioning.merges.merge(master, theirs.id)
    assert.ok(merged.kind === 'merged')
    assert.deepEqual(await contents(master), { a: '0', b: '2', staged: '1' })
    const batch = await versioning.getCommit(master.repo, merged.commit.parents[0]!)
    assert.deepEqual([batch.state, batch.files], ['finished', 2])
    assert.equal((await versioning.getBranch(master)).openCommit, undefined)
  })

  it('names the files that both sides changed, with what each has, and changes nothing', async () => {
    const { versioning, master, side } = await fork({ both: '0', deleted: '0', same: '0' })
    await putText(versioning, master, 'both', 'ours')
    await remove(master, 'deleted')
    await putText(versioning, master, 'same', 'alike')
    await putText(versioning, master, 'added', 'by us')
    const ours = await sealCommit(versioning, master)
    await putText(versioning, side, 'both', 'theirs!')
    await putText(versioning, side, 'deleted', 'changed')
    await putText(versioning, side, 'same', 'alike')
    await putText(versioning, side, 'added', 'by them')
    const theirs = await sealCommit(versioning, side)
    const error = await versioning.merges.merge(master, theirs.id).then(
      () => assert.fail('merged'),
      (error: unknown) => error,
    )
    assert.ok(error instanceof MergeConflict)
    const paths = error.data['paths'] as {
      path: string
      base?: { size: number } | null
      ours: unknown
      theirs: unknown
    }[]
    const sizes = paths.map(({ path, base, ours, theirs }) => [
      path,
      ...[base, ours, theirs].map((side) => (side as { size: number } | null)?.size),
    ])
    assert.deepEqual(sizes, [
      ['added', undefined, 5, 7],
      ['both', 1, 4, 7],
      ['deleted', 1, undefined, 7],
    ])
    assert.equal(error.data['total'], 3)
    assert.equal((await versioning.getBranch(master)).head, ours.id)
    const preview = await versioning.merges.preview(master, theirs.id)
    assert.deepEqual([preview.kind, preview.conflictsTotal], ['merge', 3])
  })

  it('decides conflicts for the side that is said, path by path or all', async () => {
    const { versioning, master, side } = await fork({ a: '0', b: '0', c: '0' })
    for (const path of ['a', 'b', 'c']) {
      await putText(versioning, master, path, 'ours')
      await putText(versioning, side, path, 'theirs')
    }
    await remove(side, 'c')
    await sealCommit(versioning, master)
    const theirs = await sealCommit(versioning, side)
    await assert.rejects(
      versioning.merges.merge(master, theirs.id, { resolve: { paths: { a: 'ours' } } }),
      MergeConflict,
    )
    const resolve = { all: 'theirs', paths: { a: 'ours' } } as const
    assert.equal((await versioning.merges.preview(master, theirs.id, { resolve })).conflictsTotal, 0)
    const merged = await versioning.merges.merge(master, theirs.id, { resolve })
    assert.ok(merged.kind === 'merged')
    assert.deepEqual(await contents(master), { a: 'ours', b: 'theirs' })
  })

  it('refuses a decision for a file that is not in conflict', async () => {
    const { versioning, master, side } = await fork({ a: '0', b: '0' })
    await putText(versioning, side, 'a', '1')
    const theirs = await sealCommit(versioning, side)
    const resolve = { paths: { a: 'ours', nowhere: 'theirs' } } as const
    await assert.rejects(versioning.merges.merge(master, theirs.id, { resolve }), (error: unknown) => {
      assert.ok(error instanceof NotInConflict)
      assert.deepEqual(error.data['paths'], ['a', 'nowhere'])
      return true
    })
    assert.deepEqual(await contents(master), { a: '0', b: '0' })
  })

  it('is refused into a transaction, and into what is not there', async () => {
    const { versioning, repo, master, side, first } = await fork({ a: '0' })
    const tx = { ...master, branch: 'tx-one.master' as typeof master.branch }
    await versioning.transactions.open(tx)
    await putText(versioning, side, 'b', '1')
    const theirs = await sealCommit(versioning, side)
    await assert.rejects(versioning.merges.merge(tx, theirs.id), { code: 'ReadOnly' })
    await assert.rejects(versioning.merges.merge(branchOf(`${repo}@none`), theirs.id), { code: 'BranchNotFound' })
    const foreign = await fork({ a: '0' })
    await assert.rejects(versioning.merges.merge(foreign.master, first.id), { code: 'CommitNotFound' })
    await putText(versioning, side, 'b', '2')
    const { openCommit } = await versioning.getBranch(side)
    await assert.rejects(versioning.merges.merge(master, openCommit!), { code: 'CommitUnavailable' })
  })

  it('keeps a file and a folder of one name', async () => {
    const { versioning, master, side } = await fork({ x: '0' })
    await putText(versioning, master, 'name', 'a file')
    await putText(versioning, side, 'name/in', 'a folder')
    await sealCommit(versioning, master)
    const theirs = await sealCommit(versioning, side)
    await versioning.merges.merge(master, theirs.id)
    assert.deepEqual(await contents(master), { name: 'a file', 'name/in': 'a folder', x: '0' })
  })

  it('refuses to merge what has no common ancestor, unless that is said', async () => {
    const { versioning, repo, master } = await fork({ a: '0' })
    const other = branchOf(`${repo}@other`)
    await versioning.createBranch(other)
    await putText(versioning, other, 'b', '1')
    const theirs = await sealCommit(versioning, other)
    await assert.rejects(versioning.merges.merge(master, theirs.id), NoMergeBase)
    await versioning.merges.merge(master, theirs.id, { allowUnrelated: true })
    assert.deepEqual(await contents(master), { a: '0', b: '1' })
  })

  it('merges into a branch that has no commit yet', async () => {
    const { versioning, repo, master, first } = await fork({ a: '0' })
    const empty = branchOf(`${repo}@empty`)
    await versioning.createBranch(empty)
    const merged = await versioning.merges.merge(empty, first.id)
    assert.ok(merged.kind === 'merged')
    assert.deepEqual(merged.commit.parents, [first.id])
    assert.deepEqual(await contents(empty), await contents(master))
  })

  it('takes a first commit that is still open for the history that it is', async () => {
    const { versioning, repo, first } = await fork({ a: '0' })
    for (const [name, begin] of [
      ['written', (at: BranchAddress) => putText(versioning, at, 'own', '1')],
      ['held', (at: BranchAddress) => versioning.startCommit(at)],
    ] as const) {
      const at = branchOf(`${repo}@${name}`)
      await versioning.createBranch(at)
      await begin(at)
      await assert.rejects(versioning.merges.merge(at, first.id), NoMergeBase, name)
      await assert.rejects(versioning.merges.preview(at, first.id), NoMergeBase, name)
      const { openCommit } = await versioning.getBranch(at)
      assert.ok(openCommit, 'nothing was changed, not even sealed')
      const merged = await versioning.merges.merge(at, first.id, { allowUnrelated: true })
      assert.ok(merged.kind === 'merged')
      assert.deepEqual(merged.commit.parents, [openCommit, first.id])
    }
  })

  it('decides by the longest folder what is not decided by itself, and refuses a folder that decides nothing', async () => {
    const paths = ['a', 'raw/1', 'raw/2', 'raw/deep/3', 'raw/deep/4', 'other/raw/5']
    const { versioning, master, side } = await fork(Object.fromEntries(paths.map((path) => [path, '0'])))
    for (const path of paths) {
      await putText(versioning, master, path, 'ours')
      await putText(versioning, side, path, 'theirs')
    }
    const theirs = await sealCommit(versioning, side)
    const resolve = {
      all: 'theirs',
      paths: { 'raw/deep/4': 'ours' },
      folders: { 'raw/': 'ours', 'raw/deep/': 'theirs' },
    } as const
    for (const folder of ['ra/', 'raw/1/', 'other/raw/5/', '__proto__/']) {
      const needless = { ...resolve, folders: { ...resolve.folders, [folder]: 'ours' } } as const
      await assert.rejects(versioning.merges.merge(master, theirs.id, { resolve: needless }), (error: unknown) => {
        assert.ok(error instanceof NotInConflict)
        assert.deepEqual(error.data['paths'], [folder])
        return true
      })
    }
    const { all: _all, ...some } = resolve
    const { conflicts } = await versioning.merges.preview(master, theirs.id, { resolve: some })
    assert.deepEqual(
      conflicts.map(({ path }) => path),
      ['a', 'other/raw/5'],
    )
    await versioning.merges.merge(master, theirs.id, { resolve })
    assert.deepEqual(await contents(master), {
      a: 'theirs',
      'other/raw/5': 'theirs',
      'raw/1': 'ours',
      'raw/2': 'ours',
      'raw/deep/3': 'theirs',
      'raw/deep/4': 'ours',
    })
  })

  it('merges again from where it merged last', async () => {
    const { versioning, master, side } = await fork({ a: '0' })
    await putText(versioning, side, 'a', '1')
    await versioning.merges.merge(master, (await sealCommit(versioning, side)).id)
    await putText(versioning, master, 'a', '2')
    await sealCommit(versioning, master)
    await putText(versioning, side, 'b', '1')
    await versioning.merges.merge(master, (await sealCommit(versioning, side)).id)
    assert.deepEqual(await contents(master), { a: '2', b: '1' })
  })

  it('finds both bases of a criss-cross, and takes what they agree on or one of them is newer in', async () => {
    const { versioning, repo, master, side } = await fork({ a: '0', b: '0', both: '0' })
    await putText(versioning, master, 'a', 'by master')
    const one = await sealCommit(versioning, master)
    await putText(versioning, side, 'b', 'by side')
    const two = await sealCommit(versioning, side)
    await versioning.merges.merge(master, two.id)
    await versioning.merges.merge(side, one.id)
    await putText(versioning, master, 'a', 'again')
    await putText(versioning, side, 'b', 'again')
    const left = await sealCommit(versioning, master)
    const right = await sealCommit(versioning, side)
    assert.deepEqual(await versioning.merges.mergeBases(repo, left.id, right.id), [two.id, one.id])
    await versioning.merges.merge(master, right.id)
    assert.deepEqual(await contents(master), { a: 'again', b: 'again', both: '0' })
  })

  it('calls it a conflict where the bases of a criss-cross were in conflict themselves', async () => {
    const { versioning, master, side } = await fork({ a: '0' })
    await putText(versioning, master, 'a', 'one')
    const one = await sealCommit(versioning, master)
    await putText(versioning, side, 'a', 'two')
    const two = await sealCommit(versioning, side)
    await versioning.merges.merge(master, two.id, { resolve: { all: 'ours' } })
    await versioning.merges.merge(side, one.id, { resolve: { all: 'ours' } })
    const { head } = await versioning.getBranch(side)
    await assert.rejects(versioning.merges.merge(master, head!), (error: unknown) => {
      assert.ok(error instanceof MergeConflict)
      const [found] = error.data['paths'] as { base?: unknown }[]
      assert.ok(!('base' in found!))
      return true
    })
  })
})

describe('revert', () => {
  it('takes back one commit and leaves what came after it', async () => {
    const { versioning, master } = await fork({ a: '0', b: '0' })
    await putText(versioning, master, 'a', '1')
    await putText(versioning, master, 'c', '1')
    await remove(master, 'b')
    const bad = await sealCommit(versioning, master)
    await putText(versioning, master, 'later', '2')
    const reverted = await versioning.merges.revert(master, bad.id)
    assert.ok(reverted.kind === 'reverted')
    assert.deepEqual(await contents(master), { a: '0', b: '0', later: '2' })
    assert.deepEqual(reverted.counts, { added: 1, changed: 1, deleted: 1 })
    assert.equal((await versioning.merges.revert(master, bad.id)).kind, 'unchanged')
  })

  it('names files that were changed again since', async () => {
    const { versioning, master } = await fork({ a: '0' })
    await putText(versioning, master, 'a', '1')
    const bad = await sealCommit(versioning, master)
    await putText(versioning, master, 'a', '2')
    await assert.rejects(versioning.merges.revert(master, bad.id), MergeConflict)
    await versioning.merges.revert(master, bad.id, { resolve: { all: 'theirs' } })
    assert.deepEqual(await contents(master), { a: '0' })
  })

  it('takes back the first commit of a branch, and a merge to the parent that is said', async () => {
    const { versioning, master, side, first } = await fork({ a: '0' })
    await putText(versioning, master, 'm', '1')
    await sealCommit(versioning, master)
    await putText(versioning, side, 's', '1')
    const merged = await versioning.merges.merge(master, (await sealCommit(versioning, side)).id)
    assert.ok(merged.kind === 'merged')
    await assert.rejects(versioning.merges.revert(master, merged.commit.id), { code: 'MainlineNeeded' })
    await assert.rejects(versioning.merges.revert(master, first.id, { mainline: 2 }), { code: 'MainlineNeeded' })
    await versioning.merges.revert(master, merged.commit.id, { mainline: 1 })
    assert.deepEqual(await contents(master), { a: '0', m: '1' })
    await versioning.merges.revert(master, first.id)
    assert.deepEqual(await contents(master), { m: '1' })
  })
})
