import assert from 'node:assert/strict'
import { mkdtemp, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { type CommitId, parseBranchName, parsePath, type Target, type Versioning } from '../../src/versioning/index.ts'
import { assertSound } from '../../src/versioning/testing/fsck.ts'
import {
  branchOf,
  getText,
  listAll,
  openTestStore,
  putText,
  sealCommit,
  type TestStore,
} from '../../src/versioning/testing/store.ts'
import { rows } from './fill-third.ts'
import { layOut, type ThirdFacts } from './kept-store.ts'

const images = branchOf('images@master')
const dev = branchOf('images@dev')
const guarded = branchOf('images@guarded')
const at = (commit: string): Target => ({ kind: 'commit', repo: images.repo, commit: commit as CommitId })

describe('a store of schema version 4, left behind by a crash', { timeout: 120_000 }, () => {
  let store: TestStore
  let versioning: Versioning
  let facts: ThirdFacts
  before(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-upgrade-'))
    facts = await layOut<ThirdFacts>('version-4', folder)
    // The sums of its pages came with it.
    assert.ok((await readFile(join(folder, 'meta.sqlite-sums'))).length > 0)
    store = await openTestStore({ folder })
    versioning = store.versioning
  })
  after(() => store?.close())

  /** Of a file that is too large to be read at once. */
  const textOf = async (target: Target, path: string) => {
    const entry = await versioning.stat(target, parsePath(path))
    return text(versioning.content.read(entry.content))
  }

  it('is sound, deep or not', async () => {
    await assertSound(store)
    await assertSound(store, { deep: true })
  })

  it('shows what was acknowledged, and each commit as it was', async () => {
    const { first, second, merged, mistake, reverted } = facts.commits
    assert.deepEqual(await listAll(versioning, images), [
      'a.txt',
      'big.bin',
      'both.txt',
      'c.txt',
      'dev.txt',
      'dir/b.txt',
    ])
    assert.equal(await getText(versioning, images, 'a.txt'), 'two')
    assert.equal(await getText(versioning, images, 'c.txt'), 'in the open batch')
    assert.equal(await getText(versioning, at(first), 'both.txt'), 'base')
    assert.equal(await getText(versioning, at(merged), 'both.txt'), 'theirs')
    assert.equal(await getText(versioning, at(mistake), 'a.txt'), 'a mistake')
    assert.equal(await getText(versioning, at(reverted), 'a.txt'), 'one')
    assert.equal(await textOf(at(second), 'big.bin'), `put before it${rows}`)
    assert.deepEqual(await listAll(versioning, dev), ['a.txt', 'both.txt', 'dev.txt', 'imported/i.txt', 'moved/b.txt'])
  })

  it('knows parents of merges, tags, moved and protected branches, rules and purges', async () => {
    const { first, before: ours, merged } = facts.commits
    const commit = await versioning.getCommit(images.repo, merged as CommitId)
    assert.deepEqual([commit.parents.length, commit.parents[0]], [2, ours])
    const tag = await versioning.commitTags.get(images.repo, parseBranchName('v1'))
    assert.deepEqual([tag.commit, tag.message], [merged, 'shipped'])
    assert.equal((await versioning.getBranch(branchOf('images@left'))).head, first)
    assert.equal((await versioning.getBranch(guarded)).protected, true)
    await assert.rejects(putText(versioning, guarded, 'x', 'x'), { code: 'ReadOnly' })
    assert.deepEqual(await versioning.retention.get(images.repo), { keepCommits: 100 })
    const [purge] = await versioning.maintenance.purges.list()
    assert.deepEqual([purge!.path, purge!.reason, purge!.finishedMs !== undefined], ['secret/', 'a leaked key', true])
  })

  it('cuts as that release cut: the same content again takes no room', async () => {
    const packed = async () => (await versioning.maintenance.stats()).packs.fileBytes
    const bytes = await packed()
    const writer = versioning.content.writer({ expectedBytes: rows.length })
    await writer.write(rows)
    const staged = await writer.finish()
    assert.equal(staged.chunks.length, 0)
    assert.equal(await packed(), bytes)
  })

  it('goes on: writes, merges, collection', async () => {
    await putText(versioning, images, 'more.txt', 'and it goes on')
    await sealCommit(versioning, images)
    const branch = await versioning.getBranch(dev)
    const again = await versioning.merges.merge(images, branch.head!, { resolve: { all: 'theirs' } })
    assert.equal(again.kind, 'merged')
    assert.equal(await getText(versioning, images, 'imported/i.txt'), 'from an archive')
    for await (const _ of versioning.maintenance.gc({ graceMs: 0 })) {
      // To its end.
    }
    await assertSound(store, { deep: true })
    assert.equal(await textOf(at(facts.commits.second), 'big.bin'), `put before it${rows}`)
  })
})
