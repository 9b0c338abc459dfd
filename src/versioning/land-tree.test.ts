import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Commit, parsePath } from './index.ts'
import { assertSound } from './testing/fsck.ts'
import { branchOf, getText, listAll, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

const FILES_OF_SIDE = 4_000
const WRITERS = 8

let store: TestStore

before(async () => {
  store = await openTestStore()
})
after(async () => {
  await assertSound(store, { deep: true })
  await store.close()
})

async function putMany(at: ReturnType<typeof branchOf>, prefix: string, count: number, text: string): Promise<void> {
  const { versioning } = store
  for (let start = 0; start < count; start += 200) {
    await Promise.all(
      Array.from({ length: Math.min(200, count - start) }, (_, i) =>
        putText(versioning, at, `${prefix}${String(start + i).padStart(5, '0')}`, text),
      ),
    )
  }
}

interface Sides {
  readonly master: ReturnType<typeof branchOf>
  /** The newest commit of the other branch. */
  readonly theirs: Commit
}

/** A repo with two branches: what both have, what the other one wrote since, and beside it as much as takes a while to merge. */
async function parted(
  repo: string,
  both: Readonly<Record<string, string>>,
  { files, many }: { readonly files: Readonly<Record<string, string>>; readonly many: boolean },
): Promise<Sides> {
  const { versioning } = store
  const master = branchOf(repo)
  const side = branchOf(`${repo}@side`)
  await versioning.createBranch(master)
  for (const [path, text] of Object.entries(both)) await putText(versioning, master, path, text)
  await versioning.createBranch(side, { from: (await sealCommit(versioning, master)).id })
  if (many) await putMany(side, 'side/', FILES_OF_SIDE, 'of the side')
  for (const [path, text] of Object.entries(files)) await putText(versioning, side, path, text)
  return { master, theirs: await sealCommit(versioning, side) }
}

describe('a merge while others write', () => {
  it('ends under a stream of PUTs, keeps every one of them, and brings all that it is to bring', async () => {
    const { versioning } = store
    const { master, theirs } = await parted('stream', { base: '0' }, { files: {}, many: true })

    let merging = true
    const written: number[] = []
    const writers = Array.from({ length: WRITERS }, async (_, writer) => {
      let count = 0
      for (; merging; count++) await putText(versioning, master, `own/${writer}/${count % 50}`, `${writer}.${count}`)
      written[writer] = count
    })
    const sealing = (async () => {
      while (merging) await versioning.seal(master)
    })()
    // What was brought is never seen half, nor gone again.
    const seen: number[] = []
    const reading = (async () => {
      for (let finished = false; !finished; ) {
        finished = !merging
        seen.push((await versioning.list(master, { prefix: 'side/', limit: 1_000 })).entries.length)
      }
    })()
    const merged = await versioning.merges.merge(master, theirs.id)
    merging = false
    await Promise.all([...writers, sealing, reading])
    const first1000 = seen.indexOf(1_000)
    assert.ok(seen.every((count, index) => count === (index < first1000 ? 0 : 1_000)))
    assert.ok(first1000 > 0)

    assert.ok(merged.kind === 'merged')
    assert.deepEqual(merged.counts, { added: FILES_OF_SIDE, changed: 0, deleted: 0 })
    const newest = await sealCommit(versioning, master)
    for (const target of [master, { kind: 'commit', repo: master.repo, commit: newest.id } as const]) {
      const keys = await listAll(versioning, target, 1000)
      const own = written.flatMap((count, writer) =>
        Array.from({ length: Math.min(count, 50) }, (_, i) => `own/${writer}/${i}`),
      )
      assert.deepEqual(keys.filter((key) => key.startsWith('own/')).sort(), own.sort())
      assert.equal(keys.filter((key) => key.startsWith('side/')).length, FILES_OF_SIDE)
      for (const [writer, count] of written.entries()) {
        const last = count - 1
        if (last < 0) continue
        assert.equal(await getText(versioning, target, `own/${writer}/${last % 50}`), `${writer}.${last}`)
      }
      assert.equal(newest.files, keys.length)
    }
    // The commit of the merge holds what its parent holds, and the side.
    const parent = await versioning.getCommit(master.repo, merged.commit.parents[0]!)
    assert.equal(merged.commit.files, parent.files + FILES_OF_SIDE)
    const brought = []
    for await (const { kind } of versioning.diff(parent.id, merged.commit.id)) brought.push(kind)
    assert.equal(brought.length, FILES_OF_SIDE)
  })

  it('does not bring files over a write that came after it had looked', async () => {
    const { versioning } = store
    const { master, theirs } = await parted('hot', { hot: '0' }, { files: { hot: 'of the side' }, many: true })
    const merge = versioning.merges.merge(master, theirs.id)
    await putText(versioning, master, 'hot', 'of master')
    await assert.rejects(merge, { code: 'MergeConflict' })
    assert.deepEqual(await listAll(versioning, master), ['hot'])
    assert.equal(await getText(versioning, master, 'hot'), 'of master')
    const resolved = await versioning.merges.merge(master, theirs.id, { resolve: { paths: { hot: 'ours' } } })
    assert.equal(resolved.kind, 'merged')
    assert.equal(await getText(versioning, master, 'hot'), 'of master')
  })

  it('ends though the very files that it takes from the other side are written all the time', async () => {
    const { versioning } = store
    const { master, theirs } = await parted('contested', { hot: '0' }, { files: { hot: 'of the side' }, many: true })
    let merging = true
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      while (merging) await putText(versioning, master, 'hot', `by ${writer}`)
    })
    const merged = await versioning.merges.merge(master, theirs.id, { resolve: { all: 'theirs' } })
    merging = false
    await Promise.all(writers)
    assert.ok(merged.kind === 'merged')
    const commit = { kind: 'commit', repo: master.repo, commit: merged.commit.id } as const
    assert.equal(await getText(versioning, commit, 'hot'), 'of the side')
    assert.equal(merged.commit.files, FILES_OF_SIDE + 1)
  })

  it('takes a branch that had no commit for one with a history as soon as it is written to', async () => {
    const { versioning } = store
    const { theirs } = await parted('begun', { a: '0' }, { files: {}, many: true })
    const empty = branchOf('begun@empty')
    await versioning.createBranch(empty)
    const merge = versioning.merges.merge(empty, theirs.id)
    await putText(versioning, empty, 'own', '1')
    await assert.rejects(merge, { code: 'NoMergeBase' })
    assert.deepEqual(await listAll(versioning, empty), ['own'])
  })

  it('takes files from the other side that are written all the time, and keeps all that is written between', async () => {
    const { versioning } = store
    const hot = Object.fromEntries(Array.from({ length: 5 }, (_, i) => [`hot${i}`, 'of the side']))
    const { master, theirs } = await parted('mixed', { hot0: '0' }, { files: hot, many: true })
    let merging = true
    const writers = Array.from({ length: 6 }, async (_, writer) => {
      for (let count = 0; merging; count++) {
        const path = writer % 2 === 0 ? `hot${count % 5}` : `own/${writer}/${count % 20}`
        await putText(versioning, master, path, `${writer}.${count}`)
      }
    })
    const merged = await versioning.merges.merge(master, theirs.id, { resolve: { all: 'theirs' } })
    merging = false
    await Promise.all(writers)
    assert.ok(merged.kind === 'merged')
    const commit = { kind: 'commit', repo: master.repo, commit: merged.commit.id } as const
    for (const path of Object.keys(hot)) assert.equal(await getText(versioning, commit, path), 'of the side')
    const parent = merged.commit.parents[0]!
    const changed: string[] = []
    let files = 0
    for await (const { kind, path } of versioning.diff(parent, merged.commit.id)) {
      if (!path.startsWith('side/')) changed.push(path)
      if (kind === 'added') files++
    }
    // Of what others wrote the merge changes nothing but the files that it is to bring.
    assert.deepEqual(
      changed.filter((path) => !(path in hot)),
      [],
    )
    assert.equal(merged.commit.files, (await versioning.getCommit(master.repo, parent)).files + files)
  })

  it('is done once where it is asked for twice at a time', async () => {
    const { versioning } = store
    const { master, theirs } = await parted('twice', { a: '0' }, { files: { b: '0' }, many: false })
    const kinds = await Promise.all(
      Array.from({ length: 4 }, async () => (await versioning.merges.merge(master, theirs.id)).kind),
    )
    assert.deepEqual(kinds.sort(), ['contained', 'contained', 'contained', 'merged'])
  })

  it('is finished after a restart that came before its changes were folded', async () => {
    const { versioning } = store
    const { master, theirs } = await parted('restart', { a: '0' }, { files: { b: '1' }, many: false })
    const merged = await versioning.merges.merge(master, theirs.id)
    assert.ok(merged.kind === 'merged')
    await putText(versioning, master, 'c', '2')
    await versioning.delete(master, parsePath('a'))
    const batch = await sealCommit(versioning, master)
    // As the deciding transaction leaves it when these two came while it was computed: behind them, folded up to before them.
    await store.db.write(async (tx) => {
      const seqs = await tx.get<{ from_seq: number; last_seq: number; ordinal: number }>(
        'SELECT from_seq, last_seq, ordinal FROM commits WHERE id = ?',
        [batch.id],
      )
      const { from_seq, last_seq, ordinal } = seqs!
      await tx.run(
        "UPDATE commits SET state = 'sealed', finished_ms = NULL, head_ms = NULL, folded_seq = from_seq WHERE id = ?",
        [batch.id],
      )
      await tx.run('UPDATE commits SET ordinal = ordinal + 10 WHERE id = ?', [merged.commit.id])
      await tx.run(
        `UPDATE commits SET state = 'sealed', finished_ms = NULL, head_ms = NULL, folded_seq = ?, from_seq = ?, last_seq = ?,
           parent = ?, ordinal = ? WHERE id = ?`,
        [from_seq, last_seq + 1, last_seq + 1, batch.id, ordinal + 1, merged.commit.id],
      )
      await tx.run('UPDATE commits SET parent = ? WHERE id = ?', [merged.commit.parents[0]!, batch.id])
      await tx.run(
        'UPDATE branches SET head = ?, tip = ?, root = ?, folded_seq = ?, last_seq = ?, ordinals = ? WHERE repo = ? AND name = ?',
        [
          merged.commit.parents[0]!,
          merged.commit.id,
          merged.commit.root,
          from_seq,
          last_seq + 1,
          ordinal + 1,
          master.repo,
          master.branch,
        ],
      )
    })
    assert.deepEqual(await listAll(store.versioning, master), ['b', 'c'])
    await store.reopen()
    const finished = await store.versioning.waitForCommit(merged.commit.id)
    assert.deepEqual([finished.state, finished.files, finished.sizeBytes], ['finished', 2, 2])
    const commit = { kind: 'commit', repo: master.repo, commit: merged.commit.id } as const
    assert.deepEqual(await listAll(store.versioning, commit), ['b', 'c'])
    assert.deepEqual(await listAll(store.versioning, { ...commit, commit: batch.id }), ['c'])
    assert.deepEqual(await listAll(store.versioning, master), ['b', 'c'])
    assert.equal((await store.versioning.getBranch(master)).head, merged.commit.id)
  })
})
