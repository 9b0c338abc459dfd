import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, mock } from 'node:test'
import { Corrupt } from '../errors.ts'
import { silentLog } from '../log.ts'
import { Connection } from './connection.ts'
import { type Database, mendPages, openSqlite, PageGuard } from './index.ts'

const FLIPS = 25

describe('the sums of a database', () => {
  let folder: string
  let number = 0

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-guard-'))
  })

  after(() => rm(folder, { recursive: true, force: true }))

  const open = (file: string) => openSqlite({ file, log: silentLog, guarded: true })

  /** With sums of all of its pages. */
  async function filledAndKnown(rows: number): Promise<{ file: string; db: Database }> {
    const { file, db } = await filled(rows)
    await db.close()
    return { file, db: await open(file) }
  }

  async function filled(rows = 400): Promise<{ file: string; db: Database }> {
    const file = join(folder, `${number++}.sqlite`)
    const db = await open(file)
    await db.write((tx) => tx.run('CREATE TABLE thing (id INTEGER PRIMARY KEY, name TEXT, body BLOB)'))
    await db.write((tx) => tx.run('CREATE INDEX thing_by_name ON thing (name)'))
    await fill(db, rows)
    return { file, db }
  }

  async function fill(db: Database, rows: number): Promise<void> {
    for (let i = 0; i < rows; i += 20) {
      await db.write(async (tx) => {
        for (let j = 0; j < 20; j++) {
          await tx.run('INSERT INTO thing (name, body) VALUES (?, ?)', [
            randomBytes(9).toString('hex'),
            randomBytes(300),
          ])
        }
      })
    }
  }

  /** What a crash would leave at this moment. */
  async function crashed(file: string): Promise<string> {
    const copy = join(folder, `${number++}.sqlite`)
    for (const end of ['-sums', '', '-wal']) await cp(`${file}${end}`, `${copy}${end}`)
    return copy
  }

  const flip = (file: string, bit: number) => {
    const bytes = fs.readFileSync(file)
    bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7))
    fs.writeFileSync(file, bytes)
  }

  const names = (db: Database) => db.all<{ name: string }>('SELECT name FROM thing ORDER BY id')

  it('let a database be closed and opened again, grown and emptied meanwhile', async () => {
    const { file, db } = await filled()
    await db.close()
    for (let round = 0; round < 3; round++) {
      const again = await open(file)
      await fill(again, 200)
      await again.write((tx) => tx.run('DELETE FROM thing WHERE id % 3 = ?', [round]))
      assert.deepEqual((await again.checkPages())?.damaged, [])
      await again.close()
    }
    assert.deepEqual((await PageGuard.inspect(file)).damaged, [])
    assert.ok((await PageGuard.inspect(file)).checked > 10)
  })

  it('are right whenever the process dies, also between two checkpoints', async () => {
    const { file, db } = await filledAndKnown(1500)
    // Each writes every page anew, so that the log is written back now and then.
    const many = async () => {
      for (let i = 0; i < 30; i++) await db.write((tx) => tx.run('UPDATE thing SET body = randomblob(300)'))
    }
    const copies: [string, number][] = []
    for (let round = 0; round < 8; round++) {
      const filling = many().then(() => fill(db, 40))
      if (round % 2 === 1) copies.push([await crashed(file), 0])
      await filling
      copies.push([await crashed(file), (await names(db)).length])
    }
    assert.ok(fs.statSync(`${file}-wal`).size < 40_000_000, 'the log is written back now and then')
    assert.deepEqual((await db.checkPages())?.damaged, [])
    await db.close()
    for (const [copy, rows] of copies) {
      const again = await open(copy)
      assert.ok((await names(again)).length >= rows)
      assert.deepEqual(await again.all('PRAGMA integrity_check'), [{ integrity_check: 'ok' }])
      await again.close()
    }
  })

  it('find every flipped bit of a page, and turn it back', async () => {
    const { file, db } = await filled()
    const expected = await names(db)
    await db.close()
    const { size } = fs.statSync(file)
    for (let i = 0; i < FLIPS; i++) {
      const bit = Math.floor(Math.random() * size * 8)
      flip(file, bit)
      await assert.rejects(open(file), Corrupt, `bit ${bit}`)
      const report = await PageGuard.inspect(file)
      assert.deepEqual(report.damaged, [{ page: Math.floor(bit / 32_768) + 1, bit: bit % 32_768 }])
      assert.deepEqual((await mendPages(file, report)).damaged, [])
    }
    const again = await open(file)
    assert.deepEqual(await names(again), expected)
    await again.close()
  })

  it('find a page that was written with other bytes, or lost, and say that it can not be turned back', async () => {
    const { file, db } = await filled()
    await db.close()
    const bytes = fs.readFileSync(file)
    randomBytes(64).copy(bytes, 3 * 4096 + 100)
    fs.writeFileSync(file, bytes)
    assert.deepEqual((await PageGuard.inspect(file)).damaged, [{ page: 4 }])
    fs.truncateSync(file, 5 * 4096)
    assert.ok((await PageGuard.inspect(file)).damaged.length > 2)
    await assert.rejects(open(file), Corrupt)
  })

  it('do not take a damaged log for one that ends early: every flipped bit of it is found', async () => {
    const { file, db } = await filled(60)
    const expected = await names(db)
    const copy = await crashed(file)
    await db.close()
    const { size } = fs.statSync(`${copy}-wal`)
    for (let i = 0; i < FLIPS; i++) {
      // The header more often than by chance.
      const bit = i < 10 ? Math.floor(Math.random() * 32 * 8) : Math.floor(Math.random() * size * 8)
      flip(`${copy}-wal`, bit)
      const report = await PageGuard.inspect(copy)
      assert.ok(report.wal, `bit ${bit}`)
      await assert.rejects(open(copy), Corrupt)
      // The checksums of the log can't always tell which bit it was; what is told is right.
      if (report.wal.flip) assert.equal((await mendPages(copy, report)).wal, undefined)
      else flip(`${copy}-wal`, bit)
    }
    const again = await open(copy)
    assert.deepEqual(await names(again), expected)
    await again.close()
  })

  it('take a torn end of the log for what it is', async () => {
    const { file, db } = await filled(60)
    const copy = await crashed(file)
    await db.close()
    const { size } = fs.statSync(`${copy}-wal`)
    fs.truncateSync(`${copy}-wal`, size - 5000)
    const again = await open(copy)
    assert.ok((await names(again)).length > 0)
    await again.close()
  })

  it('find more than a bit in the middle of the log, since what follows it fits', async () => {
    const { file, db } = await filled(60)
    const copy = await crashed(file)
    await db.close()
    const bytes = fs.readFileSync(`${copy}-wal`)
    randomBytes(32).copy(bytes, 32 + 4120 * 2 + 500)
    fs.writeFileSync(`${copy}-wal`, bytes)
    assert.deepEqual((await PageGuard.inspect(copy)).wal, { frame: 2 })
    await assert.rejects(open(copy), Corrupt)
  })

  it('are made anew when another program has opened the database after a crash', async () => {
    const { file, db } = await filled(300)
    const copy = await crashed(file)
    await db.close()
    const other = await Connection.open({ file: copy })
    await other.run('INSERT INTO thing (name) VALUES (?)', ['from elsewhere'])
    await other.close()
    const again = await open(copy)
    assert.equal((await names(again)).length, 301)
    await again.close()
    assert.deepEqual((await PageGuard.inspect(copy)).damaged, [])
  })

  it('refuse a page that was changed after a crash which left no log: nobody else was there', async () => {
    const { file, db } = await filledAndKnown(300)
    const copy = join(folder, `${number++}.sqlite`)
    for (const end of ['-sums', '']) await cp(`${file}${end}`, `${copy}${end}`)
    await db.close()
    flip(copy, 5 * 32_768 + 77)
    await assert.rejects(open(copy), Corrupt)
  })

  it('leave the log in its place when there is no room for them, and are kept at the next start', async () => {
    for (const full of [
      () => {
        throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
      },
      // What a system does that has room for some of it.
      (call: number, write: typeof fs.writeSync, [fd, data, at, length, position]: unknown[]) => {
        if (call > 0) throw Object.assign(new Error('no space left'), { code: 'ENOSPC' })
        return write(fd as number, data as Buffer, at as number, Math.floor((length as number) / 2), position as number)
      },
    ]) {
      const { file, db } = await filledAndKnown(300)
      await db.write((tx) => tx.run('UPDATE thing SET body = randomblob(300)'))
      const expected = await db.all('SELECT * FROM thing')
      const write = fs.writeSync
      let calls = 0
      const writing = mock.method(fs, 'writeSync', (...args: unknown[]) => full(calls++, write, args))
      await db.close()
      writing.mock.restore()
      assert.ok(calls > 0)
      assert.ok(fs.statSync(`${file}-wal`).size > 0)
      assert.deepEqual((await PageGuard.inspect(file)).damaged, [])
      const again = await open(file)
      assert.deepEqual(await again.all('SELECT * FROM thing'), expected)
      await again.close()
      assert.deepEqual((await PageGuard.inspect(file)).damaged, [])
      flip(file, 7 * 32_768 + 77)
      await assert.rejects(open(file), Corrupt)
    }
  })

  it('go on after a write of them was cut short', async () => {
    const { file, db } = await filledAndKnown(300)
    const write = fs.writeSync
    // Always half of what is asked for.
    const writing = mock.method(fs, 'writeSync', (...args: unknown[]) => {
      const [fd, data, at, length, position] = args as [number, Buffer, number, number, number]
      return write(fd, data, at, Math.ceil(length / 2), position)
    })
    await db.write((tx) => tx.run('UPDATE thing SET body = randomblob(300)'))
    await db.close()
    writing.mock.restore()
    flip(file, 7 * 32_768 + 77)
    await assert.rejects(open(file), Corrupt)
    assert.deepEqual((await PageGuard.inspect(file)).damaged, [{ page: 8, bit: 77 }])
  })

  it('write their file anew when it has grown too long, while others write', async () => {
    const { file, db } = await filledAndKnown(1500)
    let longest = 0
    for (let i = 0; i < 600; i++) {
      await db.write((tx) => tx.run('UPDATE thing SET body = randomblob(300)'))
      longest = Math.max(longest, fs.statSync(`${file}-sums`).size)
    }
    assert.ok(fs.statSync(`${file}-sums`).size < 1_300_000, `${longest} bytes`)
    assert.deepEqual((await db.checkPages())?.damaged, [])
    await db.close()
    const again = await open(file)
    assert.equal((await names(again)).length, 1500)
    await again.close()
  })

  it('are made anew when their own file is damaged or gone', async () => {
    const { file, db } = await filled()
    await db.close()
    for (const damage of [() => flip(`${file}-sums`, 400), () => fs.rmSync(`${file}-sums`)]) {
      damage()
      const again = await open(file)
      assert.equal((await names(again)).length, 400)
      await again.close()
      assert.ok((await PageGuard.inspect(file)).checked > 10)
    }
  })

  it('know what other connections of this process have written', async () => {
    const { file, db } = await filledAndKnown(400)
    const other = await openSqlite({ file, log: silentLog })
    for (let i = 0; i < 60; i++) await other.write((tx) => tx.run('UPDATE thing SET body = randomblob(300)'))
    await fill(db, 600)
    await other.close()
    await db.close()
    const again = await open(file)
    assert.equal((await names(again)).length, 1000)
    await again.close()
  })
})
