import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { globSync } from 'node:fs'
import { open, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openSqlite, type SqlValue, silentLog } from '../../kernel/index.ts'
import type { Fault } from '../fsck.ts'
import { parsePath } from '../index.ts'
import { assertSound, faultsOf, fsckEvents } from '../testing/fsck.ts'
import { branchOf, getText, openTestStore, putText, sealCommit, type TestStore } from '../testing/store.ts'

const at = branchOf('images@master')

/** A store with two commits: `old` is in the first only, `small` and the large file in both. */
interface Filled {
  readonly store: TestStore
  readonly first: string
  readonly second: string
}

async function fill(): Promise<Filled> {
  const store = await openTestStore()
  const { versioning } = store
  await versioning.createBranch(at)
  await Promise.all(
    Array.from({ length: 300 }, (_, i) => putText(versioning, at, `many/${String(i).padStart(4, '0')}`, `text ${i}`)),
  )
  await putText(versioning, at, 'old', 'o'.repeat(900))
  await putText(versioning, at, 'small', 's'.repeat(1000))
  const writer = versioning.content.writer()
  await writer.write(randomBytes(3_000_000))
  await putText(versioning, at, 'large', '', { staged: await writer.finish() })
  const first = (await sealCommit(versioning, at)).id
  await versioning.delete(at, parsePath('old'))
  await putText(versioning, at, 'twice', 't'.repeat(700))
  await putText(versioning, at, 'twice', 'T'.repeat(800))
  const second = (await sealCommit(versioning, at)).id
  return { store, first, second }
}

async function sha256Of(store: TestStore, path: string, commit?: string): Promise<string> {
  const target = commit ? ({ kind: 'commit', repo: at.repo, commit } as never) : at
  const { content } = await store.versioning.stat(target, parsePath(path))
  assert.ok(content.kind !== 'inline')
  return content.sha256.toString('hex')
}

const sql = ({ db }: TestStore, text: string, ...params: SqlValue[]) => db.write((tx) => tx.run(text, params))

async function nodesSql({ folder }: TestStore, text: string, ...params: SqlValue[]): Promise<void> {
  const nodes = await openSqlite({ file: join(folder, 'nodes.sqlite'), log: silentLog })
  assert.equal(await nodes.write((tx) => tx.run(text, params)), 1)
  await nodes.close()
}

const packs = ({ folder }: TestStore) => globSync('packs/*/*.pack', { cwd: folder }).map((file) => join(folder, file))

async function placeOf(store: TestStore, sha256: string): Promise<{ file: string; offset: number; length: number }> {
  const row = await store.db.get<{ name: string; offset: number; length: number }>(
    'SELECT p.name, c."offset", c.length FROM chunk AS c JOIN pack AS p ON p.id = c.pack WHERE c.sha256 = unhex(?)',
    [sha256],
  )
  assert.ok(row)
  return { ...row, file: packs(store).find((file) => file.includes(row.name))! }
}

async function overwrite(file: string, position: number, change: (byte: number) => number): Promise<void> {
  const handle = await open(file, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, position)
  byte[0] = change(byte[0]!)
  await handle.write(byte, 0, 1, position)
  await handle.close()
}

interface Damage {
  readonly what: string
  readonly make: (filled: Filled) => Promise<unknown>
  readonly kind: Fault['kind']
  readonly says: RegExp
  readonly paths?: readonly string[]
  /** Commits by their place. */
  readonly commits?: readonly ('first' | 'second')[]
  readonly deep?: true
  /** Whether it can be made right again. */
  readonly mended: boolean
}

const damages: readonly Damage[] = [
  {
    what: 'a bit of a content is flipped',
    make: async ({ store }) => {
      const { file, offset } = await placeOf(store, await sha256Of(store, 'small'))
      await overwrite(file, offset + 500, (byte) => byte ^ 16)
    },
    kind: 'content',
    says: /its bytes have changed/,
    paths: ['small'],
    commits: ['first', 'second'],
    deep: true,
    mended: true,
  },
  {
    what: 'a bit before a content is flipped',
    make: async ({ store }) => {
      const { file, offset } = await placeOf(store, await sha256Of(store, 'small'))
      await overwrite(file, offset - 30, (byte) => byte ^ 2)
    },
    kind: 'content',
    says: /another record is at its place/,
    paths: ['small'],
    mended: true,
  },
  {
    what: 'a content is overwritten',
    make: async ({ store }) => {
      const { file, offset } = await placeOf(store, await sha256Of(store, 'old', (await commitsOf(store))[0]))
      for (let i = 0; i < 20; i++) await overwrite(file, offset + 100 + i, (byte) => byte ^ 255)
    },
    kind: 'content',
    says: /its bytes have changed/,
    paths: ['old'],
    commits: ['first'],
    deep: true,
    mended: false,
  },
  {
    what: 'a row of the index is lost',
    make: async ({ store }) => sql(store, 'DELETE FROM chunk WHERE sha256 = unhex(?)', await sha256Of(store, 'small')),
    kind: 'content',
    says: /no pack is known to hold it/,
    paths: ['small'],
    commits: ['first', 'second'],
    mended: true,
  },
  {
    what: 'all of the index is lost',
    make: async ({ store }) => sql(store, 'DELETE FROM chunk'),
    kind: 'content',
    says: /no pack is known to hold it/,
    mended: true,
  },
  {
    what: 'a row of the index names another place',
    make: async ({ store }) =>
      sql(store, 'UPDATE chunk SET "offset" = "offset" + 7 WHERE sha256 = unhex(?)', await sha256Of(store, 'small')),
    kind: 'content',
    says: /there is no record at its place/,
    paths: ['small'],
    mended: true,
  },
  {
    what: 'a piece of a large file is lost',
    make: async ({ store }) =>
      sql(store, 'DELETE FROM chunk WHERE sha256 = (SELECT sha256 FROM chunk ORDER BY length DESC LIMIT 1)'),
    kind: 'content',
    says: /its piece \d of \d, [0-9a-f]{64}: no pack is known to hold it/,
    paths: ['large'],
    commits: ['first', 'second'],
    mended: true,
  },
  {
    what: 'content that only an older version has is lost',
    make: async ({ store }) => sql(store, 'DELETE FROM chunk WHERE length = 700'),
    kind: 'content',
    says: /no pack is known to hold it/,
    paths: ['twice'],
    mended: true,
  },
  {
    what: 'content in use is marked as unused',
    make: async ({ store }) =>
      sql(
        store,
        'INSERT INTO doomed_chunk (sha256, length, doomed_ms) VALUES (unhex(?), 1000, 0)',
        await sha256Of(store, 'small'),
      ),
    kind: 'content',
    says: /marked as unused/,
    paths: ['small'],
    mended: true,
  },
  {
    what: 'the header of a pack is damaged',
    make: async ({ store }) => overwrite(packs(store)[0]!, 3, (byte) => byte ^ 1),
    kind: 'pack',
    says: /does not begin as a pack does/,
    mended: true,
  },
  {
    what: 'a pack has lost its end',
    make: async ({ store }) => truncate(packs(store)[0]!, 1_000_000),
    kind: 'content',
    says: /its pack ends before it|its piece/,
    mended: false,
  },
  {
    what: 'a pack is lost',
    make: async ({ store }) => rm(packs(store)[0]!),
    kind: 'pack',
    says: /the file of pack [0-9a-f]{32} is missing: it held \d+ pieces/,
    mended: false,
  },
  {
    what: 'a node of a tree is lost',
    make: async ({ store }) =>
      nodesSql(store, 'DELETE FROM node WHERE rowid = (SELECT min(rowid) FROM node WHERE level = 0)'),
    kind: 'node',
    says: /it is missing/,
    mended: true,
  },
  {
    what: 'a node of a tree is changed',
    make: async ({ store }) =>
      nodesSql(
        store,
        `UPDATE node SET body = CAST(substr(body, 1, 40) || x'00' || substr(body, 42) AS BLOB) WHERE rowid = (SELECT max(rowid) FROM node WHERE level = 0)`,
      ),
    kind: 'node',
    says: /its bytes have changed/,
    mended: true,
  },
  {
    what: 'a commit names a tree that there is not',
    make: async ({ store, first }) => sql(store, 'UPDATE commits SET root = ? WHERE id = ?', '5'.repeat(64), first),
    kind: 'node',
    says: /5{64} of a tree: it is missing/,
    commits: ['first'],
    mended: false,
  },
  {
    what: 'a commit has other counts than its tree',
    make: async ({ store, first }) => sql(store, 'UPDATE commits SET files = files + 1 WHERE id = ?', first),
    kind: 'counts',
    says: /says 304 files of \d+ bytes, its tree has 303 of/,
    commits: ['first'],
    mended: true,
  },
  {
    what: 'a head names no commit',
    make: async ({ store }) => sql(store, 'UPDATE branches SET head = ?', '1'.repeat(32)),
    kind: 'row',
    says: /images@master: its head is no finished commit/,
    mended: false,
  },
  {
    what: 'a branch shows another tree than its head',
    make: async ({ store, first }) =>
      sql(store, 'UPDATE branches SET root = (SELECT root FROM commits WHERE id = ?)', first),
    kind: 'row',
    says: /it shows another tree than its head/,
    mended: false,
  },
  {
    what: 'a commit is finished and has no end',
    make: async ({ store, first }) => sql(store, "UPDATE commits SET state = 'sealed' WHERE id = ?", first),
    kind: 'row',
    says: /it has an end and is not ended/,
    commits: ['first'],
    mended: false,
  },
  {
    what: 'a tag names no commit',
    make: async ({ store }) =>
      sql(
        store,
        "INSERT INTO commit_tags (repo, name, commit_id, created_ms, message) VALUES ('images', 'v1', '2', 0, '')",
      ),
    kind: 'row',
    says: /images@v1 commit 2: the tag names a commit that is not there/,
    mended: false,
  },
  {
    what: 'the row of a version can not be read',
    make: async ({ store }) => sql(store, "UPDATE changes SET entry = substr(entry, 1, 9) WHERE path = 'small'"),
    kind: 'row',
    says: /images@master:small: the row of version/,
    paths: ['small'],
    mended: false,
  },
]

async function commitsOf(store: TestStore): Promise<readonly string[]> {
  return (await store.db.all<{ id: string }>('SELECT id FROM commits ORDER BY number')).map(({ id }) => id)
}

describe('fsck', () => {
  for (const damage of damages) {
    it(`finds it when ${damage.what}, and ${damage.mended ? 'mends it' : 'says that it stays so'}`, async () => {
      const filled = await fill()
      const { store } = filled
      try {
        const deep = damage.deep === true
        await assertSound(store, { deep })
        await damage.make(filled)
        if (deep) await assertSound(store)
        const faults = await faultsOf(store, { deep })
        const found = faults.find(({ kind, message }) => kind === damage.kind && damage.says.test(message))
        assert.ok(found, JSON.stringify(faults, null, 1))
        if (damage.paths)
          assert.deepEqual(
            found.touched?.paths.map(({ path }) => path),
            damage.paths,
          )
        for (const name of damage.commits ?? []) {
          assert.ok(
            found.touched?.holders.some(({ commit }) => commit === filled[name]),
            JSON.stringify(found.touched),
          )
        }
        const events = await fsckEvents(store, { deep: true, repair: true })
        const verdict = events.at(-1)
        assert.ok(verdict?.kind === 'verdict')
        assert.equal(verdict.verdict, damage.mended ? 'clean' : 'damaged', JSON.stringify(events.slice(-8), null, 1))
        if (!damage.mended) return
        assert.ok(verdict.mended > 0)
        await store.reopen()
        assert.equal(await getText(store.versioning, at, 'small'), 's'.repeat(1000))
        await assertSound(store, { deep: true })
      } finally {
        await store.close()
      }
    })
  }
})

describe('fsck of a store in order', () => {
  let filled: Filled
  before(async () => {
    filled = await fill()
  })
  after(() => filled.store.close())

  it('counts what it looked at, and hashes all content with `deep`', async () => {
    const verdict = (await fsckEvents(filled.store, { deep: true })).at(-1)
    assert.ok(verdict?.kind === 'verdict')
    assert.equal(verdict.verdict, 'clean')
    assert.equal(verdict.counts.commits, 2)
    assert.equal(verdict.counts.versions, 306)
    assert.ok(verdict.counts.hashedBytes > 3_000_000)
    const { bytes } = (await filled.store.db.get<{ bytes: number }>('SELECT sum(length) AS bytes FROM chunk'))!
    assert.equal(verdict.counts.hashedBytes, bytes)
  })

  it('takes damage in what no file holds now for a note, and no fault', async () => {
    const { store } = filled
    const unused = randomBytes(600)
    const { chunks } = await store.versioning.content.putBytes(unused)
    const { sha256, pack, offset, length } = chunks[0]!
    await sql(
      store,
      'INSERT INTO chunk (sha256, pack, "offset", length) VALUES (?, ?, ?, ?)',
      sha256,
      pack,
      offset + 1,
      length,
    )
    const events = await fsckEvents(store)
    const notes = events.flatMap((event) => (event.kind === 'fault' ? [event.fault.severity] : []))
    assert.deepEqual(notes, ['note'])
    assert.deepEqual(await faultsOf(store), [])
    await sql(store, 'DELETE FROM chunk WHERE sha256 = ?', sha256)
  })

  it('notes a file among the packs that is none', async () => {
    const { store } = filled
    const stray = join(packs(store)[0]!, '..', 'notes.txt')
    await writeFile(stray, 'hello')
    const events = await fsckEvents(store)
    assert.ok(events.some((event) => event.kind === 'fault' && /notes\.txt/.test(event.fault.message)))
    assert.deepEqual(await faultsOf(store), [])
    await rm(stray)
  })

  it('is ended by its signal, and says that it is not done', async () => {
    const stop = new AbortController()
    stop.abort()
    const verdict = (await fsckEvents(filled.store, { signal: stop.signal })).at(-1)
    assert.ok(verdict?.kind === 'verdict')
    assert.equal(verdict.verdict, 'stopped')
  })

  it('leaves its files as they are', async () => {
    const { store } = filled
    const before = await Promise.all(packs(store).map((file) => readFile(file)))
    await assertSound(store, { deep: true, repair: true })
    assert.deepEqual(await Promise.all(packs(store).map((file) => readFile(file))), before)
  })

  it('finds a node that is whole and not as trees are made', async () => {
    const { store, second } = filled
    const { root } = (await store.db.get<{ root: string }>('SELECT root FROM commits WHERE id = ?', [second]))!
    const nodes = await openSqlite({ file: join(store.folder, 'nodes.sqlite'), log: silentLog })
    const { body } = (await nodes.get<{ body: Buffer }>('SELECT body FROM node WHERE hash = unhex(?)', [root]))!
    // The last child's sum of bytes: before its hash, the last thing in the node.
    const wrong = Buffer.from(body)
    wrong[wrong.length - 33] = wrong[wrong.length - 33]! ^ 1
    const hash = createHash('sha256').update(wrong).digest()
    await nodes.write((tx) => tx.run('INSERT INTO node (hash, level, body) VALUES (?, 1, ?)', [hash, wrong]))
    await nodes.close()
    await sql(store, 'UPDATE commits SET root = ? WHERE id = ?', hash.toString('hex'), second)
    const faults = await faultsOf(store)
    assert.ok(faults.some(({ kind, message }) => kind === 'node' && /are not those that its parent says/.test(message)))
    await sql(store, 'UPDATE commits SET root = ? WHERE id = ?', root, second)
    await assertSound(store)
  })
})
