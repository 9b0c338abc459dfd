import assert from 'node:assert/strict'
import { describe } from 'node:test'
import { datums, promises, shout } from '../testing/promises.ts'

// They wait for disks and child processes more than they compute.
describe('the life of pipelines and jobs', { concurrency: 4 }, () => {
  promises('runs everything again when the code changes, and reuses everything when it changes back', async (bench) => {
    await bench.pipeline('p', shout)
    await bench.put('in', { a: 'one', b: 'two' })
    await bench.flush('in')
    await bench.pipeline('p', `${shout}\necho more >> /pfs/out/$(basename /pfs/in/*)`, { update: true })
    const changed = await bench.until(async () => {
      const job = await bench.lastJob('p')
      return job.specVersion === 2 && job.finishedMs ? job : undefined
    })
    assert.deepEqual(changed.datums, datums(2, 2, 0))
    assert.deepEqual(
      new Set((await bench.pipelines.listDatums(changed.id)).map(({ why }) => why)),
      new Set(['code changed']),
    )
    assert.deepEqual(await bench.files('p'), { a: 'ONEmore\n', b: 'TWOmore\n' })
    await bench.pipeline('p', shout, { update: true })
    const back = await bench.until(async () => {
      const job = await bench.lastJob('p')
      return job.specVersion === 3 && job.finishedMs ? job : undefined
    })
    assert.deepEqual(back.datums, datums(2, 0, 2))
    assert.deepEqual(await bench.files('p'), { a: 'ONE', b: 'TWO' })
  })

  promises('runs everything again when asked to reprocess', async (bench) => {
    await bench.pipeline('p', shout)
    await bench.put('in', { a: 'one' })
    await bench.flush('in')
    await bench.pipeline('p', shout, { update: true, reprocess: true })
    const job = await bench.until(async () => {
      const last = await bench.lastJob('p')
      return last.specVersion === 2 && last.finishedMs ? last : undefined
    })
    assert.deepEqual(job.datums, datums(1, 1, 0))
  })

  promises('kills what takes longer than datum_timeout, and what takes longer than job_timeout', async (bench) => {
    await bench.pipeline('p', 'sleep 60', { datum_timeout: '200ms', datum_tries: 1 })
    await bench.pipeline('q', 'sleep 60', { job_timeout: '300ms' })
    await bench.put('in', { a: 'x' })
    const { branches } = await bench.flush('in')
    assert.match(branches['p']?.reason ?? '', /datum .* failed: it took longer than datum_timeout 200ms/)
    assert.match(branches['q']?.reason ?? '', /the job took longer than job_timeout 300ms/)
    assert.equal((await bench.lastJob('q')).state, 'failure')
  })

  promises('kills a job when asked to, and goes on with the next commit', async (bench) => {
    await bench.pipeline('p', `grep -q slow /pfs/in/* && sleep 60\n${shout}`)
    await bench.pipeline('q', shout, { input: { pfs: { repo: 'p', name: 'in', glob: '/*' } } })
    await bench.put('in', { a: 'slow' })
    await bench.versioning.seal({ repo: 'in' as never, branch: 'master' as never })
    const running = await bench.until(async () => {
      const [job] = await bench.pipelines.listJobs({ pipeline: 'p' })
      const [datum] = job?.state === 'running' ? await bench.pipelines.listDatums(job.id) : []
      return datum?.state === 'running' ? job : undefined
    })
    const killed = await bench.pipelines.killJob(running.id.slice(0, 8))
    assert.equal(killed.state, 'killed')
    assert.equal((await bench.ended('q')).state, 'unrunnable')
    assert.equal((await bench.flush('in')).branches['p']?.verdict, 'stopped')
    assert.equal((await bench.pipelines.killJob(running.id)).state, 'killed')
    await bench.put('in', { a: 'fast' })
    assert.equal((await bench.flush('in')).ok, true)
    assert.deepEqual(await bench.files('q'), { a: 'FAST' })
  })

  promises('runs jobs of one pipeline one after the other, in the order of their commits', async (bench) => {
    await bench.pipeline('p', 'sleep 0.1; date +%s.%N > /pfs/out/t', { input: { pfs: { repo: 'in', glob: '/' } } })
    for (const text of ['1', '2', '3']) {
      await bench.put('in', { a: text })
      await bench.versioning.seal({ repo: 'in' as never, branch: 'master' as never })
    }
    assert.equal((await bench.flush('in')).ok, true)
    const jobs = (await bench.pipelines.listJobs({ pipeline: 'p' })).toReversed()
    assert.equal(jobs.length, 3)
    for (const [index, job] of jobs.entries()) {
      assert.equal(job.state, 'success')
      const before = jobs[index - 1]
      if (before) assert.ok(before.finishedMs! <= job.startedMs!, 'a job began before the one before it had ended')
    }
  })

  promises('ends a running job under the old spec when the pipeline is updated', async (bench) => {
    await bench.pipeline('p', 'sleep 0.5; echo old > /pfs/out/f')
    await bench.put('in', { a: 'x' })
    await bench.versioning.seal({ repo: 'in' as never, branch: 'master' as never })
    await bench.until(async () =>
      (await bench.pipelines.listJobs({ pipeline: 'p' }))[0]?.state === 'running' ? true : undefined,
    )
    await bench.pipeline('p', 'echo new > /pfs/out/f', { update: true, transform: { env: { V: '2' } } })
    const newest = await bench.until(async () => {
      const [job] = await bench.pipelines.listJobs({ pipeline: 'p' })
      return job?.specVersion === 2 && job.finishedMs ? job : undefined
    })
    assert.equal(newest.state, 'success')
    const [, old] = await bench.pipelines.listJobs({ pipeline: 'p' })
    assert.deepEqual([old?.specVersion, old?.state], [1, 'success'])
    assert.deepEqual(await bench.files('p'), { f: 'new\n' })
  })

  promises('stops and starts: nothing runs meanwhile, and it catches up after', async (bench) => {
    await bench.pipeline('p', shout)
    assert.equal((await bench.pipelines.stop('p')).state, 'stopped')
    await bench.put('in', { a: 'x' })
    await bench.flush('in')
    assert.deepEqual(await bench.pipelines.listJobs({ pipeline: 'p' }), [])
    assert.equal((await bench.pipelines.start('p')).state, 'running')
    assert.equal((await bench.ended('p')).state, 'success')
    assert.deepEqual(await bench.files('p'), { a: 'X' })
  })

  promises('computes at its start what was stopped while it waited', async (bench) => {
    await bench.pipeline('p', `sleep 1; ${shout}`)
    await bench.pipeline('q', shout, { input: { pfs: { repo: 'p', name: 'in', glob: '/*' } } })
    await bench.put('in', { a: 'x' })
    await bench.versioning.seal({ repo: 'in' as never, branch: 'master' as never })
    await bench.until(async () => (await bench.pipelines.listJobs({ pipeline: 'p' }))[0])
    await bench.pipelines.stop('q')
    assert.equal((await bench.flush('in')).branches['q']?.verdict, 'stopped')
    assert.equal((await bench.ended('p')).state, 'success')
    await bench.pipelines.start('q')
    await bench.flush('in')
    assert.deepEqual(await bench.files('q'), { a: 'X' })
  })

  promises('computes at its start what its input is still being computed for', async (bench) => {
    await bench.pipeline('p', `sleep 1; ${shout}`)
    await bench.pipeline('q', shout, { input: { pfs: { repo: 'p', name: 'in', glob: '/*' } } })
    await bench.pipelines.stop('q')
    await bench.put('in', { a: 'x' })
    await bench.versioning.seal({ repo: 'in' as never, branch: 'master' as never })
    await bench.until(async () => (await bench.pipelines.listJobs({ pipeline: 'p' }))[0])
    await bench.pipelines.start('q')
    await bench.flush('in')
    assert.deepEqual(await bench.files('q'), { a: 'X' })
  })

  promises('deletes a pipeline while its job runs, and lets its repo be written or go', async (bench) => {
    await bench.pipeline('p', 'sleep 60')
    await bench.pipeline('q', shout, { input: { pfs: { repo: 'p', name: 'in', glob: '/*' } } })
    await bench.put('in', { a: 'x' })
    await bench.versioning.seal({ repo: 'in' as never, branch: 'master' as never })
    const job = await bench.until(async () => (await bench.pipelines.listJobs({ pipeline: 'p' }))[0])
    await assert.rejects(bench.pipelines.delete('p'), { code: 'InUse' })
    await bench.pipelines.delete('q', { deleteRepo: true })
    await bench.pipelines.delete('p')
    await assert.rejects(bench.pipelines.get('p'), { code: 'PipelineNotFound' })
    assert.equal((await bench.pipelines.getJob(job.id)).state, 'killed')
    assert.equal((await bench.flush('in')).branches['p']?.verdict, 'stopped')
    await assert.rejects(bench.versioning.getRepo('q' as never), { code: 'RepoNotFound' })
    await bench.put('p', { mine: 'now' })
  })

  promises('refuses a cycle, a missing repo, a pipeline twice and an unknown one', async (bench) => {
    await bench.pipeline('p', shout)
    await bench.pipeline('q', shout, { input: { pfs: { repo: 'p', glob: '/*' } } })
    await assert.rejects(bench.pipeline('p', shout, { update: true, input: { pfs: { repo: 'q', glob: '/*' } } }), {
      code: 'Cycle',
    })
    await assert.rejects(bench.pipeline('r', shout, { input: { pfs: { repo: 'nowhere', glob: '/*' } } }), {
      code: 'RepoNotFound',
    })
    await assert.rejects(bench.pipeline('p', shout), { code: 'PipelineExists' })
    await assert.rejects(bench.pipeline('s', shout, { update: true }), { code: 'PipelineNotFound' })
    assert.deepEqual(
      (await bench.pipelines.list()).map(({ name, version }) => [name, version]),
      [
        ['p', 1],
        ['q', 1],
      ],
    )
    await assert.rejects(bench.pipelines.getJob('0123456789abcdef'), { code: 'JobNotFound' })
  })

  promises('says that an image is not used', async (bench) => {
    const { notes, pipeline } = await bench.pipeline('p', shout, { transform: { image: 'python:3' } })
    assert.ok(notes.some((note) => /image "python:3" is not used/.test(note)))
    assert.match(pipeline.runner, /process/)
  })

  promises('passes over results that are kept with every_job', async (bench) => {
    await bench.pipeline('p', shout, { reprocess_spec: 'every_job' })
    await bench.put('in', { a: 'x' })
    await bench.flush('in')
    await bench.put('in', { b: 'y' })
    await bench.flush('in')
    assert.deepEqual((await bench.lastJob('p')).datums, datums(2, 2, 0))
  })

  promises('follows the log of a job to its end', async (bench) => {
    await bench.pipeline('p', 'for i in 1 2 3; do echo line $i; sleep 0.05; done; echo oops >&2')
    await bench.put('in', { a: 'x' })
    await bench.versioning.seal({ repo: 'in' as never, branch: 'master' as never })
    const job = await bench.until(async () => (await bench.pipelines.listJobs({ pipeline: 'p' }))[0])
    assert.equal(
      await bench.logText({ job: job.id, follow: true }),
      'stdout line 1\nstdout line 2\nstdout line 3\nstderr oops\n',
    )
    assert.equal(await bench.logText({ pipeline: 'p', contains: '2' }), 'stdout line 2\n')
  })
})
