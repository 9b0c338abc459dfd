import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openFileStore } from '../../src/cloud/index.ts'
import { silentLog, systemClock } from '../../src/kernel/index.ts'
import { type CommitId, parseBranchName, restoreBackup } from '../../src/versioning/index.ts'
import { assertSound } from '../../src/versioning/testing/fsck.ts'
import { branchOf, getText, openTestStore, putText, type TestStore } from '../../src/versioning/testing/store.ts'
import { tx } from '../../src/versioning/testing/transactions.ts'
import { layOut, MIB, type SecondFacts } from './kept-store.ts'
import { dieWhileMigrating, Upgraded } from './upgraded.ts'

const images = branchOf('images@master')
const openTransaction = tx('open')

describe('a store of schema version 2, left behind by a crash', { timeout: 120_000 }, () => {
  let base: string
  let folder: string
  let facts: SecondFacts
  let server: Upgraded

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-upgrade-'))
    folder = join(base, 'data')
    facts = await layOut<SecondFacts>('version-2', folder)
    // Before, in and at the end of its migration.
    await dieWhileMigrating(folder, 3, (all) => [1, 2, all / 2, all + 1])
    server = await Upgraded.start(folder)
  })
  after(async () => {
    await server?.close()
    await rm(base, { recursive: true, force: true })
  })

  it('shows what was acknowledged, on branches, in commits and in an open transaction', async () => {
    const { first, second, restored, transaction, dev, output } = facts.commits
    assert.deepEqual(await server.keysOf('images'), [
      'a.txt',
      'beside.txt',
      'big.bin',
      'c.txt',
      'loaded.txt',
      'table/_temporary/part',
    ])
    assert.deepEqual(await server.keysOf(`${second}.images`), ['a.txt', 'big.bin'])
    assert.deepEqual(await server.keysOf(`${transaction}.images`), ['a.txt', 'beside.txt', 'big.bin', 'loaded.txt'])
    assert.deepEqual(await server.keysOf(`${dev}.images`), ['a.txt', 'big.bin', 'dev.txt'])
    assert.deepEqual(await server.keysOf(`${restored}.images`), ['a.txt', 'big.bin', 'dir/b.txt'])
    assert.equal(await server.textOf('images/a.txt'), 'three')
    assert.equal(await server.textOf('images/c.txt'), 'in the open batch')
    assert.equal(await server.textOf('images/table/_temporary/part'), 'a scratch file')
    assert.equal(await server.textOf(`${first}.images/dir/b.txt`), 'b'.repeat(2000))
    assert.equal(await server.textOf(`${output}.copies/a.txt`), 'two')
    assert.equal(await server.textOf('tx-open.master.images/unfinished.txt'), 'in an open transaction')
    assert.equal(await server.textOf('tx-open.master.images/loaded.txt'), 'written in a transaction')
    assert.equal(await server.textOf('master.target/pushed/a.txt'), 'one')
    const big = await server.bytesOf(`${restored}.images/big.bin`)
    assert.ok(big.equals(Buffer.alloc(3 * MIB, 'big')))
  })

  it('lists its versions without the one that was deleted, with their tags', async () => {
    await server.assertVersions(facts.versions)
    assert.equal(await server.textOf(`images/a.txt?versionId=${facts.hidden}`), 404)
    const tagging = await (await server.s3('GET', `images/a.txt?tagging&versionId=${facts.versions[0]}`)).text()
    assert.match(tagging, /<Key>colour<\/Key><Value>blue<\/Value>/)
  })

  it('knows its users, their roles and its pushes', async () => {
    assert.equal(await server.textOf('images/a.txt', facts.user), 'three')
    assert.equal((await server.s3('PUT', 'images/no.txt', 'x', facts.user)).status, 403)
    const egress = await server.api('GET', `/v1/egress/${facts.egress}`)
    assert.match(await egress.text(), /"state":"success"/)
  })

  it('goes on with its uploads', async () => {
    await server.completeHalf(facts.uploads)
  })

  describe('takes what is new:', () => {
    let store: TestStore
    before(async () => {
      await server.close()
      store = await openTestStore({ folder })
    })
    after(() => store.close())

    it('checks find nothing wrong, deep or not', async () => {
      await assertSound(store)
      await assertSound(store, { deep: true })
    })

    it('transactions end, branches merge, commits are tagged', async () => {
      const { versioning } = store
      await versioning.transactions.finish(openTransaction)
      assert.equal(await getText(versioning, images, 'unfinished.txt'), 'in an open transaction')
      const merged = await versioning.merges.merge(images, facts.commits.dev as CommitId)
      assert.equal(merged.kind, 'merged')
      assert.equal(await getText(versioning, images, 'dev.txt'), 'on another branch')
      await versioning.commitTags.create(images.repo, parseBranchName('kept'), facts.commits.first as CommitId)
      await assertSound(store)
    })

    it('collection and retention remove what they may, and nothing else', async () => {
      const { versioning } = store
      await versioning.retention.set(images.repo, { keepCommits: 1 })
      for await (const _ of versioning.maintenance.gc({ graceMs: 0 })) {
        // To its end.
      }
      await assertSound(store, { deep: true })
      const tagged = { kind: 'commit', repo: images.repo, commit: facts.commits.first as CommitId } as const
      assert.equal(await getText(versioning, tagged, 'a.txt'), 'one')
      assert.equal(await getText(versioning, images, 'a.txt'), 'three')
      await assert.rejects(versioning.getCommit(images.repo, facts.commits.second as CommitId))
    })

    it('it is backed up, and what is restored is the same', async () => {
      const place = await openFileStore(join(base, 'place'), { clock: systemClock })
      for await (const _ of store.versioning.backups.create(place)) {
        // To its end.
      }
      const dataFolder = join(base, 'restored')
      for await (const _ of restoreBackup({ place, dataFolder, log: silentLog })) {
        // To its end.
      }
      const copy = await openTestStore({ folder: dataFolder })
      await assertSound(copy, { deep: true })
      assert.equal(await getText(copy.versioning, images, 'a.txt'), 'three')
      await putText(copy.versioning, images, 'more.txt', 'and it goes on')
      // The scratch file holds the batch open.
      const sealed = await copy.versioning.seal(images, { force: true })
      await copy.versioning.waitForCommit(sealed!.commit)
      assert.equal(await getText(copy.versioning, images, 'more.txt'), 'and it goes on')
      await copy.close()
    })
  })
})
