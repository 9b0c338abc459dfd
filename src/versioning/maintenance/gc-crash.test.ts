import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { migrate, openSqlite, silentLog, systemClock } from '../../kernel/index.ts'
import { openVersioning, versioningMigrations } from '../index.ts'
import { assertSound } from '../testing/fsck.ts'
import { branchOf, getText, openTestStore, putText, sealCommit, type TestStore } from '../testing/store.ts'

const images = branchOf('images@master')
const other = branchOf('other@master')

/** The store as a crash would leave it at this moment, opened by the next process. */
async function afterCrash(
  store: TestStore,
  look: (store: Pick<TestStore, 'folder' | 'db' | 'versioning'>) => Promise<void>,
) {
  const folder = await mkdtemp(join(tmpdir(), 'sluice-gc-crash-'))
  try {
    await cp(store.folder, folder, { recursive: true })
    const databaseFile = join(folder, 'meta.sqlite')
    const db = await openSqlite({ file: databaseFile, log: silentLog })
    await migrate(db, [versioningMigrations])
    const versioning = await openVersioning({
      db,
      databaseFile,
      dataFolder: folder,
      batch: { idleMs: 3_600_000, maxAgeMs: 3_600_000, maxChanges: 1_000_000 },
      clock: systemClock,
      log: silentLog,
      onFatal: (error) => {
        throw error
      },
    })
    try {
      await look({ folder, db, versioning })
    } finally {
      await versioning.close()
      await db.close()
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

describe('a crash while garbage is collected', () => {
  it('leaves a whole store after every step, which the next collection goes on with', async () => {
    const store = await openTestStore()
    try {
      const { versioning } = store
      await versioning.createBranch(images)
      await versioning.createBranch(other)
      const kept = new Map<string, string>()
      for (let i = 0; i < 30; i++) {
        const body = randomBytes(5_000).toString('hex')
        if (i % 3 > 0) await putText(versioning, other, `gone-${i}`, body)
        else {
          kept.set(`kept-${i}`, body)
          await putText(versioning, images, `kept-${i}`, body)
        }
        if (i % 10 === 9) await sealCommit(versioning, images)
      }
      await sealCommit(versioning, other)
      await versioning.deleteRepo(other.repo)
      let steps = 0
      let repacked = 0
      let last = ''
      for await (const event of versioning.maintenance.gc({ graceMs: 0 })) {
        if (event.kind === 'done') repacked = event.packsRepacked
        // Its first one, where a phase has many.
        const phase = event.kind === 'done' ? 'done' : event.phase
        if (phase === last) continue
        last = phase
        steps++
        await afterCrash(store, async (crashed) => {
          await assertSound(crashed)
          for (const [path, body] of kept) assert.equal(await getText(crashed.versioning, images, path), body)
          let chunks = 0
          for await (const again of crashed.versioning.maintenance.gc({ graceMs: 0 })) {
            if (again.kind === 'done') chunks = again.waitingBytes
          }
          assert.equal(chunks, 0)
          await assertSound(crashed, { deep: true })
          for (const [path, body] of kept) assert.equal(await getText(crashed.versioning, images, path), body)
        })
      }
      assert.equal(steps, 6)
      assert.equal(repacked, 1)
    } finally {
      await store.close()
    }
  })

  it('takes up a pack whose file was being removed', async () => {
    const store = await openTestStore()
    try {
      const { versioning } = store
      await versioning.createBranch(other)
      await putText(versioning, other, 'a', randomBytes(5_000).toString('hex'))
      await versioning.deleteRepo(other.repo)
      await store.reopen()
      // As between the transaction that says so and the removal.
      await store.db.write(async (tx) => {
        await tx.run('DELETE FROM chunk')
        await tx.run("UPDATE pack SET state = 'sealed', going = 1")
      })
      await store.reopen()
      assert.deepEqual(await store.db.all('SELECT * FROM pack'), [])
      await assertSound(store, { deep: true })
    } finally {
      await store.close()
    }
  })

  it('writes nothing down for a collection that is over', async () => {
    const store = await openTestStore()
    try {
      await store.versioning.createBranch(images)
      const nodes = await openSqlite({ file: join(store.folder, 'nodes.sqlite'), log: silentLog })
      await nodes.write((tx) => tx.run('INSERT INTO node_sweep (id) VALUES (1)'))
      await store.reopen()
      await putText(store.versioning, images, 'a', 'text')
      await sealCommit(store.versioning, images)
      assert.deepEqual(await nodes.all('SELECT * FROM node_again'), [])
      await nodes.close()
    } finally {
      await store.close()
    }
  })
})
