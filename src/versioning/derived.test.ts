import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import {
  BranchMoved,
  type CommitId,
  CommitNotFound,
  CommitUnavailable,
  Cycle,
  EMPTY_TREE,
  type FlushEvent,
  InUse,
  parsePath,
  ReadOnly,
  RepoNotFound,
  type TreeHash,
} from './index.ts'
import { branchOf, getText, listAll, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

const images = branchOf('images@master')
const edges = branchOf('edges@master')

describe('branches that pipelines write', () => {
  let store: TestStore
  let folder: string

  beforeEach(async () => {
    store = await openTestStore()
    folder = await mkdtemp(join(tmpdir(), 'sluice-out-'))
    await store.versioning.createBranch(images)
  })

  afterEach(async () => {
    await store.close()
    await rm(folder, { recursive: true, force: true })
  })

  const define = (output: string, ...inputs: string[]) =>
    store.db.write((tx) =>
      store.versioning.derived.define(tx, {
        output: branchOf(output),
        pipeline: output.split('@')[0]!,
        inputs: inputs.map(branchOf),
      }),
    )
  const commitImages = async (path: string, text = 'x') => {
    await putText(store.versioning, images, path, text)
    return (await sealCommit(store.versioning, images)).id
  }
  const openOutputs = async () =>
    (await store.versioning.derived.listOpen()).map((open) => `${open.repo}:${open.inputs.length}`)
  const finish = (commit: CommitId, root: TreeHash = EMPTY_TREE) =>
    store.db.write((tx) => store.versioning.derived.finish(tx, commit, root))
  const fail = (commit: CommitId, reason: string) =>
    store.db.write((tx) => store.versioning.derived.fail(tx, commit, { kind: 'failed', reason }))
  const output = async (datum: string, files: Record<string, string>, job = 'a'.repeat(32)) => {
    const list = []
    for (const [path, text] of Object.entries(files)) {
      const diskPath = join(folder, `${datum}-${list.length}`)
      await writeFile(diskPath, text)
      list.push({ path: parsePath(path), diskPath })
    }
    return (await store.versioning.derived.storeOutput(list, { job, datum })).root
  }
  const flush = async (commit: CommitId, timeoutMs?: number) => {
    const events: FlushEvent[] = []
    const options = timeoutMs === undefined ? {} : { timeoutMs }
    for await (const event of store.versioning.flush([{ repo: images.repo, commit }], options)) events.push(event)
    return events
  }

  it('get one output commit for each input commit, made in the transaction that finishes it', async () => {
    await define('edges@master', 'images@master')
    const first = await commitImages('a')
    const [open] = await store.versioning.derived.listOpen()
    assert.deepEqual(
      open!.inputs.map((input) => [input.commit, input.state]),
      [[first, 'finished']],
    )
    assert.deepEqual(
      (await store.versioning.provenance(open!.commit)).map((up) => up.commit),
      [first],
    )
    await commitImages('b')
    assert.equal((await store.versioning.derived.listOpen()).length, 2)
  })

  it('get one output commit, not two, at the end of a diamond', async () => {
    await define('left@master', 'images@master')
    await define('right@master', 'images@master')
    await define('join@master', 'left@master', 'right@master')
    await define('last@master', 'join@master', 'images@master')
    const origin = await commitImages('a')
    assert.deepEqual(await openOutputs(), ['left:1', 'right:1', 'join:2', 'last:2'])
    const last = (await store.versioning.derived.listOpen())[3]!
    const provenance = await store.versioning.provenance(last.commit)
    assert.deepEqual(provenance.map((up) => `${up.repo}${up.direct ? '!' : ''}`).sort(), [
      'images!',
      'join!',
      'left',
      'right',
    ])
    assert.equal(provenance.find((up) => up.repo === 'images')?.commit, origin)
    assert.deepEqual(
      (await store.versioning.subvenance(origin)).map((down) => down.repo),
      ['left', 'right', 'join', 'last'],
    )
  })

  it('open a commit on existing heads when the pipeline is created late', async () => {
    const head = await commitImages('a')
    const { commit } = await define('edges@master', 'images@master')
    assert.deepEqual(
      (await store.versioning.derived.listOpen()).map((open) => open.commit),
      [commit],
    )
    await finish(commit!)
    assert.deepEqual(await store.versioning.resolve(edges.repo, head), { kind: 'commit', repo: 'edges', commit })
  })

  it('are not started by a commit that changed nothing', async () => {
    await define('edges@master', 'images@master')
    await commitImages('a', 'same')
    await putText(store.versioning, images, 'b', 'x')
    await store.versioning.delete(images, parsePath('b'))
    await sealCommit(store.versioning, images)
    assert.equal((await store.versioning.derived.listOpen()).length, 1)
  })

  it('keep their head at the newest success when an older commit ends later', async () => {
    await define('edges@master', 'images@master')
    const first = await commitImages('a')
    const second = await commitImages('b')
    const [older, newer] = await store.versioning.derived.listOpen()
    await finish(newer!.commit, await output('d2', { 'b.png': 'new' }))
    await finish(older!.commit, await output('d1', { 'a.png': 'old' }))
    assert.equal((await store.versioning.getBranch(edges)).head, newer!.commit)
    assert.equal(await getText(store.versioning, edges, 'b.png'), 'new')
    const old = await store.versioning.resolve(edges.repo, first.slice(0, 10))
    assert.equal(await getText(store.versioning, old, 'a.png'), 'old')
    assert.deepEqual(await store.versioning.resolve(edges.repo, second), {
      kind: 'commit',
      repo: 'edges',
      commit: newer!.commit,
    })
    await assert.rejects(finish(older!.commit), BranchMoved)
  })

  it('refuse writes, and data that a user wrote refuses a pipeline', async () => {
    await define('edges@master', 'images@master')
    await assert.rejects(putText(store.versioning, edges, 'a', '1'), ReadOnly)
    await assert.rejects(store.versioning.restore(edges, 'f'.repeat(32) as CommitId), ReadOnly)
    await assert.rejects(store.versioning.startCommit(edges), ReadOnly)
    await assert.rejects(store.versioning.deleteBranch(edges, { force: true }), InUse)
    await assert.rejects(store.versioning.deleteRepo(images.repo), InUse)
    await commitImages('a')
    await assert.rejects(define('images@master', 'edges@master'), InUse)
    await store.versioning.createBranch(branchOf('scratch@master'))
    await putText(store.versioning, branchOf('scratch@master'), 'table/_temporary/part', 'nobody could delete it')
    await assert.rejects(define('scratch@master', 'images@master'), InUse)
  })

  it('refuse a cycle and inputs that are not there', async () => {
    await define('one@master', 'images@master')
    await define('two@master', 'one@master')
    await assert.rejects(define('one@master', 'two@master'), Cycle)
    await assert.rejects(define('three@master', 'nothing@master'), RepoNotFound)
    assert.deepEqual(
      (await store.versioning.listRepos()).map((repo) => repo.name),
      ['images', 'one', 'two'],
    )
  })

  it('fail with everything downstream at once, and flush says why', async () => {
    await define('edges@master', 'images@master')
    await define('montage@master', 'edges@master')
    const origin = await commitImages('a')
    const [open] = await store.versioning.derived.listOpen()
    const flushing = flush(origin)
    await fail(open!.commit, 'datum x exited 1')
    const events = await flushing
    assert.equal(events[0]!.kind, 'waiting')
    const verdict = events.at(-1)!
    assert.ok(verdict.kind === 'verdict' && !verdict.ok)
    assert.deepEqual(
      verdict.branches.map((branch) => [branch.repo, branch.verdict]),
      [
        ['edges', 'failed'],
        ['montage', 'unrunnable'],
      ],
    )
    assert.match(verdict.branches[1]!.reason!, /datum x exited 1/)
    await assert.rejects(store.versioning.resolve(edges.repo, origin), (error: CommitUnavailable) => {
      assert.deepEqual([error.data['state'], error.data['reason']], ['failed', 'datum x exited 1'])
      return error instanceof CommitUnavailable
    })
    assert.equal((await store.versioning.getBranch(edges)).head, undefined)
  })

  it('are awaited by flush, which ends with a verdict also when the time is over', async () => {
    await define('edges@master', 'images@master')
    const origin = await commitImages('a')
    const late = await flush(origin, 50)
    assert.deepEqual(
      late.map((event) => event.kind),
      ['waiting', 'verdict'],
    )
    const [open] = await store.versioning.derived.listOpen()
    const again = flush(origin)
    await finish(open!.commit)
    const events = await again
    assert.ok(events.some((event) => event.kind === 'ended' && event.commit.commit === open!.commit))
    assert.deepEqual(events.at(-1), {
      kind: 'verdict',
      ok: true,
      branches: [{ repo: 'edges', branch: 'master', commit: open!.commit, verdict: 'finished' }],
    })
  })

  it('flush at once when nobody subscribes', async () => {
    const events = await flush(await commitImages('a'))
    assert.deepEqual(
      events.map((event) => event.kind),
      ['waiting', 'verdict'],
    )
  })

  it('merge the outputs of datums, keep versions of what did not change, and name both writers of one path', async () => {
    await define('edges@master', 'images@master')
    await commitImages('a')
    const [one] = await store.versioning.derived.listOpen()
    const a = await output('datum-a', { 'a.png': 'A', 'sub/a.txt': 'x'.repeat(2000) })
    const first = await store.versioning.derived.union(one!.commit, [a, a], EMPTY_TREE)
    assert.ok(first.kind === 'ok')
    assert.deepEqual([first.files, first.sizeBytes], [2, 2001])
    await finish(one!.commit, first.root)
    await commitImages('b')
    const [two] = await store.versioning.derived.listOpen()
    const b = await output('datum-b', { 'b.png': 'B' })
    const second = await store.versioning.derived.union(two!.commit, [b, a], two!.base!.root)
    assert.ok(second.kind === 'ok')
    await finish(two!.commit, second.root)
    const entry = await store.versioning.stat(edges, parsePath('a.png'))
    assert.deepEqual([entry.version.commit, entry.origin], [one!.commit, { job: 'a'.repeat(32), datum: 'datum-a' }])
    assert.equal((await store.versioning.stat(edges, parsePath('b.png'))).version.commit, two!.commit)
    assert.deepEqual(await listAll(store.versioning, edges), ['a.png', 'b.png', 'sub/a.txt'])
    const clash = await store.versioning.derived.union(
      two!.commit,
      [a, await output('datum-c', { 'a.png': 'C' })],
      EMPTY_TREE,
    )
    assert.ok(clash.kind === 'conflict')
    assert.deepEqual(clash.paths[0]!.path, 'a.png')
    assert.deepEqual([...clash.paths[0]!.datums].sort(), ['datum-a', 'datum-c'])
  })

  it('pass nothing on while paused, and catch up afterwards', async () => {
    await define('edges@master', 'images@master')
    await define('montage@master', 'edges@master')
    await store.db.write((tx) => store.versioning.derived.pause(tx, edges, true))
    await commitImages('a')
    assert.deepEqual(await openOutputs(), [])
    await store.db.write((tx) => store.versioning.derived.pause(tx, edges, false))
    assert.deepEqual(await openOutputs(), ['edges:1', 'montage:1'])
  })

  it('become ordinary again, with their open commits stopped', async () => {
    await define('edges@master', 'images@master')
    const origin = await commitImages('a')
    await store.db.write((tx) => store.versioning.derived.undefine(tx, edges))
    const verdict = (await flush(origin)).at(-1)!
    assert.ok(verdict.kind === 'verdict')
    assert.deepEqual(
      verdict.branches.map((branch) => branch.verdict),
      ['stopped'],
    )
    await putText(store.versioning, edges, 'a', '1')
    await store.versioning.deleteBranch(images, { force: true })
  })

  it('end a flush with a reason when they are deleted while it waits', async () => {
    await define('edges@master', 'images@master')
    const origin = await commitImages('a')
    const events = store.versioning.flush([{ repo: images.repo, commit: origin }])[Symbol.asyncIterator]()
    assert.equal((await events.next()).value?.kind, 'waiting')
    await store.db.write((tx) => store.versioning.derived.undefine(tx, edges))
    await store.versioning.deleteRepo(edges.repo)
    assert.equal((await events.next()).value?.kind, 'ended')
    const verdict = (await events.next()).value
    assert.ok(verdict?.kind === 'verdict' && !verdict.ok)
    assert.deepEqual(
      verdict.branches.map((branch: { verdict: string }) => branch.verdict),
      ['stopped'],
    )
  })

  it('keep a repo that they are still computed from, also when the pipeline reads another by now', async () => {
    await store.versioning.createBranch(branchOf('photos@master'))
    await define('edges@master', 'images@master')
    await commitImages('a')
    await define('edges@master', 'photos@master')
    await assert.rejects(store.versioning.deleteRepo(images.repo), InUse)
    await assert.rejects(store.versioning.deleteBranch(images, { force: true }), InUse)
    const [open] = await store.versioning.derived.listOpen()
    await finish(open!.commit)
    await store.versioning.deleteRepo(images.repo)
  })

  it('move their head from the first result on, also on a branch that began at a commit of a user', async () => {
    await commitImages('a')
    await commitImages('b')
    const head = await commitImages('c')
    const out = branchOf('images@out')
    await store.versioning.createBranch(out, { from: head })
    await define('images@out', 'images@master')
    const [open] = await store.versioning.derived.listOpen()
    await finish(open!.commit, await output('d', { 'x.png': 'X' }))
    assert.equal((await store.versioning.getBranch(out)).head, open!.commit)
    assert.deepEqual(await listAll(store.versioning, out), ['x.png'])
  })

  it('say when another repo has no commit that came from this one', async () => {
    const origin = await commitImages('a')
    await store.versioning.createBranch(edges)
    await assert.rejects(store.versioning.resolve(edges.repo, origin), CommitNotFound)
  })

  it('are flushed by their newest commit once the same inputs were computed again, also further down', async () => {
    await define('edges@master', 'images@master')
    await define('montage@master', 'edges@master')
    const origin = await commitImages('a')
    const [first] = await store.versioning.derived.listOpen()
    await fail(first!.commit, 'a slip in the code')
    const before = (await flush(origin)).at(-1)!
    assert.ok(before.kind === 'verdict' && !before.ok)
    await define('edges@master', 'images@master')
    for (const open of await store.versioning.derived.listOpen()) await finish(open.commit)
    const after = (await flush(origin)).at(-1)!
    assert.ok(after.kind === 'verdict')
    assert.deepEqual(
      after.branches.map((branch) => [branch.repo, branch.verdict]),
      [
        ['edges', 'finished'],
        ['montage', 'finished'],
      ],
    )
    assert.ok(after.ok)
  })

  it('are flushed one by one where their other inputs differ', async () => {
    const labels = branchOf('labels@master')
    await store.versioning.createBranch(labels)
    await putText(store.versioning, labels, 'l', '1')
    await store.versioning.waitForCommit((await store.versioning.seal(labels))!.commit)
    await define('train@master', 'images@master', 'labels@master')
    const origin = await commitImages('a')
    await putText(store.versioning, labels, 'l', '2')
    await store.versioning.waitForCommit((await store.versioning.seal(labels))!.commit)
    for (const open of await store.versioning.derived.listOpen()) await finish(open.commit)
    const verdict = (await flush(origin)).at(-1)!
    assert.ok(verdict.kind === 'verdict')
    assert.equal(verdict.branches.length, 2)
  })

  it('reopen a commit on the same inputs, and the newest then stands for them', async () => {
    await define('edges@master', 'images@master')
    const origin = await commitImages('a')
    const [first] = await store.versioning.derived.listOpen()
    await fail(first!.commit, 'no luck')
    const again = await store.db.write((tx) => store.versioning.derived.reopen(tx, first!.commit))
    await finish(again)
    assert.deepEqual(await store.versioning.resolve(edges.repo, origin), {
      kind: 'commit',
      repo: 'edges',
      commit: again,
    })
  })
})
