import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import {
  EMPTY_TREE,
  type Path,
  parsePath,
  parseTransactionName,
  ReadOnly,
  transactionBranch,
  type VersionId,
  VersionNotFound,
  type VersionPage,
} from './index.ts'
import { branchOf, getText, listAll, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'

const images = branchOf('images@master')
const a = parsePath('a')
let runs = 0

describe('versions', () => {
  let store: TestStore

  beforeEach(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(images)
  })
  afterEach(() => store.close())

  const put = async (path: string, text: string) => (await putText(store.versioning, images, path, text)).version
  const hide = (path: Path, version: VersionId) => store.versioning.versions.delete(images, [{ path, version }])
  const commit = async () => (await sealCommit(store.versioning, images)).id
  const seqs = (page: VersionPage) =>
    page.versions.map(({ path, version }) => `${path} ${version === 'null' ? version : version.seq}`)

  it('are paged with prefix and delimiter from any place', async () => {
    const paths = ['a', 'a/1', 'a/2/3', 'b', 'b/', 'b/1', 'c//d', 'é/f', 'z']
    for (const path of paths) for (const text of ['1', '2', '3']) await put(path, text)
    await commit()
    for (const path of ['a/2/3', 'b']) await store.versioning.delete(images, parsePath(path))
    for (const prefix of ['', 'a', 'a/', 'b/', 'c/', 'é', 'x']) {
      for (const delimiter of ['', '/', '//', 'é']) {
        const whole = await store.versioning.versions.list(images, { prefix, delimiter, limit: 1000 })
        assert.equal(whole.next, undefined)
        for (const limit of [1, 2, 5]) {
          const pages: VersionPage[] = []
          let after: VersionPage['next']
          do {
            const page = await store.versioning.versions.list(images, {
              prefix,
              delimiter,
              limit,
              ...(after ? { after } : {}),
            })
            assert.ok(page.versions.length + page.prefixes.length <= limit)
            pages.push(page)
            after = page.next
          } while (after)
          const hint = JSON.stringify({ prefix, delimiter, limit })
          assert.deepEqual(pages.flatMap(seqs), seqs(whole), hint)
          assert.deepEqual(
            pages.flatMap((page) => page.prefixes),
            whole.prefixes,
            hint,
          )
        }
      }
    }
    const folders = await store.versioning.versions.list(images, { delimiter: '/', limit: 1000 })
    assert.deepEqual(folders.prefixes, ['a/', 'b/', 'c/', 'é/'])
    assert.deepEqual(seqs(folders), ['a 3', 'a 2', 'a 1', 'b 29', 'b 12', 'b 11', 'b 10', 'z 27', 'z 26', 'z 25'])
  })

  it('are purged page by page: nothing that came back meanwhile is passed over', async () => {
    for (let i = 0; i < 7; i++) for (const path of ['a', 'b']) await put(path, String(i))
    await store.versioning.delete(images, a)
    let after: VersionPage['next']
    do {
      const page = await store.versioning.versions.list(images, { limit: 3, ...(after ? { after } : {}) })
      await store.versioning.versions.delete(images, page.versions)
      after = page.next
    } while (after)
    assert.deepEqual((await store.versioning.versions.list(images, { limit: 10 })).versions, [])
    assert.deepEqual(await listAll(store.versioning, images), [])
  })

  it('of one key may be many: a page of them is read in order, from its first row', async () => {
    const first = await put('a', 'x')
    // As many PUTs would leave it, without making them.
    await store.db.write(async (tx) => {
      await tx.run(
        `WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
         INSERT INTO changes (branch_id, seq, commit_id, path, at_ms, entry)
         SELECT branch_id, n.i, commit_id, path, at_ms, entry FROM n CROSS JOIN changes WHERE seq = 1`,
      )
      await tx.run('UPDATE branches SET last_seq = 100000')
    })
    const at = (seq: number) => ({ path: 'a', version: { ...first, seq } })
    for (const [after, seq] of [
      [undefined, 100_000],
      [at(50_000), 49_999],
      [at(4), 3],
    ] as const) {
      const page = await store.versioning.versions.list(images, { limit: 2, ...(after ? { after } : {}) })
      assert.deepEqual(seqs(page), [`a ${seq}`, `a ${seq - 1}`])
      assert.equal(page.versions[0]!.isLatest, seq === 100_000)
    }
    const { found } = await store.versioning.versions.find(images, a, at(777).version)
    assert.equal(found.isLatest, false)
    const statements = new Set<string>()
    const { snapshot } = store.db
    store.db.snapshot = (work) =>
      snapshot.call(store.db, (queries) =>
        work({
          ...queries,
          all: (sql, params) => {
            statements.add(sql)
            return queries.all(sql, params)
          },
        }),
      ) as ReturnType<typeof work>
    await store.versioning.versions.list(images, { limit: 2 })
    for (const seq of [50_000, 4]) await store.versioning.versions.list(images, { limit: 2, after: at(seq) })
    const pages = [...statements].filter((sql) => sql.includes('LIMIT'))
    assert.equal(pages.length, 3)
    for (const sql of pages) {
      const plan = await store.db.all<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`)
      const text = plan.map(({ detail }) => detail).join('\n')
      assert.match(text, /SEARCH c USING INDEX changes_by_path/)
      assert.doesNotMatch(text, /TEMP B-TREE|SCAN/)
    }
  })

  it('are jumped over where many were deleted, in whatever order', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.shuffledSubarray(Array.from({ length: 60 }, (_, i) => i)),
        fc.array(fc.nat(59), { maxLength: 3 }),
        async (order, late) => {
          const path = parsePath(`jump/${++runs}`)
          const made: VersionId[] = []
          for (let i = 0; i < 60; i++) made.push(await put(path, String(i)))
          const gone = new Set<number>()
          const remove = async (some: readonly number[]) => {
            const wishes = some.map((i) => ({ path, version: made[i]! }))
            await store.versioning.versions.delete(images, wishes)
            for (const i of some) gone.add(i)
          }
          for (let i = 0; i < order.length; i += 7) await remove(order.slice(i, i + 7))
          await put(path, 'after')
          for (const i of late) await remove([i])
          const page = await store.versioning.versions.list(images, { prefix: path, limit: 1000 })
          const left = made.filter((_, i) => !gone.has(i)).map(({ seq }) => `${path} ${seq}`)
          assert.deepEqual(seqs(page).slice(1), left.toReversed())
        },
      ),
      { numRuns: 6 },
    )
    const path = parsePath('whole')
    const made: VersionId[] = []
    for (let i = 0; i < 20; i++) made.push(await put(path, String(i)))
    for (const odd of [1, 0]) {
      const wishes = made.filter((_, i) => i % 2 === odd).map((version) => ({ path, version }))
      await store.versioning.versions.delete(images, wishes)
    }
    const left = await store.db.all('SELECT high - low AS length FROM hidden_runs WHERE path = ?', [path])
    assert.deepEqual(left, [{ length: 19 }])
  })

  it('come back the same after a restart, and are folded as what they were', async () => {
    const one = await put('a', 'one')
    await commit()
    const two = await put('a', 'two')
    await hide(a, two)
    await store.reopen()
    assert.equal(await getText(store.versioning, images, 'a'), 'one')
    const id = await commit()
    const entry = await store.versioning.stat({ kind: 'commit', repo: images.repo, commit: id }, a)
    assert.deepEqual(entry.version, one)
    await store.reopen()
    await assert.rejects(store.versioning.versions.find(images, a, two), VersionNotFound)
    assert.deepEqual(seqs(await store.versioning.versions.list(images, { limit: 10 })), [`a ${one.seq}`])
  })

  it('that are latest and deleted by two at once are deleted once', async () => {
    const one = await put('a', 'one')
    const two = await put('a', 'two')
    const results = await Promise.all([hide(a, two), hide(a, two), hide(a, two)])
    assert.deepEqual(results.map(([result]) => result!.kind).sort(), ['absent', 'absent', 'hidden'])
    assert.deepEqual((await store.versioning.stat(images, a)).version, one)
    const rows = await store.db.all('SELECT 1 FROM changes WHERE listed = 0')
    assert.equal(rows.length, 1)
  })

  it('deleted while others PUT never take a newer one with them', async () => {
    let latest = await put('a', '0')
    const written = [latest]
    for (let round = 0; round < 20; round++) {
      const [version] = await Promise.all([put('a', String(round)), hide(a, latest)])
      latest = version
      written.push(version)
      assert.deepEqual((await store.versioning.stat(images, a)).version, latest)
    }
    assert.deepEqual(seqs(await store.versioning.versions.list(images, { limit: 10 })), [`a ${written.at(-1)!.seq}`])
  })

  it('that were deleted before a commit are not listed in it, those deleted later are', async () => {
    const one = await put('a', 'one')
    const two = await put('a', 'two')
    await hide(a, one)
    await put('b', 'x')
    const before = await commit()
    await hide(a, two)
    const target = { kind: 'commit', repo: images.repo, commit: before } as const
    assert.deepEqual(seqs(await store.versioning.versions.list(target, { prefix: 'a', limit: 10 })), [`a ${two.seq}`])
    const dev = branchOf('images@dev')
    await store.versioning.createBranch(dev, { from: before })
    assert.deepEqual(seqs(await store.versioning.versions.list(dev, { prefix: 'a', limit: 10 })), [`a ${two.seq}`])
    // The branch is its own: what is deleted there is there still.
    await store.versioning.versions.delete(dev, [
      { path: parsePath('b'), version: (await store.versioning.stat(dev, parsePath('b'))).version },
    ])
    assert.deepEqual(await listAll(store.versioning, dev), ['a'])
    assert.deepEqual(await listAll(store.versioning, images), ['b'])
    // It goes on without the branch that it was made from.
    await store.versioning.deleteBranch(images, { force: true })
    assert.deepEqual(seqs(await store.versioning.versions.list(dev, { prefix: 'a', limit: 10 })), [`a ${two.seq}`])
  })

  it('that are deleted in a transaction are deleted on its branch once it is finished', async () => {
    const one = await put('a', 'one')
    const two = await put('a', 'two')
    const other = await put('b', 'b')
    const { transactions, versions, stat } = store.versioning
    const at = { ...images, branch: transactionBranch(parseTransactionName('t'), images.branch) }
    await transactions.open(at)
    const three = (await putText(store.versioning, at, 'a', 'three')).version
    const four = (await putText(store.versioning, at, 'a', 'four')).version
    const list = async (target: typeof at) => seqs(await versions.list(target, { limit: 10 }))
    await versions.delete(
      at,
      [one, four].map((version) => ({ path: a, version })),
    )
    await versions.delete(at, [{ path: parsePath('b'), version: other }])
    assert.deepEqual(await list(at), [`a ${three.seq}`, `a ${two.seq}`])
    assert.deepEqual(await list(images), [`a ${two.seq}`, `a ${one.seq}`, `b ${other.seq}`])
    await transactions.finish(at)
    assert.deepEqual(await list(images), [`a ${three.seq}`, `a ${two.seq}`])
    assert.deepEqual((await stat.call(store.versioning, images, a)).version, three)
    assert.equal((await versions.find(images, a, three)).found.isLatest, true)
    await hide(a, three)
    assert.deepEqual((await stat.call(store.versioning, images, a)).version, two)
  })

  it('of a pipeline are those of its files, read by their ids for ever, and deleted nowhere but on a branch of their own', async () => {
    const { derived } = store.versioning
    const edges = branchOf('edges@master')
    const { db } = store
    await db.write((tx) => derived.define(tx, { output: edges, pipeline: 'edges', inputs: [images] }))
    const compute = async (text: string) => {
      await put('in', text)
      await commit()
      const [open] = await derived.listOpen()
      const diskPath = join(store.folder, 'out')
      await writeFile(diskPath, text)
      const origin = { job: 'a'.repeat(32), datum: 'b'.repeat(32) + text }
      const { root } = await derived.storeOutput([{ path: a, diskPath }], origin)
      const made = await derived.union(open!.commit, [root], EMPTY_TREE)
      assert.equal(made.kind, 'ok')
      await db.write((tx) => derived.finish(tx, open!.commit, made.kind === 'ok' ? made.root : EMPTY_TREE))
      return open!.commit
    }
    const first = await compute('1')
    const second = await compute('2')
    const page = await store.versioning.versions.list(edges, { limit: 10 })
    assert.deepEqual(
      page.versions.map(({ version, isLatest }) => [version, isLatest]),
      [[{ commit: second, seq: 1 }, true]],
    )
    const old = { commit: first, seq: 1 }
    assert.equal((await store.versioning.versions.find(edges, a, old)).found.isLatest, false)
    await assert.rejects(store.versioning.versions.delete(edges, [{ path: a, version: old }]), ReadOnly)

    const mine = branchOf('edges@mine')
    await store.versioning.createBranch(mine, { from: second })
    const changed = (await putText(store.versioning, mine, 'a', 'mine')).version
    const base = { commit: second, seq: 1 }
    const listed = async () =>
      (await store.versioning.versions.list(mine, { limit: 10 })).versions.map(({ version }) => version)
    assert.deepEqual(await listed(), [changed, base])
    await store.versioning.versions.delete(mine, [{ path: a, version: changed }])
    assert.equal(await getText(store.versioning, mine, 'a'), '2')
    assert.deepEqual(await listed(), [base])
    await store.versioning.versions.delete(mine, [{ path: a, version: base }])
    assert.deepEqual(await listed(), [])
    assert.equal(await getText(store.versioning, edges, 'a'), '2')
  })

  it('start anew with a branch of the same name', async () => {
    const one = await put('a', 'one')
    await commit()
    await store.versioning.createBranch(branchOf('images@keep'))
    await store.versioning.deleteBranch(images, { force: true })
    await store.versioning.createBranch(images)
    assert.deepEqual((await store.versioning.versions.list(images, { limit: 10 })).versions, [])
    await assert.rejects(store.versioning.versions.find(images, a, one), VersionNotFound)
  })

  it('leave nothing behind when their repo is deleted', async () => {
    const one = await put('a', 'one')
    const from = await commit()
    await hide(a, one)
    const dev = branchOf('images@dev')
    await store.versioning.createBranch(dev, { from })
    await store.versioning.versions.delete(dev, [{ path: a, version: one }])
    await store.versioning.deleteBranch(dev, { force: true })
    await store.versioning.deleteRepo(images.repo)
    // Changes go bit by bit, right after.
    while ((await store.db.all('SELECT 1 FROM dropped_changes')).length > 0) await sleep(5)
    for (const table of ['changes', 'hidden_versions']) {
      assert.deepEqual(await store.db.all(`SELECT * FROM ${table}`), [], table)
    }
  })

  it('can not be deleted in the control folder', async () => {
    const path = '.sluice/x' as Path
    await assert.rejects(store.versioning.versions.delete(images, [{ path, version: 'null' }]), ReadOnly)
  })
})

describe('versioning that is enabled later', () => {
  let store: TestStore
  beforeEach(async () => {
    store = await openTestStore({ unversioned: true })
    await store.versioning.createBranch(images)
  })
  afterEach(() => store.close())

  it('is enabled once, whoever reads, writes and deletes meanwhile', async () => {
    const { versions } = store.versioning
    for (let i = 0; i < 50; i++) await putText(store.versioning, images, `k${i}`, 'old')
    await store.versioning.startCommit(images)
    const [, , page, null1, written] = await Promise.all([
      versions.enable(images),
      versions.enable(images),
      versions.list(images, { limit: 1000 }),
      versions.find(images, parsePath('k1'), 'null'),
      putText(store.versioning, images, 'k2', 'new'),
      versions.delete(images, [{ path: parsePath('k3'), version: 'null' }]),
    ])
    assert.ok(page.versions.length >= 49)
    const untouched = page.versions.filter(({ path }) => path !== 'k2')
    assert.ok(untouched.every(({ version, isLatest }) => version === 'null' && isLatest))
    assert.equal(null1.found.entry?.size, 3)
    assert.equal(await versions.state(images), 'enabled')
    const after = await versions.list(images, { prefix: 'k2', limit: 2 })
    const names = after.versions.map(({ version }) => version)
    assert.ok(names.includes('null') || written.unversioned, 'written before it was enabled, or a version of its own')
    await assert.rejects(versions.find(images, parsePath('k3'), 'null'), VersionNotFound)
  })

  it('shows what was there before as null after a restart too', async () => {
    const { versions } = store.versioning
    await putText(store.versioning, images, 'a', 'old')
    await versions.enable(images)
    const { version } = await putText(store.versioning, images, 'a', 'new')
    await store.reopen()
    const page = await store.versioning.versions.list(images, { limit: 10 })
    assert.deepEqual(
      page.versions.map(({ version, isLatest }) => [version, isLatest]),
      [
        [version, true],
        ['null', false],
      ],
    )
    await store.versioning.versions.delete(images, [{ path: a, version }])
    assert.equal((await store.versioning.stat(images, a)).isNull, true)
  })
})
