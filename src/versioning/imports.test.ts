import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import {
  type BranchName,
  BranchNotFound,
  ImportLimit,
  type ImportOptions,
  type ImportResult,
  InvalidArchive,
  MergeConflict,
  parsePath,
  ReadOnly,
} from './index.ts'
import { branchOf, getText, listAll, openTestStore, putText, sealCommit, type TestStore } from './testing/store.ts'
import { TAR_END, type TarInput, tarMember, tarOf } from './testing/tar.ts'

const images = branchOf('images@master')
let store: TestStore
beforeEach(async () => {
  store = await openTestStore()
  await store.versioning.createBranch(images)
})
afterEach(() => store.close())

async function* pieces(archive: Buffer, size = 1000): AsyncGenerator<Buffer> {
  for (let at = 0; at < archive.length; at += size) yield Buffer.from(archive.subarray(at, at + size))
}

async function imported(archive: Buffer | AsyncIterable<Buffer>, options: ImportOptions = {}): Promise<ImportResult> {
  const source = Buffer.isBuffer(archive) ? pieces(archive) : archive
  const received = await store.versioning.imports.receive(images, source, options)
  for await (const event of received.land()) if (event.kind === 'imported') return event
  throw new Error('an import ended without a result')
}

const text = (name: string, body: string): TarInput => ({ name, body })
const commits = async () => (await store.versioning.listCommits(images.repo, { branch: images.branch })).length
const leftovers = () => readdir(join(store.folder, 'imports')).catch(() => [])

describe('an import', () => {
  it('makes one commit of all files, beside what the branch holds', async () => {
    await putText(store.versioning, images, 'kept', 'before')
    const large = Buffer.alloc(3_000_000, 'large')
    const result = await imported(
      tarOf(text('./b/x.csv', 'small'), { name: 'c', body: large }, text('a', 'y'.repeat(5000)), text('empty', '')),
      { message: 'all of it', author: 'ann' },
    )
    assert.equal(result.commit.message, 'all of it')
    assert.deepEqual(result.commit.authors, ['ann'])
    assert.equal(result.commit.state, 'finished')
    assert.equal(result.commit.files, 5)
    assert.equal(result.commit.sizeBytes, 6 + 5 + large.length + 5000)
    assert.deepEqual([result.files, result.added, result.changed, result.unchanged], [4, 4, 0, 0])
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'b/x.csv', 'c', 'empty', 'kept'])
    assert.equal(await getText(store.versioning, images, 'b/x.csv'), 'small')
    const entry = await store.versioning.stat(images, parsePath('c'))
    assert.equal(entry.etag, createHash('md5').update(large).digest('hex'), 'the ETag that a PUT gives')
    assert.ok(
      (await store.versioning.content.readBytes((await store.versioning.stat(images, parsePath('a'))).content)).equals(
        Buffer.alloc(5000, 'y'),
      ),
    )
    assert.equal((await store.versioning.stat(images, parsePath('b/x.csv'))).attributes.contentType, 'text/csv')
    // One for what was written before, one for the archive.
    assert.equal(await commits(), 2)
    assert.deepEqual(await leftovers(), [])
  })

  it('takes `./` before a name away, with whatever slashes are behind it', async () => {
    await imported(tarOf(text('.//a', '1'), text('././/.///b', '2'), text('./c//d', '3')))
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'b', 'c//d'])
  })

  it('gives the same tree as the PUTs of the same files would, but for versions and times', async () => {
    const names = Array.from({ length: 3000 }, (_, i) => `folder-${i % 17}/file-${i}`)
    await imported(tarOf(...names.map((name) => text(name, name))), { prefix: 'in/' })
    const { root } = await store.versioning.getCommit(
      images.repo,
      await store.versioning.resolveRevision(images.repo, 'master'),
    )
    const paths: string[] = []
    for await (const entry of store.versioning.trees.walk(root)) {
      paths.push(entry.path)
      assert.equal(`in/${(await store.versioning.content.readBytes(entry.content)).toString()}`, entry.path)
    }
    assert.deepEqual(
      paths,
      names.map((name) => `in/${name}`).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
    )
    assert.equal((await store.versioning.trees.measure(root)).objects, 3000)
  })

  it('takes the last of two files of one name, and leaves what is there already as it is', async () => {
    await imported(tarOf(text('a', 'first'), text('b', 'same'), text('a', 'second')))
    assert.equal(await getText(store.versioning, images, 'a'), 'second')
    const before = await store.versioning.stat(images, parsePath('b'))
    const again = await imported(tarOf(text('a', 'third'), text('b', 'same'), text('c', 'new')))
    assert.deepEqual([again.added, again.changed, again.unchanged], [1, 1, 1])
    assert.deepEqual(await store.versioning.stat(images, parsePath('b')), before)
  })

  it('reads gzip and zstd, and says so if they are damaged', async () => {
    const archive = tarOf(text('a', 'one'))
    await imported(gzipSync(archive))
    await imported(zstdCompressSync(tarOf(text('b', 'two'))))
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'b'])
    const damaged = Buffer.from(gzipSync(archive))
    damaged[damaged.length - 6]! ^= 1
    await assert.rejects(imported(damaged), /gzip can't be read/)
    await assert.rejects(imported(gzipSync(archive).subarray(0, 40)), InvalidArchive)
  })

  it('refuses by name what can not be a file here, and then has changed nothing', async () => {
    await putText(store.versioning, images, 'kept', 'before')
    await sealCommit(store.versioning, images)
    const refused: [TarInput, RegExp][] = [
      [text('../up', 'x'), /"\.\.\/up" in the archive has `\.` or `\.\.` in its path/],
      [text('a/../../up', 'x'), /`\.\.`/],
      [text('/etc/passwd', 'x'), /absolute path/],
      [text('.sluice/commit', 'x'), /control folder/],
      [text('t/_temporary/0/part', 'x'), /scratch folder/],
      [{ name: Buffer.from([0xff, 0xfe]), body: 'x' }, /not UTF-8/],
      [{ name: 'link', type: '2', linkname: '/etc/passwd' }, /"link" in the archive is a symbolic link/],
      [{ name: 'hard', type: '1', linkname: 'kept' }, /hard link/],
      [{ name: 'tty', type: '3' }, /device/],
      [{ name: 'huge', size: 5 * 2 ** 30 + 1 }, /more than 5 GiB: upload it in parts/],
      [{ name: 'what', type: 'Q', body: 'x' }, /unknown type "Q"/],
      [text('folder/', 'content'), /name of a folder, and content/],
    ]
    for (const [member, message] of refused) {
      await assert.rejects(imported(tarOf(text('good', 'x'), member, text('late', 'x'))), message)
    }
    await assert.rejects(imported(tarOf({ name: 'only-folders/', type: '5' })), /there is no file in the archive/)
    await assert.rejects(imported(tarMember(text('cut', 'x'))), /ends early/)
    await assert.rejects(imported(Buffer.alloc(0)), /ends early/)
    for (const prefix of ['.sluice/', 'a\0b/', `${'p'.repeat(1024)}/`, 'a/../b/', './', 'a/./', '../', '/a/']) {
      await assert.rejects(imported(tarOf(text('a', 'x')), { prefix }), /the prefix/)
    }
    assert.deepEqual(await listAll(store.versioning, images), ['kept'])
    assert.equal(await commits(), 1)
    assert.deepEqual(await leftovers(), [])
    const key = 'k'.repeat(100)
    await assert.rejects(imported(tarOf(text(key, 'x')), { prefix: 'p'.repeat(950) }), /longer than 1024 bytes/)
  })

  it('leaves out and names what can not be stored, where it is asked to', async () => {
    const links = Array.from({ length: 25 }, (_, i): TarInput => ({ name: `link-${i}`, type: '2', linkname: 'a' }))
    const result = await imported(tarOf(text('a', 'x'), text('../b', 'y'.repeat(2_000_000)), ...links), { skip: true })
    assert.equal(result.files, 1)
    assert.equal(result.skippedTotal, 26)
    assert.equal(result.skipped.length, 20)
    assert.deepEqual(result.skipped[0], { name: '../b', why: 'has `.` or `..` in its path' })
    assert.deepEqual(await listAll(store.versioning, images), ['a'])
  })

  it('keeps modification times as metadata only where it is asked to', async () => {
    await imported(tarOf({ name: 'a', body: 'x', mtime: 1_700_000_000 }), { keepTimes: true })
    assert.deepEqual(
      { ...(await store.versioning.stat(images, parsePath('a'))).attributes.metadata },
      { mtime: '1700000000' },
    )
    await imported(tarOf({ name: 'b', body: 'x', mtime: 1_700_000_000 }))
    assert.deepEqual({ ...(await store.versioning.stat(images, parsePath('b'))).attributes.metadata }, {})
  })

  it('is no commit if what came is not what was sent, or nobody waits for it any more', async () => {
    const verify = () => {
      throw new Error('not what was signed')
    }
    await assert.rejects(imported(tarOf(text('a', 'x')), { verify }), /not what was signed/)
    await assert.rejects(imported(tarOf(text('a', 'x')), { signal: AbortSignal.abort() }), /abort/i)
    async function* broken() {
      yield tarMember({ name: 'a', body: Buffer.alloc(2_000_000) }).subarray(0, 1_500_000)
      throw new Error('the connection was closed')
    }
    await assert.rejects(imported(broken()), /the connection was closed/)
    assert.equal(await commits(), 0)
    assert.deepEqual(await leftovers(), [])
  })

  it('is written over what a commit holds that is held open, and ends it', async () => {
    const { versioning } = store
    await putText(versioning, images, 'a', 'before')
    await versioning.startCommit(images, { message: 'held' })
    await putText(versioning, images, 'b', 'beside')
    const { commit, added, changed } = await imported(tarOf(text('a', 'imported'), text('c', 'new')))
    assert.deepEqual([added, changed], [1, 1])
    assert.equal(await getText(versioning, images, 'a'), 'imported')
    assert.equal(await getText(versioning, { kind: 'commit', repo: images.repo, commit: commit.id }, 'b'), 'beside')
    const held = await versioning.getCommit(images.repo, commit.parents[0]!)
    assert.deepEqual([held.state, held.message], ['finished', 'held'])
  })

  it('is merged with what others write meanwhile, and refused where that is the same file', async () => {
    await putText(store.versioning, images, 'both', 'base')
    const received = await store.versioning.imports.receive(
      images,
      pieces(tarOf(text('a', 'imported'), text('both', 'imported'))),
    )
    const events = received.land()[Symbol.asyncIterator]()
    // The archive's tree is made on top of what was there; a write to one of its files comes before it is landed.
    const landed = events.next()
    await putText(store.versioning, images, 'other', 'meanwhile')
    const result = await landed
    assert.equal(result.value?.kind, 'imported')
    assert.deepEqual(await listAll(store.versioning, images), ['a', 'both', 'other'])
    assert.equal(await getText(store.versioning, images, 'both'), 'imported')
  })

  it('keeps what was written to the same file while its tree was made, and says which file that is', async () => {
    // Many entries, so that it says how far it is before it is done.
    const many = Array.from({ length: 45_000 }, (_, i) => tarMember(text(`file-${i}`, '')))
    const archive = Buffer.concat([tarMember(text('both', 'imported')), ...many, TAR_END])
    const received = await store.versioning.imports.receive(images, pieces(archive, 65_536))
    const seen: string[] = []
    await assert.rejects(
      async () => {
        for await (const event of received.land()) {
          seen.push(event.kind)
          if (seen.length === 1) await putText(store.versioning, images, 'both', 'meanwhile')
        }
      },
      (error: unknown) => error instanceof MergeConflict && JSON.stringify(error.data).includes('"both"'),
    )
    assert.equal(seen[0], 'placing')
    assert.equal(await getText(store.versioning, images, 'both'), 'meanwhile')
    assert.deepEqual(await listAll(store.versioning, images), ['both'])
    assert.deepEqual(await leftovers(), [])
  })

  it('is refused at once for a branch that is not there or that is not written by hand, and when two are under way', async () => {
    const archive = () => pieces(tarOf(text('a', 'x')))
    await assert.rejects(store.versioning.imports.receive(branchOf('images@none'), archive()), BranchNotFound)
    const transaction = { repo: images.repo, branch: 'tx-load.master' as BranchName }
    await store.versioning.transactions.open(transaction)
    await assert.rejects(store.versioning.imports.receive(transaction, archive()), ReadOnly)
    const first = await store.versioning.imports.receive(images, archive())
    const second = await store.versioning.imports.receive(images, archive())
    await assert.rejects(store.versioning.imports.receive(images, archive()), ImportLimit)
    for (const received of [first, second]) for await (const _ of received.land());
    assert.equal((await imported(archive())).unchanged, 1)
  })

  it("leaves no files behind when the store is closed in the middle, and what it published is nobody's", async () => {
    await store.versioning.imports.receive(images, pieces(tarOf(text('a', 'x'.repeat(5000)))))
    assert.equal((await leftovers()).length, 1)
    await store.reopen()
    assert.deepEqual(await leftovers(), [])
    assert.deepEqual(await listAll(store.versioning, images), [])
    assert.equal((await imported(tarOf(text('a', 'x'.repeat(5000))))).added, 1)
  })
})
