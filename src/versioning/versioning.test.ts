import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import {
  BranchNotEmpty,
  BranchNotFound,
  type CommitId,
  CommitNotFound,
  CommitUnavailable,
  type Difference,
  NothingToFinish,
  PathNotFound,
  parsePath,
  RepoNotFound,
  UploadNotFound,
} from './index.ts'
import { branchOf, getText, listAll, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

const images = branchOf('images@master')

describe('a versioned store', () => {
  let store: TestStore

  beforeEach(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(images)
  })

  afterEach(() => store.close())

  const put = (path: string, text: string) => putText(store.versioning, images, path, text)
  const commit = () => sealCommit(store.versioning, images)
  const atCommit = (id: CommitId) => ({ kind: 'commit', repo: images.repo, commit: id }) as const
  const differences = async (before: CommitId | 'empty', after: CommitId) => {
    const found: string[] = []
    for await (const difference of store.versioning.diff(before, after)) found.push(show(difference))
    return found
  }

  it('shows a PUT at once, in a batch that several PUTs gather in', async () => {
    const one = await put('a.txt', 'one')
    const two = await put('b/c.txt', 'two')
    assert.equal(one.commit, two.commit)
    assert.equal(two.version.seq, one.version.seq + 1)
    assert.equal(await getText(store.versioning, images, 'a.txt'), 'one')
    assert.deepEqual(await listAll(store.versioning, images), ['a.txt', 'b/c.txt'])
    await assert.rejects(store.versioning.stat(images, parsePath('b')), PathNotFound)
  })

  it('keeps finished commits as they were while the branch moves on', async () => {
    await put('a', '1')
    await put('b', '1')
    const first = await commit()
    await put('a', '2')
    await store.versioning.delete(images, parsePath('b'))
    await put('c', '2')
    const second = await commit()
    assert.deepEqual(second.parents, [first.id])
    assert.deepEqual([first.files, first.sizeBytes, second.files], [2, 2, 2])
    assert.equal(await getText(store.versioning, atCommit(first.id), 'a'), '1')
    assert.deepEqual(await listAll(store.versioning, atCommit(first.id)), ['a', 'b'])
    assert.deepEqual(await listAll(store.versioning, atCommit(second.id)), ['a', 'c'])
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'c'])
    assert.deepEqual(await differences(first.id, second.id), ['~a', '-b', '+c'])
    assert.deepEqual(await differences('empty', first.id), ['+a', '+b'])
  })

  it('has everything after a restart, acknowledged changes of an open batch included', async () => {
    await put('a', '1')
    const first = await commit()
    await put('b', '2')
    await store.reopen()
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'b'])
    assert.equal(await getText(store.versioning, images, 'b'), '2')
    const second = await commit()
    assert.deepEqual(second.parents, [first.id])
    assert.deepEqual(await listAll(store.versioning, atCommit(second.id)), ['a', 'b'])
  })

  it('finishes what was sealed but not finished when the process died', async () => {
    await put('a', '1')
    const { commit: id } = await put('b', '2')
    await store.db.write(async (tx) => {
      await tx.run("UPDATE commits SET state = 'sealed', last_seq = 2 WHERE id = ?", [id])
      await tx.run('UPDATE branches SET open_commit = NULL, tip = ?', [id])
    })
    await store.reopen()
    const finished = await store.versioning.waitForCommit(id)
    assert.equal(finished.state, 'finished')
    assert.deepEqual(await listAll(store.versioning, atCommit(id)), ['a', 'b'])
  })

  it('refuses to read a commit before it is finished', async () => {
    const { commit: id } = await put('a', '1')
    await assert.rejects(store.versioning.resolve(images.repo, id), CommitUnavailable)
    await assert.rejects(store.versioning.list(atCommit(id), { limit: 10 }), CommitUnavailable)
  })

  it('restores an old commit as one new commit, and PUTs around it keep their order', async () => {
    await put('a', 'good')
    const good = await commit()
    await put('a', 'broken')
    await put('b', 'new')
    // Listed once, so that the staging area is kept sorted in memory.
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'b'])
    const restored = await store.versioning.restore(images, good.id)
    await put('c', 'after')
    assert.equal(await getText(store.versioning, images, 'a'), 'good')
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'c'])
    const after = await commit()
    assert.deepEqual(after.parents, [restored.id])
    const log = await store.versioning.listCommits(images.repo)
    assert.equal(log.length, 4)
    assert.equal(await getText(store.versioning, atCommit(restored.parents[0]!), 'b'), 'new')
    assert.deepEqual([restored.files, restored.sizeBytes], [good.files, good.sizeBytes])
    assert.equal((await store.versioning.getCommit(images.repo, restored.id)).root, good.root)
    await store.reopen()
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'c'])
  })

  it('starts a branch at any commit, without copying', async () => {
    await put('a', '1')
    const first = await commit()
    await put('a', '2')
    const dev = branchOf('images@dev')
    await store.versioning.createBranch(dev, { from: first.id })
    await putText(store.versioning, dev, 'b', 'dev')
    assert.equal(await getText(store.versioning, dev, 'a'), '1')
    assert.deepEqual(await listAll(store.versioning, dev), ['a', 'b'])
    const made = await sealCommit(store.versioning, dev)
    assert.deepEqual(made.parents, [first.id])
    assert.deepEqual([made.files, made.sizeBytes], [2, 4])
  })

  it('takes revisions: branch, prefix, ^ and ^N', async () => {
    const ids: CommitId[] = []
    for (const text of ['1', '2', '3']) {
      await put('a', text)
      ids.push((await commit()).id)
    }
    const resolve = (revision: string) => store.versioning.resolveRevision(images.repo, revision)
    assert.equal(await resolve('master'), ids[2])
    assert.equal(await resolve('master^'), ids[1])
    assert.equal(await resolve('master^2'), ids[0])
    assert.equal(await resolve('master^^'), ids[0])
    assert.equal(await resolve(`${ids[1]!.slice(0, 10)}^`), ids[0])
    await assert.rejects(resolve('master^3'), CommitNotFound)
    await assert.rejects(resolve('nowhere'), BranchNotFound)
    await assert.rejects(resolve('00000000'), CommitNotFound)
  })

  it('settles a branch for commands that compare or move it, so that what was acknowledged counts', async () => {
    await put('a', '1')
    const first = await commit()
    const { commit: open } = await put('a', '2')
    assert.equal(await store.versioning.resolveRevision(images.repo, 'master'), first.id)
    assert.equal(await store.versioning.resolveRevision(images.repo, 'master', { settle: true }), open)
    assert.equal(await store.versioning.resolveRevision(images.repo, 'master^', { settle: true }), first.id)
  })

  it('settles also under a batch that was pinned after the PUTs', async () => {
    const { commit: written } = await put('a', '1')
    await store.versioning.seal(images)
    await store.versioning.startCommit(images)
    assert.equal(await store.versioning.resolveRevision(images.repo, 'master', { settle: true }), written)
  })

  it('names what it sealed, not the batch that a PUT opened right after', async () => {
    for (let i = 0; i < 20; i++) {
      const { commit: written } = await put('a', String(i))
      const sealing = store.versioning.seal(images)
      const next = put('b', String(i))
      assert.equal((await sealing)?.commit, written)
      await next
      await commit()
    }
  })

  it('finds what is unfinished by its own index, however long the history', async () => {
    const plan = async (sql: string) =>
      (await store.db.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`)).map((row) => row.detail).join()
    assert.match(
      await plan(
        'SELECT 1 FROM commits INDEXED BY commits_unfinished WHERE branch_id = 1 AND finished_ms IS NULL ORDER BY ordinal LIMIT 1',
      ),
      /commits_unfinished \(branch_id=\?\)/,
    )
    assert.match(
      await plan("SELECT * FROM commits WHERE repo = 'r' AND branch = 'b' ORDER BY number DESC"),
      /commits_by_repo_branch/,
    )
    assert.match(
      await plan("SELECT * FROM uploads WHERE branch_id = 1 AND state = 'open' AND path > 'a' ORDER BY path, id"),
      /uploads_open/,
    )
  })

  it('pins a batch between commit start and finish', async () => {
    const started = await store.versioning.startCommit(images, { message: 'by hand', author: 'ann' })
    await put('a', '1')
    assert.equal((await store.versioning.seal(images))?.commit, started.id)
    assert.equal((await store.versioning.getCommit(images.repo, started.id)).state, 'open')
    const finished = await store.versioning.finishCommit(images)
    assert.deepEqual([finished.id, finished.message, finished.authors], [started.id, 'by hand', ['ann']])
    assert.deepEqual(await listAll(store.versioning, atCommit(finished.id)), ['a'])
    await assert.rejects(store.versioning.finishCommit(images), NothingToFinish)
  })

  it('makes a commit with the tree of its parent when nothing was written between start and finish', async () => {
    await put('a', '1')
    const first = await commit()
    await store.versioning.startCommit(images)
    const empty = await store.versioning.finishCommit(images)
    assert.equal(empty.root, first.root)
    assert.deepEqual([empty.files, empty.sizeBytes], [1, 1])
  })

  it('deletes a branch only when it is empty, and the repo with its last branch', async () => {
    await put('a', '1')
    await assert.rejects(store.versioning.deleteBranch(images), BranchNotEmpty)
    await commit()
    await assert.rejects(store.versioning.deleteBranch(images), BranchNotEmpty)
    await store.versioning.delete(images, parsePath('a'))
    await store.versioning.deleteBranch(images)
    await assert.rejects(store.versioning.getRepo(images.repo), RepoNotFound)
    await store.versioning.createBranch(images)
    assert.deepEqual(await store.versioning.listCommits(images.repo), [])
    assert.deepEqual(await listAll(store.versioning, images), [])
  })

  it('lists with prefix and delimiter over staged and committed keys alike', async () => {
    await put('a/1', 'x')
    await put('a/2', 'x')
    await put('b', 'x')
    await commit()
    await store.versioning.delete(images, parsePath('a/1'))
    await put('c/1', 'x')
    const top = await store.versioning.list(images, { delimiter: '/', limit: 10 })
    assert.deepEqual([top.entries.map((entry) => entry.path), top.prefixes], [['b'], ['a/', 'c/']])
    await store.versioning.delete(images, parsePath('a/2'))
    const gone = await store.versioning.list(images, { delimiter: '/', limit: 10 })
    assert.deepEqual(gone.prefixes, ['c/'])
    const below = await store.versioning.list(images, { prefix: 'c/', delimiter: '/', limit: 10 })
    assert.deepEqual(
      below.entries.map((entry) => entry.path),
      ['c/1'],
    )
  })

  it('completes a multipart upload once, and answers the same when asked again', async () => {
    const { versioning } = store
    const path = parsePath('big')
    const upload = await versioning.uploads.create(images, { path, attributes: { metadata: { a: 'b' } } })
    const bodies = [Buffer.alloc(5 * 1024 * 1024, 1), Buffer.from('tail')]
    const parts = []
    for (const [index, body] of bodies.entries()) {
      const writer = versioning.content.writer()
      await writer.write(body)
      const staged = await writer.finish()
      const md5 = (await import('node:crypto')).hash('md5', body)
      const part = await versioning.uploads.putPart(images, path, upload.id, { number: index + 1, staged, md5 })
      parts.push({ number: part.number, etag: part.md5 })
    }
    await assert.rejects(versioning.stat(images, path), PathNotFound)
    const [one, other] = await Promise.allSettled([
      versioning.uploads.complete(images, path, upload.id, { parts }),
      versioning.uploads.complete(images, path, upload.id, { parts }),
    ])
    assert.deepEqual([one.status, other.status], ['fulfilled', 'fulfilled'])
    const again = await versioning.uploads.complete(images, path, upload.id, { parts })
    const entry = await versioning.stat(images, path)
    assert.deepEqual(
      [entry.etag, entry.size, entry.parts, entry.version],
      [again.etag, 5 * 1024 * 1024 + 4, 2, again.version],
    )
    assert.deepEqual({ ...entry.attributes.metadata }, { a: 'b' })
    const chunks: Buffer[] = []
    for await (const chunk of versioning.content.read(entry.content)) chunks.push(chunk as Buffer)
    assert.ok(Buffer.concat(chunks).equals(Buffer.concat(bodies)))
    await assert.rejects(versioning.uploads.abort(images, path, upload.id), UploadNotFound)
  })
})

describe('batches', () => {
  it('seal by themselves when the branch is idle, not while a body is in flight', async () => {
    const store = await openTestStore({ batch: { idleMs: 30 } })
    const { versioning } = store
    await versioning.createBranch(images)
    const ended = versioning.writing(images)
    const { commit } = await putText(versioning, images, 'a', '1')
    await new Promise((resolve) => setTimeout(resolve, 150))
    assert.equal((await versioning.getCommit(images.repo, commit)).state, 'open')
    ended()
    assert.equal((await versioning.waitForCommit(commit)).state, 'finished')
    await store.close()
  })

  it('seal when they are too large, and the next PUT opens another', async () => {
    const store = await openTestStore({ batch: { maxChanges: 5 } })
    const { versioning } = store
    await versioning.createBranch(images)
    let last: CommitId | undefined
    for (let i = 0; i < 5; i++) last = (await putText(versioning, images, `k${i}`, 'x')).commit
    assert.equal((await versioning.waitForCommit(last!)).files, 5)
    assert.notEqual((await putText(versioning, images, 'k5', 'x')).commit, last)
    await store.close()
  })

  it('that were open at a restart seal by the same rules', async () => {
    const store = await openTestStore({ batch: { idleMs: 200 } })
    await store.versioning.createBranch(images)
    const { commit } = await putText(store.versioning, images, 'a', '1')
    await store.reopen()
    assert.equal((await store.versioning.waitForCommit(commit)).state, 'finished')
    await store.close()
  })
})

function show(difference: Difference): string {
  const sign = { added: '+', deleted: '-', changed: '~' }[difference.kind]
  return `${sign}${difference.path}`
}
