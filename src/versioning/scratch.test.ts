import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, it } from 'node:test'
import fc from 'fast-check'
import { ConditionFailed, isVersion, PathNotFound, parsePath, scratchArea } from './index.ts'
import { scratchFolderCases } from './testing/scratch-names.ts'
import { branchOf, getText, listAll, openTestStore, putText, type TestStore } from './testing/store.ts'

const images = branchOf('images@master')

describe('the names of scratch folders', () => {
  it('are those that Hadoop, Spark and Hive keep unfinished files in, and no others', () => {
    for (const [path, area] of scratchFolderCases) assert.equal(scratchArea(path), area, path)
  })
})

describe('scratch files', () => {
  let store: TestStore

  beforeEach(async () => {
    store = await openTestStore()
    await store.versioning.createBranch(images)
  })

  afterEach(() => store.close())

  const put = (path: string, text = path, more = {}) => putText(store.versioning, images, path, text, more)
  const remove = (path: string) => store.versioning.delete(images, parsePath(path))
  const scratchRows = async () =>
    (await store.db.all<{ path: string }>('SELECT path FROM scratch ORDER BY path')).map((row) => row.path)

  it('are read and listed among the rest, have no version, and are part of no commit', async () => {
    await put('out/a')
    const written = await put('out/_temporary/0/part', 'unfinished')
    assert.equal(isVersion(written.version), false)
    assert.equal(await getText(store.versioning, images, 'out/_temporary/0/part'), 'unfinished')
    assert.deepEqual(await listAll(store.versioning, images), ['out/_temporary/0/part', 'out/a'])
    const { prefixes } = await store.versioning.list(images, { prefix: 'out/', delimiter: '/', limit: 10 })
    assert.deepEqual(prefixes, ['out/_temporary/'])
    const sealed = await store.versioning.seal(images, { force: true })
    const commit = await store.versioning.waitForCommit(sealed!.commit)
    assert.equal(commit.files, 1)
    assert.deepEqual(await listAll(store.versioning, { kind: 'commit', repo: images.repo, commit: commit.id }), [
      'out/a',
    ])
    assert.deepEqual(await listAll(store.versioning, images), ['out/_temporary/0/part', 'out/a'])
  })

  it('open no batch by themselves', async () => {
    await put('_temporary/0/part')
    assert.equal((await store.versioning.getBranch(images)).openCommit, undefined)
    await remove('_temporary/0/part')
    assert.equal((await store.versioning.getBranch(images)).openCommit, undefined)
    assert.equal((await remove('_temporary/0/part')).existed, false)
  })

  it('are replaced, deleted and copied as others are', async () => {
    await put('__magic_job-1/a', 'one')
    await put('__magic_job-1/a', 'two')
    assert.equal(await getText(store.versioning, images, '__magic_job-1/a'), 'two')
    const source = await store.versioning.stat(images, parsePath('__magic_job-1/a'))
    const { attributes } = source
    await store.versioning.copy(images, parsePath('a'), { source, attributes })
    await store.versioning.copy(images, parsePath('x/_temporary/a'), { source, attributes })
    assert.equal((await remove('__magic_job-1/a')).existed, true)
    await assert.rejects(store.versioning.stat(images, parsePath('__magic_job-1/a')), PathNotFound)
    assert.equal(await getText(store.versioning, images, 'a'), 'two')
    assert.equal(await getText(store.versioning, images, 'x/_temporary/a'), 'two')
  })

  it('are there after a restart', async () => {
    await put('_temporary/0/large', 'x'.repeat(5000))
    await store.reopen()
    assert.equal((await getText(store.versioning, images, '_temporary/0/large')).length, 5000)
  })

  it('are made by a multipart upload that is completed', async () => {
    const path = parsePath('_temporary/0/upload')
    const { uploads, content } = store.versioning
    const upload = await uploads.create(images, { path, attributes: { metadata: {} } })
    const staged = await content.putBytes(Buffer.from('part'))
    const md5 = 'a'.repeat(32)
    await uploads.putPart(images, path, upload.id, { number: 1, staged, md5 })
    const done = await uploads.complete(images, path, upload.id, { parts: [{ number: 1, etag: md5 }] })
    assert.equal(isVersion(done.version), false)
    assert.equal(await getText(store.versioning, images, path), 'part')
    const again = await uploads.complete(images, path, upload.id, { parts: [{ number: 1, etag: md5 }] })
    assert.equal(again.etag, done.etag)
  })

  it('hold to conditions: of fifty at once one makes the file', async () => {
    const tries = Array.from({ length: 50 }, (_, i) =>
      put('t/_temporary/lock', `${i}`, { conditions: { ifNoneMatch: '*' } }).then(
        () => 'made',
        (error: unknown) => {
          assert.ok(error instanceof ConditionFailed)
          return 'refused'
        },
      ),
    )
    assert.equal((await Promise.all(tries)).filter((outcome) => outcome === 'made').length, 1)
    const { etag } = await store.versioning.stat(images, parsePath('t/_temporary/lock'))
    await put('t/_temporary/lock', 'mine', { conditions: { ifMatch: etag } })
    await assert.rejects(put('t/_temporary/lock', 'late', { conditions: { ifMatch: etag } }), ConditionFailed)
  })

  it('keep a branch from being empty, and go with it', async () => {
    await put('_temporary/0/part')
    await assert.rejects(store.versioning.deleteBranch(images), { code: 'BranchNotEmpty' })
    await store.versioning.deleteBranch(images, { force: true })
    assert.deepEqual(await scratchRows(), [])
  })

  it('that lie over a file of the tree hide it, and are deleted together with it', async () => {
    // As in a branch from a commit of before there were scratch folders.
    await put('t/x', 'in the tree')
    await store.db.write((tx) => tx.run("UPDATE changes SET path = 't/_temporary/x' WHERE path = 't/x'"))
    await store.versioning.waitForCommit((await store.versioning.seal(images))!.commit)
    assert.equal(await getText(store.versioning, images, 't/_temporary/x'), 'in the tree')
    await put('t/_temporary/x', 'scratch')
    assert.equal(await getText(store.versioning, images, 't/_temporary/x'), 'scratch')
    assert.deepEqual(await listAll(store.versioning, images), ['t/_temporary/x'])
    assert.equal((await remove('t/_temporary/x')).existed, true)
    assert.deepEqual(await listAll(store.versioning, images), [])
    await assert.rejects(store.versioning.stat(images, parsePath('t/_temporary/x')), PathNotFound)
  })

  it('are listed like a plain map, whatever the prefix, delimiter and page', async () => {
    const segment = fc.constantFrom('a', 'b', '_temporary', '__magic', 'zü', '\u{1F600}', '~')
    const path = fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'))
    const change = fc.record({ path, remove: fc.boolean(), seal: fc.boolean() })
    const query = fc.record({
      prefix: fc.constantFrom('', 'a/', 'a/_temporary/', 'z', '_'),
      delimiter: fc.constantFrom('', '/', '_'),
      limit: fc.integer({ min: 1, max: 4 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 25 }), query, async (changes, { prefix, delimiter, limit }) => {
        await store.versioning.deleteBranch(images, { force: true })
        await store.versioning.createBranch(images)
        const model = new Set<string>()
        for (const { path, remove: removes, seal } of changes) {
          if (removes) await remove(path)
          else await put(path, 'x')
          if (removes) model.delete(path)
          else model.add(path)
          if (seal) await store.versioning.seal(images, { force: true })
        }
        assert.deepEqual(await pages(prefix, delimiter, limit), expected(model, prefix, delimiter))
      }),
      { numRuns: 40 },
    )
  })

  async function pages(prefix: string, delimiter: string, limit: number): Promise<string[]> {
    const found: string[] = []
    let after: string | undefined
    do {
      const page = await store.versioning.list(images, {
        limit,
        prefix,
        ...(delimiter === '' ? {} : { delimiter }),
        ...(after === undefined ? {} : { after }),
      })
      found.push(...page.entries.map((entry) => entry.path), ...page.prefixes)
      after = page.next
    } while (after !== undefined)
    return found.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  }
})

function expected(paths: ReadonlySet<string>, prefix: string, delimiter: string): string[] {
  const shown = new Set<string>()
  for (const path of paths) {
    if (!path.startsWith(prefix)) continue
    const cut = delimiter === '' ? -1 : path.indexOf(delimiter, prefix.length)
    shown.add(cut < 0 ? path : path.slice(0, cut + delimiter.length))
  }
  return [...shown].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
}

describe('a batch that a job holds', () => {
  let store: TestStore
  let nowMs: number

  beforeEach(async () => {
    nowMs = Date.now()
    store = await openTestStore({ clock: { now: () => nowMs } })
    await store.versioning.createBranch(images)
  })

  afterEach(() => store.close())

  const put = (path: string) => putText(store.versioning, images, path, path)
  const openCommit = async () => {
    const { openCommit: id } = await store.versioning.getBranch(images)
    return id && store.versioning.getCommit(images.repo, id)
  }

  it('is not sealed by a flush unless that is forced, and says by what it is held, after a restart too', async () => {
    await put('t/_temporary/0/part')
    const { commit } = await put('t/part')
    for (const restart of [false, true]) {
      if (restart) await store.reopen()
      assert.equal((await store.versioning.seal(images))?.commit, commit)
      assert.equal((await openCommit())?.heldBy, 'a job that writes to t/_temporary/')
    }
    await store.versioning.seal(images, { force: true })
    assert.equal(await openCommit(), undefined)
  })

  it('is let go soon after its job has removed its scratch folder', async () => {
    for (const path of ['t/.spark-staging-1/a', 't/.spark-staging-1/b/_temporary/c', 't/part']) await put(path)
    await store.versioning.delete(images, parsePath('t/.spark-staging-1/a'))
    assert.equal((await openCommit())?.heldBy, 'a job that writes to t/.spark-staging-1/')
    await store.versioning.delete(images, parsePath('t/.spark-staging-1/b/_temporary/c'))
    nowMs += 5_000
    await store.versioning.seal(images)
    assert.equal(await openCommit(), undefined)
  })

  it('is let go when its job has succeeded, or has not been heard of for ten minutes', async () => {
    await put('t/_temporary/0/part')
    await put('t/part')
    await put('t/_SUCCESS')
    await store.versioning.seal(images)
    assert.equal(await openCommit(), undefined)
    await put('t/_temporary/0/part')
    await put('t/part')
    nowMs += 10 * 60_000
    await store.versioning.seal(images)
    assert.equal(await openCommit(), undefined)
  })

  it('keeps its branch’s own rules over a restart, within their bounds', async () => {
    const { versioning } = store
    const server = versioning.batchRules(images)
    await versioning.setBatchRules(images, { idleMs: 7000, maxChanges: 9 })
    await store.reopen()
    assert.deepEqual(store.versioning.batchRules(images), { ...server, idleMs: 7000, maxChanges: 9 })
    assert.deepEqual((await store.versioning.getBranch(images)).batchRules, { idleMs: 7000, maxChanges: 9 })
    for (const rules of [{ idleMs: 0 }, { maxAgeMs: 1.5 }, { maxChanges: 10_000_001 }]) {
      await assert.rejects(store.versioning.setBatchRules(images, rules), { code: 'InvalidInput' })
    }
    await store.versioning.setBatchRules(images, {})
    await store.reopen()
    assert.deepEqual(store.versioning.batchRules(images), server)
    await store.versioning.setBatchRules(images, { idleMs: 7000 })
    await store.versioning.deleteBranch(images)
    await store.versioning.createBranch(images)
    assert.deepEqual(store.versioning.batchRules(images), server)
  })
})
