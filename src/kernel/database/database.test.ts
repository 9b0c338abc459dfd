import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { NewerStore, StorageFull, StoreLocked } from '../errors.ts'
import { silentLog } from '../log.ts'
import { type Database, lockFolder, migrate, openSqlite } from './index.ts'

interface Tables {
  thing: { id: number; name: string; body: Buffer | null }
}

describe('the SQLite database', () => {
  let folder: string
  let db: Database

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-db-'))
    db = await openSqlite({ file: join(folder, 'meta.sqlite'), log: silentLog })
    await migrate(db, [
      {
        floor: 'test',
        migrations: [{ version: 1, up: ['CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT, body BLOB)'] }],
      },
    ])
  })

  after(async () => {
    await db.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('keeps what a transaction wrote, blobs byte for byte', async () => {
    const body = Buffer.from([0, 255, 1, 0])
    await db.write((tx) => tx.kysely<Tables>().insertInto('thing').values({ id: 1, name: 'a', body }).execute())
    const row = await db.kysely<Tables>().selectFrom('thing').selectAll().where('id', '=', 1).executeTakeFirstOrThrow()
    assert.deepEqual(row, { id: 1, name: 'a', body })
  })

  it('undoes everything when the work throws, and lets the next one in', async () => {
    const committed: string[] = []
    const failed = db.write(async (tx) => {
      tx.afterCommit(() => committed.push('never'))
      await tx.run('INSERT INTO thing (id, name) VALUES (2, ?)', ['b'])
      throw new Error('changed my mind')
    })
    const next = db.write(async (tx) => {
      tx.afterCommit(() => committed.push('after'))
      return tx.run('INSERT INTO thing (id, name) VALUES (3, ?)', ['c'])
    })
    await assert.rejects(failed, /changed my mind/)
    assert.equal(await next, 1)
    assert.deepEqual(committed, ['after'])
    assert.equal(await db.get('SELECT 1 FROM thing WHERE id = 2'), undefined)
  })

  it('shares the memory it is given among its connections, most of it for who writes', async () => {
    const kib = (rows: readonly { cache_size: number }[]) => -(rows[0]?.cache_size ?? 0)
    const look = async (of: Database) => [
      await of.write(async (tx) => kib(await tx.all('PRAGMA cache_size'))),
      kib(await of.all('PRAGMA cache_size')),
      await of.snapshot(async (queries) => kib(await queries.all('PRAGMA cache_size'))),
    ]
    assert.deepEqual(await look(db), [32_768, 16_384, 8_192])
    const small = await openSqlite({ file: join(folder, 'small.sqlite'), log: silentLog, cacheBytes: 11 * 1_048_576 })
    assert.deepEqual(await look(small), [4_096, 2_048, 1_024])
    await small.close()
  })

  it('runs one write transaction at a time, each seeing the one before', async () => {
    await db.write((tx) => tx.run('INSERT INTO thing (id, name) VALUES (10, ?)', ['0']))
    await Promise.all(
      Array.from({ length: 20 }, () =>
        db.write(async (tx) => {
          const row = await tx.get<{ name: string }>('SELECT name FROM thing WHERE id = 10')
          await new Promise((resolve) => setImmediate(resolve))
          await tx.run('UPDATE thing SET name = ? WHERE id = 10', [String(Number(row?.name) + 1)])
        }),
      ),
    )
    assert.equal((await db.get<{ name: string }>('SELECT name FROM thing WHERE id = 10'))?.name, '20')
  })

  it('reads the last committed state while a transaction is under way', async () => {
    await db.write(async (tx) => {
      await tx.run('INSERT INTO thing (id, name) VALUES (4, ?)', ['d'])
      assert.equal(await db.get('SELECT 1 FROM thing WHERE id = 4'), undefined)
    })
    assert.ok(await db.get('SELECT 1 FROM thing WHERE id = 4'))
  })

  it('says that nothing has changed only as long as no commit was even begun', async () => {
    const before = db.unchangedSince
    assert.notEqual(before, undefined)
    await db.all('SELECT 1')
    assert.equal(db.unchangedSince, before)
    let inside: number | undefined
    let written = false
    const write = db
      .write(async (tx) => {
        await tx.run('SELECT 1')
        inside = db.unchangedSince
      })
      .then(() => {
        written = true
      })
    const seen = new Set<number | undefined>()
    while (!written) {
      seen.add(db.unchangedSince)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await write
    assert.equal(inside, before, 'what is not committed nobody sees')
    assert.ok(seen.has(undefined), 'while it is committed, some may see it and others not')
    assert.notEqual(db.unchangedSince, before)
    assert.notEqual(db.unchangedSince, undefined)
    const failed = db.write(() => Promise.reject(new Error('no')))
    await assert.rejects(failed, /no/)
    assert.notEqual(db.unchangedSince, undefined)
  })

  it('shows one state to all reads of a snapshot', async () => {
    await db.snapshot(async (queries) => {
      const count = () => queries.get<{ n: number }>('SELECT count(*) AS n FROM thing')
      const before = await count()
      await db.write((tx) => tx.run('INSERT INTO thing (name) VALUES (?)', ['late']))
      assert.deepEqual(await count(), before)
    })
  })

  it('refuses to write on the reading side', async () => {
    await assert.rejects(db.all("INSERT INTO thing (name) VALUES ('x')"), /readonly/i)
  })

  it('names a statement that does not compile, and goes on', async () => {
    await assert.rejects(db.all('SELEKT 1'), /syntax error/)
    await assert.rejects(db.all('SELEKT 1'), /syntax error/)
    assert.deepEqual(await db.all('SELECT 1 AS one'), [{ one: 1 }])
  })

  it('goes on after more statements than it keeps prepared', async () => {
    for (let i = 0; i < 600; i++) assert.deepEqual(await db.all(`SELECT ${i} AS n`), [{ n: i }])
  })

  it('says StorageFull when there is no room, keeps nothing of it, and writes again when there is', async () => {
    const full = await openSqlite({ file: join(folder, 'full.sqlite'), log: silentLog })
    await full.write(async (tx) => {
      await tx.run('CREATE TABLE blob (body BLOB)')
      await tx.all('PRAGMA max_page_count=20')
    })
    const fill = () => full.write((tx) => tx.run('INSERT INTO blob VALUES (zeroblob(200000))'))
    await assert.rejects(fill(), StorageFull)
    assert.deepEqual(await full.all('SELECT count(*) AS n FROM blob'), [{ n: 0 }])
    await full.write((tx) => tx.all('PRAGMA max_page_count=1000'))
    await fill()
    await full.close()
  })
})

describe('migrations', () => {
  it('run once each, in order, and a store of a newer release is refused unchanged', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-db-'))
    const file = join(folder, 'meta.sqlite')
    const one = { version: 1, up: ['CREATE TABLE a (x)'] }
    const two = { version: 2, up: ['INSERT INTO a VALUES (1)'] }
    let db = await openSqlite({ file, log: silentLog })
    await migrate(db, [{ floor: 'f', migrations: [one] }])
    await migrate(db, [{ floor: 'f', migrations: [one, two] }])
    await db.close()
    db = await openSqlite({ file, log: silentLog })
    await migrate(db, [{ floor: 'f', migrations: [one, two] }])
    assert.deepEqual(await db.all('SELECT x FROM a'), [{ x: 1 }])
    const newer = migrate(db, [
      { floor: 'other', migrations: [{ version: 1, up: ['CREATE TABLE b (x)'] }] },
      { floor: 'f', migrations: [one] },
    ])
    await assert.rejects(newer, NewerStore)
    assert.deepEqual(await db.all("SELECT name FROM sqlite_master WHERE name = 'b'"), [])
    await db.close()
    await rm(folder, { recursive: true, force: true })
  })
})

describe('the lock on a data folder', () => {
  it('is held by one at a time and free again after release', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-lock-'))
    const lock = await lockFolder(folder)
    await assert.rejects(lockFolder(folder), StoreLocked)
    await lock.release()
    await (await lockFolder(folder)).release()
    await rm(folder, { recursive: true, force: true })
  })
})
