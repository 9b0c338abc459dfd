import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { InvalidInput, migrate, openSqlite, silentLog, type Transaction } from '../../../kernel/index.ts'
import type { CommitId } from '../../model/index.ts'
import { versioningMigrations } from '../schema.ts'
import { commitAt, noteHeadTime, parseTime } from './commit-times.ts'

async function openDatabase(t: TestContext, upTo: number) {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-times-'))
  const db = await openSqlite({ file: join(folder, 'meta.sqlite'), log: silentLog })
  t.after(async () => {
    await db.close()
    await rm(folder, { recursive: true, force: true })
  })
  const { floor, migrations } = versioningMigrations
  await migrate(db, [{ floor, migrations: migrations.slice(0, upTo) }])
  return db
}

function insert(
  tx: Transaction,
  id: string,
  of: { branch: number; ordinal: number; finished: number | null; parent?: string; kind?: string },
): Promise<number> {
  const { branch, ordinal, finished, parent = null, kind = 'batch' } = of
  return tx.run(
    `INSERT INTO commits (id, repo, branch_id, branch, ordinal, kind, state, parent, root, folded_seq, from_seq, last_seq, started_ms,
                          finished_ms, files, bytes, message)
     VALUES (?, 'r', ?, 'b', ?, ?, ?, ?, '', 0, ?, ?, 0, ?, 0, 0, '')`,
    [id, branch, ordinal, kind, finished === null ? 'open' : 'finished', parent, ordinal, ordinal, finished],
  )
}

describe('the times of commits', () => {
  it('are those of a clock that never goes back, in a store of before they were kept too', async (t) => {
    const db = await openDatabase(t, 2)
    await db.write(async (tx) => {
      await insert(tx, 'a', { branch: 1, ordinal: 1, finished: 100 })
      await insert(tx, 'b', { branch: 1, ordinal: 2, finished: 300, parent: 'a' })
      await insert(tx, 'c', { branch: 1, ordinal: 3, finished: 200, parent: 'b' })
      await insert(tx, 'd', { branch: 1, ordinal: 4, finished: 400, parent: 'c' })
      await insert(tx, 'e', { branch: 1, ordinal: 5, finished: null })
      await insert(tx, 'x', { branch: 2, ordinal: 1, finished: 250, parent: 'b' })
    })
    await migrate(db, [versioningMigrations])
    const at = (from: string, ms: number) => commitAt(db, from as CommitId, ms)
    assert.deepEqual(
      [await at('d', 99), await at('d', 100), await at('d', 299), await at('d', 300), await at('d', 400)],
      [undefined, 'a', 'a', 'c', 'd'],
    )
    assert.deepEqual([await at('x', 249), await at('x', 250), await at('b', 1000)], ['a', 'x', 'b'])
  })

  it("leave out a pipeline's commit that ended after a newer one: it never was the head", async (t) => {
    const db = await openDatabase(t, 3)
    await db.write(async (tx) => {
      await tx.run(`INSERT INTO repos (name, description, created_ms, default_branch) VALUES ('r', '', 0, 'b')`)
      await tx.run(
        `INSERT INTO branches (id, repo, name, root, folded_seq, last_seq, ordinals, created_ms, bucket, pipeline)
         VALUES (1, 'r', 'b', '', 0, 0, 3, 0, 'b.r', 'p')`,
      )
      const end = async (id: string, ordinal: number, ms: number) => {
        await insert(tx, id, { branch: 1, ordinal, finished: ms, kind: 'derived' })
        await noteHeadTime(tx, id, ms)
        await tx.run(
          `UPDATE branches SET head = ?1 WHERE id = 1 AND coalesce((SELECT ordinal FROM commits WHERE id = head), 0) < ?2`,
          [id, ordinal],
        )
      }
      await end('one', 1, 100)
      await end('three', 3, 200)
      await end('two', 2, 300)
    })
    const at = (ms: number) => commitAt(db, 'three' as CommitId, ms)
    assert.deepEqual([await at(150), await at(200), await at(400)], ['one', 'three', 'three'])
  })

  it('are read as a day, to either end of it, or as a moment', () => {
    const iso = (text: string, edge?: 'start') => new Date(parseTime(text, edge)).toISOString()
    assert.equal(iso('2026-11-13'), '2026-11-13T23:59:59.999Z')
    assert.equal(iso('2026-11-13', 'start'), '2026-11-13T00:00:00.000Z')
    assert.equal(iso('2024-02-29T10:00'), '2024-02-29T10:00:00.000Z')
    assert.equal(iso('2026-11-13T10:00:05.5+0130', 'start'), '2026-11-13T08:30:05.500Z')
    assert.throws(() => parseTime('2026-02-29'), InvalidInput)
    assert.throws(() => parseTime('2026-11-13T10:00:60Z'), InvalidInput)
  })
})
