import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { JobInfo } from '../index.ts'
import { at, Bench } from '../testing/harness.ts'
import { ManualEgress } from '../testing/manual-egress.ts'

describe('a job whose egress failed', () => {
  const script = 'echo ran; cp /pfs/in/* /pfs/out/'
  const more = { egress: { URL: 's3://bucket/dir' } }
  const after = { input: { pfs: { repo: 'p', glob: '/*' } } }

  /** A pipeline that pushes, one that reads it, and a job of the first whose push failed. */
  async function failed(run: (parts: { bench: Bench; egress: ManualEgress; job: JobInfo }) => Promise<void>) {
    const egress = new ManualEgress()
    const bench = await Bench.open({ egress })
    try {
      await bench.repo('in')
      await bench.pipeline('p', script, more)
      await bench.pipeline('q', 'cp /pfs/p/* /pfs/out/', after)
      const job = await failNext(bench, egress, { a: 'x' })
      await run({ bench, egress, job })
    } finally {
      await bench.close()
    }
  }

  async function egressing(bench: Bench, egress: ManualEgress) {
    return bench.until(async () => {
      const [job] = await bench.pipelines.listJobs({ pipeline: 'p' })
      const asked = egress.requests.some((request) => request.job === job?.id)
      return asked && job?.state === 'egressing' && job.egress?.state === 'running' ? job : undefined
    })
  }

  async function failNext(bench: Bench, egress: ManualEgress, files: Record<string, string>) {
    await bench.put('in', files)
    await bench.versioning.seal(at('in'))
    egress.end((await egressing(bench, egress)).id, 'failed', 'access denied')
    return bench.ended('p')
  }

  it('goes on where it was when that is retried: nothing runs again, and what follows from it runs', () =>
    failed(async ({ bench, egress, job }) => {
      assert.equal(job.state, 'failure')
      assert.match(job.reason ?? '', /access denied; when that is put right: sluice egress retry [0-9a-f]{32}/)
      const [waiting] = await bench.pipelines.listJobs({ pipeline: 'q' })
      assert.equal(waiting?.state, 'unrunnable')
      const before = await bench.flush('in')
      assert.deepEqual([before.ok, before.branches['q']?.verdict], [false, 'unrunnable'])

      const again = await bench.pipelines.retryEgress(job.id.slice(0, 12))
      assert.deepEqual(
        [again.id, again.state, again.reason, again.finishedMs],
        [job.id, 'egressing', undefined, undefined],
      )
      egress.end((await egressing(bench, egress)).id, 'success')
      const end = await bench.flush('in')
      assert.equal(end.ok, true, JSON.stringify(end))
      assert.deepEqual(await bench.files('p'), { a: 'x' })
      assert.deepEqual(await bench.files('q'), { a: 'x' })
      const { state, outputCommit } = await bench.pipelines.getJob(job.id)
      assert.deepEqual([state, outputCommit], ['success', job.outputCommit])
      const [ran] = await bench.pipelines.listJobs({ pipeline: 'q' })
      assert.deepEqual([ran?.id, ran?.state], [waiting.id, 'success'])
      assert.equal(await bench.logText({ job: job.id }).then((text) => text.match(/stdout ran/g)?.length), 1)
      assert.equal(egress.requests.length, 1)
    }))

  it('may fail again, and be retried again', () =>
    failed(async ({ bench, egress, job }) => {
      for (const reason of ['still denied', 'full']) {
        await bench.pipelines.retryEgress(job.id)
        egress.end((await egressing(bench, egress)).id, 'failed', reason)
        const ended = await bench.ended('p')
        assert.deepEqual([ended.id, ended.state], [job.id, 'failure'])
        assert.ok(ended.reason?.includes(reason))
        const [next] = await bench.pipelines.listJobs({ pipeline: 'q' })
        assert.equal(next?.state, 'unrunnable')
      }
    }))

  it('is not retried once a newer commit of its branch has succeeded or is on its way', () =>
    failed(async ({ bench, egress, job }) => {
      await bench.put('in', { a: 'newer' })
      await bench.versioning.seal(at('in'))
      const next = await egressing(bench, egress)
      await assert.rejects(bench.pipelines.retryEgress(job.id), { code: 'RetryRefused', message: /is on its way/ })
      egress.end(next.id, 'success')
      assert.equal((await bench.flush('in')).ok, true)
      await assert.rejects(bench.pipelines.retryEgress(job.id), {
        code: 'RetryRefused',
        message: /a newer commit, p@[0-9a-f]{32}, has succeeded and was pushed: there is nothing to retry/,
      })
      assert.deepEqual(
        [(await bench.pipelines.getJob(job.id)).state, await bench.files('p')],
        ['failure', { a: 'newer' }],
      )
    }))

  it('is retried although newer ones failed too, each in its turn', () =>
    failed(async ({ bench, egress, job }) => {
      const second = await failNext(bench, egress, { b: 'y' })
      assert.notEqual(second.id, job.id)
      await bench.pipelines.retryEgress(job.id)
      await bench.pipelines.retryEgress(second.id)
      for (const id of [job.id, second.id]) {
        await bench.until(async () => ((await bench.pipelines.getJob(id)).state === 'egressing' ? true : undefined))
        egress.end(id, 'success')
        await bench.until(async () => ((await bench.pipelines.getJob(id)).state === 'success' ? true : undefined))
      }
      assert.deepEqual(await bench.files('p'), { a: 'x', b: 'y' })
    }))

  it('is followed by a pipeline that was stopped and started meanwhile', async () => {
    const egress = new ManualEgress()
    const bench = await Bench.open({ egress })
    try {
      await bench.repo('in')
      await bench.pipeline('p', script, more)
      await bench.pipeline('q', 'cp /pfs/p/* /pfs/out/', after)
      await bench.put('in', { a: 'x' })
      await bench.versioning.seal(at('in'))
      const job = await egressing(bench, egress)
      await bench.pipelines.stop('q')
      await bench.until(async () => {
        const [waiting] = await bench.pipelines.listJobs({ pipeline: 'q' })
        return waiting?.state === 'killed' ? true : undefined
      })
      egress.end(job.id, 'failed', 'access denied')
      await bench.ended('p')
      await bench.pipelines.start('q')
      await bench.pipelines.retryEgress(job.id)
      egress.end((await egressing(bench, egress)).id, 'success')
      await bench.flush('in')
      assert.deepEqual(await bench.files('q'), { a: 'x' })
    } finally {
      await bench.close()
    }
  })

  it('is followed once by what needs it by two ways, on what one of them has become since', async () => {
    const egress = new ManualEgress()
    const bench = await Bench.open({ egress })
    const both = (...inputs: readonly (readonly [repo: string, name: string])[]) => ({
      input: { cross: inputs.map(([repo, name]) => ({ pfs: { repo, name, glob: '/' } })) },
    })
    try {
      for (const repo of ['in', 'other']) await bench.repo(repo)
      await bench.pipeline('p', script, more)
      await bench.pipeline('q', 'cat /pfs/p/* /pfs/o/* > /pfs/out/q', both(['p', 'p'], ['other', 'o']))
      await bench.pipeline('r', 'cat /pfs/p/* > /pfs/out/r', { input: { pfs: { repo: 'p', glob: '/' } } })
      await bench.pipeline('s', 'cat /pfs/q/* /pfs/r/* > /pfs/out/s', both(['q', 'q'], ['r', 'r']))
      await bench.put('other', { o: 'old,' })
      await bench.flush('other')
      const job = await failNext(bench, egress, { a: 'x,' })
      await bench.put('other', { o: 'new,' })
      await bench.flush('other')
      await bench.pipelines.retryEgress(job.id)
      egress.end((await egressing(bench, egress)).id, 'success')
      const { ok, branches } = await bench.flush('in')
      assert.equal(ok, true, JSON.stringify(branches))
      assert.deepEqual(await bench.files('s'), { s: 'x,new,x,' })
      const ended = async (pipeline: string) =>
        (await bench.pipelines.listJobs({ pipeline })).map(({ state }) => state).join()
      assert.equal(await ended('r'), 'success')
      assert.match(await ended('s'), /^success,/)
      assert.doesNotMatch(await ended('s'), /created|running/)
    } finally {
      await bench.close()
    }
  })

  it('is not retried for a pipeline that is gone, is stopped, or pushes elsewhere now', () =>
    failed(async ({ bench, job }) => {
      const refused = (message: RegExp) =>
        assert.rejects(bench.pipelines.retryEgress(job.id), { code: 'RetryRefused', message })
      await bench.pipelines.stop('p')
      await refused(/pipeline p is stopped: sluice pipeline start p/)
      await bench.pipelines.start('p')
      await bench.pipeline('p', script, { update: true })
      await refused(/pipeline p was updated and has no egress now/)
      await bench.pipelines.delete('q')
      await bench.pipelines.delete('p')
      await refused(/there is no pipeline p any more/)
      assert.equal((await bench.pipelines.getJob(job.id)).state, 'failure')
    }))

  it('is the only one: a job without egress, one that succeeded and one that runs have nothing to retry', () =>
    failed(async ({ bench, egress, job }) => {
      const [reader] = await bench.pipelines.listJobs({ pipeline: 'q' })
      await assert.rejects(bench.pipelines.retryEgress(reader!.id), { message: /its output was never to be pushed/ })
      await bench.pipelines.retryEgress(job.id)
      await assert.rejects(bench.pipelines.retryEgress(job.id), { message: /it is egressing, and its egress running/ })
      egress.end((await egressing(bench, egress)).id, 'success')
      await bench.flush('in')
      await assert.rejects(bench.pipelines.retryEgress(job.id), { message: /it has not failed, all is at the target/ })
      await assert.rejects(bench.pipelines.retryEgress('f'.repeat(32)), { code: 'JobNotFound' })
    }))

  it('is as it was where the retry comes to nothing, and goes on after a restart where it was made', () =>
    failed(async ({ bench, egress, job }) => {
      const requeue = egress.requeue
      egress.requeue = async () => {
        throw new Error('the disk went away')
      }
      await assert.rejects(bench.pipelines.retryEgress(job.id), /the disk went away/)
      assert.equal((await bench.pipelines.getJob(job.id)).state, 'failure')
      assert.deepEqual(await bench.versioning.derived.listOpen(), [])

      egress.requeue = requeue
      await bench.pipelines.stopEngine()
      await bench.pipelines.retryEgress(job.id)
      egress.end(job.id, 'success')
      await bench.pipelines.startEngine()
      assert.equal((await bench.flush('in')).ok, true)
      assert.deepEqual(await bench.files('q'), { a: 'x' })
    }))

  it('that was killed while it pushed can be retried as well', async () => {
    const egress = new ManualEgress()
    const bench = await Bench.open({ egress })
    try {
      await bench.repo('in')
      await bench.pipeline('p', script, more)
      await bench.put('in', { a: 'x' })
      await bench.versioning.seal(at('in'))
      const job = await egressing(bench, egress)
      await bench.pipelines.killJob(job.id)
      egress.end(job.id, 'failed', 'cancelled')
      assert.equal((await bench.pipelines.getJob(job.id)).state, 'killed')
      await bench.pipelines.retryEgress(job.id)
      egress.end((await egressing(bench, egress)).id, 'success')
      assert.equal((await bench.flush('in')).ok, true)
      assert.equal((await bench.pipelines.getJob(job.id)).state, 'success')
    } finally {
      await bench.close()
    }
  })
})
