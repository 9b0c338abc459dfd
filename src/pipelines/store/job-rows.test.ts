import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Database, migrate, openSqlite, randomHexId, silentLog } from '../../kernel/index.ts'
import type { CommitId, RepoName } from '../../versioning/index.ts'
import {
  claimJob,
  endAttempt,
  endJob,
  findJob,
  insertJob,
  pipelineMigrations,
  releaseAll,
  releaseJob,
  renewLeases,
  updateJob,
} from './index.ts'

let folder = ''
let db: Database
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sluice-jobs-'))
  db = await openSqlite({ file: join(folder, 'db.sqlite'), log: silentLog })
  await migrate(db, [pipelineMigrations])
})
after(async () => {
  await db.close()
  rmSync(folder, { recursive: true, force: true })
})

async function newJob(): Promise<string> {
  const id = randomHexId()
  await db.write((tx) =>
    insertJob(tx, {
      id,
      pipeline: 'p' as RepoName,
      specVersion: 1,
      outputCommit: randomHexId() as CommitId,
      repo: 'p' as RepoName,
      inputs: [],
      createdMs: 1,
    }),
  )
  return id
}
const claim = (id: string, owner: string) =>
  db.write((tx) => claimJob(tx, id, { owner, state: 'running', inputs: [], nowMs: 2 }))
const expire = (id: string) => db.write((tx) => tx.run('UPDATE job SET lease_until_ms = 1 WHERE id = ?', [id]))

describe('the lease of a job', () => {
  it('is one at a time, and the next one when it has run out', async () => {
    const id = await newJob()
    assert.equal(await claim(id, 'first'), 1)
    assert.equal(await claim(id, 'second'), undefined)
    await expire(id)
    assert.equal(await claim(id, 'second'), 2)
  })

  it('is renewed by who holds it, and lost by who does not', async () => {
    const id = await newJob()
    await claim(id, 'first')
    await expire(id)
    assert.deepEqual(await db.write((tx) => renewLeases(tx, [{ job: id, attempt: 1 }])), [])
    assert.equal(await claim(id, 'second'), undefined)
    await expire(id)
    await claim(id, 'second')
    assert.deepEqual(await db.write((tx) => renewLeases(tx, [{ job: id, attempt: 1 }])), [id])
  })

  it('lets no stale attempt say anything', async () => {
    const id = await newJob()
    await claim(id, 'first')
    await expire(id)
    await claim(id, 'second')
    const stale = { job: id, attempt: 1 }
    await assert.rejects(
      db.write((tx) => updateJob(tx, stale, { state: 'egressing' })),
      { code: 'StaleAttempt' },
    )
    await assert.rejects(
      db.write((tx) => endAttempt(tx, stale, { state: 'success', nowMs: 3 })),
      { code: 'StaleAttempt' },
    )
    await db.write((tx) => releaseJob(tx, stale))
    assert.equal(await claim(id, 'third'), undefined)
    await db.write((tx) => endAttempt(tx, { job: id, attempt: 2 }, { state: 'success', nowMs: 3 }))
    assert.equal((await findJob(db, id))?.state, 'success')
  })

  it('ends with the job, whoever ends it', async () => {
    const id = await newJob()
    await claim(id, 'first')
    assert.equal(await db.write((tx) => endJob(tx, id, { state: 'killed', nowMs: 3, reason: 'enough' })), true)
    assert.equal(await db.write((tx) => endJob(tx, id, { state: 'failure', nowMs: 4 })), false)
    await assert.rejects(
      db.write((tx) => endAttempt(tx, { job: id, attempt: 1 }, { state: 'success', nowMs: 5 })),
      { code: 'StaleAttempt' },
    )
    assert.equal(await claim(id, 'second'), undefined)
    assert.deepEqual([(await findJob(db, id))?.state, (await findJob(db, id))?.reason], ['killed', 'enough'])
  })

  it('of a dead process is given back at the start, after which that process counts no more', async () => {
    const id = await newJob()
    await claim(id, 'dead')
    await db.write(releaseAll)
    await assert.rejects(
      db.write((tx) => endAttempt(tx, { job: id, attempt: 1 }, { state: 'success', nowMs: 5 })),
      { code: 'StaleAttempt' },
    )
    assert.equal(await claim(id, 'living'), 2)
  })

  it('is for one job per output commit', async () => {
    const commit = randomHexId() as CommitId
    const job = {
      pipeline: 'p' as RepoName,
      specVersion: 1,
      outputCommit: commit,
      repo: 'p' as RepoName,
      inputs: [],
      createdMs: 1,
    }
    const [first, second] = [randomHexId(), randomHexId()]
    await db.write((tx) => insertJob(tx, { ...job, id: first }))
    await db.write((tx) => insertJob(tx, { ...job, id: second }))
    assert.ok(await findJob(db, first))
    assert.equal(await findJob(db, second), undefined)
  })
})
