import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { Metrics, migrate, openSqlite, randomHexId, silentLog } from '../../kernel/index.ts'
import type { CommitId, RepoName } from '../../versioning/index.ts'
import { claimJob, endJob, insertJob, measureJobs, pipelineMigrations, updateJob } from './index.ts'

describe('the metrics of jobs', () => {
  it('are jobs by state, and the datums of those that have not ended', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-job-metrics-'))
    const db = await openSqlite({ file: join(folder, 'db.sqlite'), log: silentLog })
    t.after(async () => {
      await db.close()
      await rm(folder, { recursive: true, force: true })
    })
    await migrate(db, [pipelineMigrations])
    const metrics = new Metrics(silentLog)
    measureJobs(metrics, db)
    assert.match(await metrics.render(), /^sluice_jobs\{state="running"\} 0$/m)
    const newJob = async () => {
      const id = randomHexId()
      const repo = 'p' as RepoName
      const outputCommit = randomHexId() as CommitId
      await db.write((tx) =>
        insertJob(tx, { id, pipeline: repo, specVersion: 1, outputCommit, repo, inputs: [], createdMs: 1 }),
      )
      return id
    }
    const [running, failed] = [await newJob(), await newJob(), await newJob()]
    const attempt = await db.write((tx) =>
      claimJob(tx, running!, { owner: 'here', state: 'running', inputs: [], nowMs: 2 }),
    )
    await db.write((tx) =>
      updateJob(tx, { job: running!, attempt: attempt! }, { state: 'running', total: 10, skipped: 4 }),
    )
    await db.write((tx) => endJob(tx, failed!, { state: 'failure', nowMs: 3, reason: 'for a test' }))
    const text = await metrics.render()
    for (const line of [
      /^sluice_jobs\{state="created"\} 1$/m,
      /^sluice_jobs\{state="running"\} 1$/m,
      /^sluice_jobs\{state="failure"\} 1$/m,
      /^sluice_datums\{state="skipped"\} 4$/m,
      /^sluice_datums\{state="waiting"\} 6$/m,
    ]) {
      assert.match(text, line)
    }
  })
})
