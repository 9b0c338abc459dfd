import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { silentLog } from '../log.ts'
import { openSqlite } from './sqlite.ts'

it('a transaction waits as long for a writer of another thread as it is told', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-patience-'))
  const file = join(folder, 'nodes.sqlite')
  const holder = await openSqlite({ file, log: silentLog })
  const hasty = await openSqlite({ file, log: silentLog, patienceMs: 20 })
  const patient = await openSqlite({ file, log: silentLog, patienceMs: 600_000 })
  try {
    await holder.write((tx) => tx.run('CREATE TABLE a (x)'))
    const release = Promise.withResolvers<void>()
    const begun = Promise.withResolvers<void>()
    const held = holder.write(async () => {
      begun.resolve()
      await release.promise
    })
    await begun.promise
    const waiting = patient.write((tx) => tx.run('INSERT INTO a VALUES (1)'))
    await assert.rejects(
      hasty.write((tx) => tx.run('INSERT INTO a VALUES (2)')),
      /locked/,
    )
    release.resolve()
    await held
    assert.equal(await waiting, 1)
  } finally {
    for (const db of [holder, hasty, patient]) await db.close()
    await rm(folder, { recursive: true, force: true })
  }
})
