import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type CommitId, EMPTY_TREE, parseBranchName, parsePath, parseRepoName, ReadOnly } from './index.ts'
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

async function newRepo() {
  const { versioning } = store
  const master = branchOf(`repo${++count}`)
  await versioning.createBranch(master)
  return { versioning, repo: master.repo, master }
}

async function commitText(at: ReturnType<typeof branchOf>, path: string, text: string) {
  await putText(store.versioning, at, path, text)
  return sealCommit(store.versioning, at)
}

describe('a branch that is moved', () => {
  it('shows another commit, and leaves what it held readable by its id, an open batch included', async () => {
    const { versioning, repo, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    await commitText(master, 'a', '2')
    await putText(versioning, master, 'b', 'acknowledged')
    const moved = await versioning.moveBranch(master, first.id)
    assert.deepEqual([moved.kind, moved.branch.head, moved.branch.openCommit], ['moved', first.id, undefined])
    assert.deepEqual(await listAll(versioning, master), ['a'])
    assert.equal(await getText(versioning, master, 'a'), '1')
    const left = await versioning.waitForCommit(moved.left!)
    assert.equal(left.state, 'finished')
    const behind = { kind: 'commit', repo, commit: left.id } as const
    assert.deepEqual(await listAll(versioning, behind), ['a', 'b'])
    assert.equal(await getText(versioning, behind, 'b'), 'acknowledged')
    // Finishing what was left behind does not bring it back.
    assert.equal((await versioning.getBranch(master)).head, first.id)
    assert.equal((await versioning.moveBranch(master, first.id)).kind, 'unchanged')
  })

  it('goes on from there: parents, files and versions are of the new line', async () => {
    const { versioning, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    await commitText(master, 'a', 'left')
    await versioning.moveBranch(master, first.id)
    const next = await commitText(master, 'a', '3')
    assert.deepEqual(next.parents, [first.id])
    const listed = await versioning.versions.list(master, { limit: 100 })
    const texts = []
    for (const { entry } of listed.versions) {
      texts.push(entry && (await versioning.content.readBytes(entry.content)).toString())
    }
    assert.deepEqual(texts, ['3', '1'])
  })

  it('can be moved back, and shows again what it held', async () => {
    const { versioning, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    const second = await commitText(master, 'b', '2')
    await versioning.moveBranch(master, first.id)
    await commitText(master, 'c', '3')
    await versioning.moveBranch(master, second.id)
    assert.deepEqual(await listAll(versioning, master), ['a', 'b'])
    const next = await commitText(master, 'd', '4')
    assert.deepEqual([next.parents, next.files], [[second.id], 3])
    const { versions } = await versioning.versions.list(master, { limit: 100 })
    assert.deepEqual(
      versions.map(({ path }) => path),
      ['a', 'b', 'd'],
    )
  })

  it('is refused where it is not at the commit that was expected', async () => {
    const { versioning, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    const second = await commitText(master, 'a', '2')
    await assert.rejects(versioning.moveBranch(master, first.id, { expect: first.id }), { code: 'BranchMoved' })
    await putText(versioning, master, 'a', 'staged')
    await assert.rejects(versioning.moveBranch(master, first.id, { expect: second.id }), { code: 'BranchMoved' })
    assert.equal(await getText(versioning, master, 'a'), 'staged')
    const third = await sealCommit(versioning, master)
    assert.equal((await versioning.moveBranch(master, first.id, { expect: third.id })).kind, 'moved')
  })

  it('is refused to a commit that is of another repo, or not there', async () => {
    const { versioning, master } = await newRepo()
    const other = await newRepo()
    const foreign = await commitText(other.master, 'a', '1')
    await assert.rejects(versioning.moveBranch(master, foreign.id), { code: 'CommitNotFound' })
    await assert.rejects(versioning.moveBranch(master, 'f'.repeat(32) as CommitId), { code: 'CommitNotFound' })
  })

  it('lets a transaction that was opened before be finished on what it is now', async () => {
    const { versioning, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    await commitText(master, 'b', '2')
    const tx = { ...master, branch: 'tx-one.master' as typeof master.branch }
    await versioning.transactions.open(tx)
    await putText(versioning, tx, 'c', '3')
    await versioning.moveBranch(master, first.id)
    const { commit } = await versioning.transactions.finish(tx)
    await versioning.waitForCommit(commit)
    assert.deepEqual(await listAll(versioning, master), ['a', 'c'])
  })

  it('is merged with what was left behind as with any other commit', async () => {
    const { versioning, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    const second = await commitText(master, 'b', '2')
    await versioning.moveBranch(master, first.id)
    await putText(versioning, master, 'c', '3')
    const merged = await versioning.merges.merge(master, second.id)
    assert.ok(merged.kind === 'merged')
    assert.deepEqual(await listAll(versioning, master), ['a', 'b', 'c'])
    assert.equal(merged.commit.files, 3)
  })

  it('stays moved over a restart in which what was left behind is finished', async () => {
    const { master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    await putText(store.versioning, master, 'b', '2')
    const moving = store.versioning.moveBranch(master, first.id)
    const { left } = await moving
    await store.reopen()
    assert.equal((await store.versioning.waitForCommit(left!)).state, 'finished')
    assert.equal((await store.versioning.getBranch(master)).head, first.id)
    assert.deepEqual(await listAll(store.versioning, master), ['a'])
  })
})

describe('a protected branch', () => {
  it('is changed by merges and by nothing else', async () => {
    const { versioning, repo, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    const { version } = await putText(versioning, master, 'a', '2')
    const uploaded = parsePath('u')
    const upload = await versioning.uploads.create(master, { path: uploaded, attributes: { metadata: {} } })
    const part = await versioning.uploads.putPart(master, uploaded, upload.id, {
      number: 1,
      staged: await versioning.content.putBytes(Buffer.from('part')),
      md5: 'f'.repeat(32),
    })
    const parts = [{ number: 1, etag: part.md5 }]
    const tx = { ...master, branch: 'tx-one.master' as typeof master.branch }
    await versioning.transactions.open(tx)
    await putText(versioning, tx, 'c', '3')
    const shown = await versioning.protectBranch(master, true)
    assert.equal(shown.protected, true)
    assert.match(shown.readOnly!, /protected: only merges/)
    const path = parsePath('a')
    const entry = await versioning.stat(master, path)
    const writes: Record<string, () => Promise<unknown>> = {
      put: () => putText(versioning, master, 'a', '3'),
      scratch: () => putText(versioning, master, '_temporary/0/a', '3'),
      delete: () => versioning.delete(master, path),
      deleteMany: () => versioning.deleteMany(master, [{ path }]),
      deleteVersion: () => versioning.versions.delete(master, [{ path, version }]),
      copy: () => versioning.copy(master, parsePath('b'), { source: entry, attributes: entry.attributes }),
      rename: () => versioning.rename(master, { source: entry, path: parsePath('b') }),
      upload: () => versioning.uploads.create(master, { path: parsePath('v'), attributes: { metadata: {} } }),
      complete: () => versioning.uploads.complete(master, uploaded, upload.id, { parts }),
      start: () => versioning.startCommit(master),
      restore: () => versioning.restore(master, first.id),
      revert: () => versioning.merges.revert(master, first.id),
      move: () => versioning.moveBranch(master, first.id),
      transaction: () => versioning.transactions.open({ ...master, branch: 'tx-two.master' as typeof master.branch }),
      finish: () => versioning.transactions.finish(tx),
      remove: () => versioning.deleteBranch(master, { force: true }),
      repo: () => versioning.deleteRepo(repo),
    }
    const before = await versioning.getBranch(master)
    for (const [name, write] of Object.entries(writes)) {
      await assert.rejects(write, ReadOnly, `${name} was not refused`)
    }
    assert.deepEqual(await versioning.getBranch(master), before)
    assert.deepEqual(await listAll(versioning, master), ['a'])

    const side = branchOf(`${repo}@side`)
    const head = await versioning.waitForCommit(await versioning.resolveRevision(repo, 'master', { settle: true }))
    await versioning.createBranch(side, { from: head.id })
    const theirs = await commitText(side, 'b', '1')
    assert.equal((await versioning.merges.merge(master, theirs.id)).kind, 'merged')
    assert.deepEqual(await listAll(versioning, master), ['a', 'b'])

    assert.equal((await versioning.protectBranch(master, false)).readOnly, undefined)
    await putText(versioning, master, 'a', '4')
    assert.equal(await getText(versioning, master, 'a'), '4')
  })

  it('has what its batch held as a commit', async () => {
    const { versioning, repo, master } = await newRepo()
    await versioning.startCommit(master)
    await putText(versioning, master, 'a', '1')
    const branch = await versioning.protectBranch(master, true)
    assert.equal(branch.openCommit, undefined)
    const head = await versioning.resolveRevision(repo, 'master', { settle: true })
    assert.equal((await versioning.getCommit(repo, head)).files, 1)
  })
})

describe('pipelines on a branch', () => {
  it('are run by a merge, and by a move to what has other files', async () => {
    const { versioning, repo, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    const side = branchOf(`${repo}@side`)
    await versioning.createBranch(side, { from: first.id })
    const theirs = await commitText(side, 'b', '2')
    const output = branchOf(`${repo}-out@master`)
    await store.db.write((tx) => versioning.derived.define(tx, { output, pipeline: `${repo}-out`, inputs: [master] }))
    const openInputs = async () => {
      const open = (await versioning.derived.listOpen()).filter((commit) => commit.repo === output.repo)
      for (const { commit } of open) {
        await store.db.write((tx) => versioning.derived.finish(tx, commit, EMPTY_TREE))
      }
      return open.map(({ inputs }) => inputs[0]?.commit)
    }
    assert.deepEqual(await openInputs(), [first.id])
    const merged = await versioning.merges.merge(master, theirs.id)
    assert.ok(merged.kind === 'merged')
    assert.deepEqual(await openInputs(), [merged.commit.id])
    await putText(versioning, master, 'left', 'behind')
    const { left } = await versioning.moveBranch(master, first.id)
    await versioning.waitForCommit(left!)
    assert.deepEqual(await openInputs(), [first.id])
    // The same files under another commit: nothing is to be computed.
    const same = await versioning.restore(master, first.id)
    await versioning.moveBranch(master, first.id)
    assert.notEqual(same.id, first.id)
    assert.deepEqual(await openInputs(), [])
    await assert.rejects(versioning.merges.merge(output, first.id), ReadOnly)
    await assert.rejects(versioning.moveBranch(output, first.id), ReadOnly)
    await assert.rejects(versioning.protectBranch(output, true), ReadOnly)
    await versioning.protectBranch(side, true)
    await assert.rejects(
      store.db.write((tx) => versioning.derived.define(tx, { output: side, pipeline: 'side', inputs: [master] })),
      ReadOnly,
    )
  })
})

describe('a tag', () => {
  it('names a commit wherever a branch can be named, and never moves', async () => {
    const { versioning, repo, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    const name = parseBranchName('v1.0')
    const made = await versioning.commitTags.create(repo, name, first.id, { message: 'the first', author: 'ann' })
    assert.deepEqual(
      [made.kind, made.tag.commit, made.tag.message, made.tag.author],
      ['created', first.id, 'the first', 'ann'],
    )
    const second = await commitText(master, 'a', '2')
    assert.equal(await versioning.resolveRevision(repo, 'v1.0'), first.id)
    const target = await versioning.resolve(repo, 'v1.0')
    assert.deepEqual(target, { kind: 'commit', repo, commit: first.id })
    assert.equal(await getText(versioning, target, 'a'), '1')
    await assert.rejects(versioning.commitTags.create(repo, name, second.id), { code: 'TagExists' })
    assert.equal((await versioning.commitTags.create(repo, name, first.id)).kind, 'existing')
    const side = branchOf(`${repo}@side`)
    await versioning.createBranch(side, { from: await versioning.resolveRevision(repo, 'v1.0') })
    assert.deepEqual((await versioning.getBranch(side)).head, first.id)
  })

  it('shares its names with branches, both ways', async () => {
    const { versioning, repo, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    await assert.rejects(versioning.commitTags.create(repo, master.branch, first.id), { code: 'BranchExists' })
    await versioning.commitTags.create(repo, parseBranchName('taken'), first.id)
    await assert.rejects(versioning.createBranch(branchOf(`${repo}@taken`)), { code: 'TagExists' })
    await versioning.commitTags.delete(repo, parseBranchName('taken'))
    await versioning.createBranch(branchOf(`${repo}@taken`))
    assert.equal((await versioning.resolve(repo, 'taken')).kind, 'branch')
  })

  it('is only of a finished commit of its repo', async () => {
    const { versioning, repo, master } = await newRepo()
    await putText(versioning, master, 'a', '1')
    const { openCommit } = await versioning.getBranch(master)
    const name = parseBranchName('early')
    await assert.rejects(versioning.commitTags.create(repo, name, openCommit!), { code: 'CommitUnavailable' })
    await assert.rejects(versioning.commitTags.create(repo, name, 'e'.repeat(32) as CommitId), {
      code: 'CommitNotFound',
    })
    const nowhere = parseRepoName('nowhere')
    await assert.rejects(versioning.commitTags.list(nowhere), { code: 'RepoNotFound' })
    await assert.rejects(versioning.commitTags.delete(repo, name), { code: 'TagNotFound' })
  })

  it('is listed by name, a page at a time, and known after a restart', async () => {
    const { repo, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    for (const name of ['c', 'a', 'b']) await store.versioning.commitTags.create(repo, parseBranchName(name), first.id)
    await store.reopen()
    const page = await store.versioning.commitTags.list(repo, { limit: 2 })
    const rest = await store.versioning.commitTags.list(repo, { limit: 2, after: page.at(-1)!.name })
    assert.deepEqual(
      [...page, ...rest].map(({ name }) => name),
      ['a', 'b', 'c'],
    )
    assert.equal((await store.versioning.resolve(repo, 'b')).kind, 'commit')
  })

  it('keeps its repo when the last branch would go, and goes with a repo that is deleted', async () => {
    const { versioning, repo, master } = await newRepo()
    const first = await commitText(master, 'a', '1')
    await versioning.commitTags.create(repo, parseBranchName('kept'), first.id)
    await assert.rejects(versioning.deleteBranch(master, { force: true }), { code: 'InUse' })
    await versioning.deleteRepo(repo)
    await versioning.createBranch(master)
    await assert.rejects(versioning.commitTags.get(repo, parseBranchName('kept')), { code: 'TagNotFound' })
    assert.equal((await versioning.resolve(repo, 'kept')).kind, 'branch')
  })
})
