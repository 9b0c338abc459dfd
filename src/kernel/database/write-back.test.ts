import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, mock } from 'node:test'
import { silentLog } from '../log.ts'
import { Connection } from './connection.ts'
import { type Database, openSqlite, PageGuard } from './index.ts'

describe('the log of a database with sums, while it is written back', () => {
  let folder: string
  let number = 0

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-write-back-'))
  })

  after(() => rm(folder, { recursive: true, force: true }))

  const open = (file: string) => openSqlite({ file, log: silentLog, guarded: true })
  const add = (db: Database, name: string) =>
    db.write((tx) => tx.run('INSERT INTO thing (name, body) VALUES (?, ?)', [name, randomBytes(300)]))
  const names = async (db: Database) =>
    (await db.all<{ name: string }>("SELECT name FROM thing WHERE name NOT LIKE 'old%' ORDER BY id")).map(
      (row) => row.name,
    )

  /** With sums of all of its pages, and enough of them that one transaction is worth a checkpoint. */
  async function filled(): Promise<{ file: string; db: Database }> {
    const file = join(folder, `${number++}.sqlite`)
    const db = await open(file)
    await db.write((tx) => tx.run('CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT, body BLOB)'))
    await db.write((tx) =>
      tx.run(
        `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
         INSERT INTO thing (name, body) SELECT 'old ' || i, randomblob(300) FROM n`,
      ),
    )
    await db.close()
    return { file, db: await open(file) }
  }

  /** What a crash would leave at this moment. */
  async function crashed(file: string): Promise<string> {
    const copy = join(folder, `${number++}.sqlite`)
    for (const end of ['-sums', '', '-wal']) await cp(`${file}${end}`, `${copy}${end}`)
    return copy
  }

  /** Runs `early` right before pages are written back, and `late` right after, the first time that this is done. */
  async function duringWriteBack(
    db: Database,
    early: () => Promise<unknown>,
    late: () => Promise<unknown>,
  ): Promise<void> {
    const { all } = Connection.prototype
    const done = Promise.withResolvers<void>()
    let passed = 0
    const asking = mock.method(Connection.prototype, 'all', async function (this: Connection, sql: string, params: []) {
      const isFirst = sql.includes('wal_checkpoint(PASSIVE)') && passed++ === 0
      if (!isFirst) return all.call(this, sql, params)
      try {
        await early()
        const answer = await all.call(this, sql, params)
        await late()
        done.resolve()
        return answer
      } catch (error) {
        done.reject(error)
        throw error
      }
    })
    try {
      // Each writes every page anew, until the log is long enough.
      for (let i = 0; passed === 0 && i < 200; i++)
        await db.write((tx) => tx.run("UPDATE thing SET body = randomblob(300) WHERE name LIKE 'old%'"))
      await done.promise
    } finally {
      asking.mock.restore()
    }
  }

  it('holds up nobody who writes, and a crash at any of these moments leaves everything and its sums', {
    timeout: 60_000,
  }, async () => {
    const { file, db } = await filled()
    const copies: [copy: string, names: string[]][] = []
    const note = async () => copies.push([await crashed(file), await names(db)])
    await duringWriteBack(
      db,
      async () => {
        await add(db, 'while the sums are kept')
        await note()
      },
      async () => {
        await note()
        // Would begin the log anew, if nothing kept it from that.
        await add(db, 'while the log is kept')
        await note()
      },
    )
    await add(db, 'behind it')
    await note()
    assert.deepEqual((await db.checkPages())?.damaged, [])
    await db.close()
    assert.deepEqual((await PageGuard.inspect(file)).damaged, [])
    assert.equal(copies.length, 4)
    for (const [copy, expected] of copies) {
      const again = await open(copy)
      assert.deepEqual(await names(again), expected)
      assert.deepEqual(await again.all('PRAGMA integrity_check'), [{ integrity_check: 'ok' }])
      await again.close()
    }
  })

  it('is as it was when there is no room for the sums, and has them all the next time', {
    timeout: 60_000,
  }, async () => {
    const { file, db } = await filled()
    const write = fs.writeSync
    let refused = 0
    const writing = mock.method(fs, 'writeSync', (...args: Parameters<typeof write>) => {
      // Records of a few pages are still written, as when the log is begun.
      const length = args[3] as unknown as number
      if (length > 1000 && refused++ === 0) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
      return write(...args)
    })
    // The first pages are written once, so that what is refused is the only time that their sums are taken.
    await db.write((tx) => tx.run('UPDATE thing SET body = randomblob(300) WHERE id <= 900'))
    for (let i = 0; refused === 0 && i < 400; i++) {
      await db.write((tx) => tx.run('UPDATE thing SET body = randomblob(300) WHERE id > 900'))
    }
    assert.equal(refused, 1)
    await add(db, 'new')
    await db.close()
    writing.mock.restore()
    const { checked, damaged } = await PageGuard.inspect(file)
    assert.deepEqual(damaged, [])
    assert.ok(checked > 100)
    // A page that was in what was refused has its newest sum: it is known to be damaged.
    const bytes = fs.readFileSync(file)
    bytes[50 * 4096 + 200] = bytes[50 * 4096 + 200]! ^ 1
    fs.writeFileSync(file, bytes)
    assert.deepEqual((await PageGuard.inspect(file)).damaged, [{ page: 51, bit: 1600 }])
  })
})
