import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, it } from 'node:test'
import { InvalidInput } from '../../kernel/index.ts'
import { at, Bench, noEgress } from '../testing/harness.ts'
import { ManualEgress } from '../testing/manual-egress.ts'

/** What that process does: it runs jobs, and says how far it is. */
const script = `
  import { Bench } from ${JSON.stringify(import.meta.resolve('../testing/harness.ts'))}
  const bench = await Bench.open({ folder: process.argv[1] })
  setInterval(async () => {
    const [job] = await bench.pipelines.listJobs({ pipeline: 'p' })
    console.log(JSON.stringify({ state: job?.state, processed: job?.datums.processed }))
  }, 20)`

/** Runs the engine in another process and kills that process when `enough` holds. */
async function runAndKill(
  folder: string,
  enough: (progress: { state?: string; processed?: number }) => boolean,
): Promise<void> {
  const child: ChildProcess = spawn(process.execPath, ['--eval', script, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface({ input: child.stdout! })) {
    const progress = JSON.parse(line) as { state?: string; processed?: number }
    if (progress.state === 'failure') assert.fail('the job failed before its process was killed')
    if (!enough(progress)) continue
    child.kill('SIGKILL')
    break
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

describe('a crash', () => {
  it('does not lose a job, nor runs again what had succeeded, nor leaves scratch behind', async () => {
    const prepared = await Bench.open({ start: false })
    await prepared.repo('in')
    await prepared.pipeline('p', 'echo ran; sleep 0.4; cp /pfs/in/* /pfs/out/')
    const names = ['a', 'b', 'c', 'd', 'e', 'f']
    await prepared.put('in', Object.fromEntries(names.map((name) => [name, name])))
    await prepared.versioning.seal(at('in'))
    await prepared.until(
      async () => (await prepared.versioning.derived.listOpen())[0]?.inputs[0]?.state === 'finished' || undefined,
    )
    await prepared.close({ keep: true })

    await runAndKill(prepared.folder, ({ processed = 0 }) => processed >= 2)

    const bench = await Bench.open({ folder: prepared.folder, start: false })
    try {
      const [before] = await bench.pipelines.listJobs({ pipeline: 'p' })
      assert.equal(before?.state, 'running')
      const kept = (await bench.pipelines.listDatums(before.id))
        .filter(({ state }) => state === 'success')
        .map(({ id }) => id)
      assert.ok(kept.length >= 2 && kept.length < names.length, `${kept.length} datums had succeeded`)
      await bench.pipelines.startEngine()
      const job = await bench.ended('p')
      assert.deepEqual([job.id, job.state, job.restarts], [before.id, 'success', 1])
      assert.deepEqual(job.datums, { total: 6, processed: 6, skipped: 0, failed: 0, recovered: 0 })
      assert.deepEqual(await bench.files('p'), Object.fromEntries(names.map((name) => [name, name])))
      for (const datum of kept) assert.equal(await bench.logText({ job: job.id, datum }), 'stdout ran\n')
      assert.deepEqual(await readdir(join(bench.folder, 'data', 'scratch')), [])
    } finally {
      await bench.close()
    }
  })

  it('is what stopping is, only sooner: a stopped engine takes its job up again', async () => {
    const first = await Bench.open()
    await first.repo('in')
    await first.pipeline('p', 'sleep 0.5; cp /pfs/in/* /pfs/out/')
    await first.put('in', { a: 'x' })
    await first.versioning.seal(at('in'))
    const job = await first.until(async () => {
      const [found] = await first.pipelines.listJobs({ pipeline: 'p' })
      return found?.state === 'running' ? found : undefined
    })
    await first.close({ keep: true })
    const second = await Bench.open({ folder: first.folder })
    try {
      const ended = await second.ended('p')
      assert.deepEqual([ended.id, ended.state], [job.id, 'success'])
    } finally {
      await second.close()
    }
  })
})

describe('egress of a job', () => {
  const script = 'echo ran; cp /pfs/in/* /pfs/out/'
  const more = { egress: { URL: 's3://bucket/dir' } }

  async function egressing(bench: Bench, egress: ManualEgress) {
    return bench.until(async () => {
      const [job] = await bench.pipelines.listJobs({ pipeline: 'p' })
      return job?.state === 'egressing' && egress.requests.some((request) => request.job === job.id) ? job : undefined
    })
  }

  it('comes after the user code and before the success, which waits for it', async () => {
    const egress = new ManualEgress()
    const bench = await Bench.open({ egress })
    try {
      await bench.repo('in')
      const { notes } = await bench.pipeline('p', script, more)
      assert.ok(notes.includes('egress goes to s3://bucket/dir'))
      await bench.put('in', { a: 'x' })
      const root = await bench.versioning.seal(at('in'))
      const job = await egressing(bench, egress)
      assert.equal(job.egress?.state, 'running')
      assert.deepEqual(
        egress.requests.map(({ pipeline, repo, url, secret, provenance }) => ({
          pipeline,
          repo,
          url,
          secret,
          provenance,
        })),
        [{ pipeline: 'p', repo: 'p', url: 's3://bucket/dir', secret: 'mine', provenance: [root] }],
      )
      assert.deepEqual(await bench.files('p'), {})
      egress.end(job.id, 'success')
      assert.equal((await bench.flush('in')).ok, true)
      assert.deepEqual(await bench.files('p'), { a: 'x' })
    } finally {
      await bench.close()
    }
  })

  it('fails the job with its reason', async () => {
    const egress = new ManualEgress()
    const bench = await Bench.open({ egress })
    try {
      await bench.repo('in')
      await bench.pipeline('p', script, more)
      await bench.put('in', { a: 'x' })
      await bench.versioning.seal(at('in'))
      egress.end((await egressing(bench, egress)).id, 'failed', 'access denied')
      assert.match(
        (await bench.flush('in')).branches['p']?.reason ?? '',
        /egress to s3:\/\/bucket\/dir failed: access denied/,
      )
    } finally {
      await bench.close()
    }
  })

  it('is cancelled with its job, and goes on after a restart without running user code again', async () => {
    const egress = new ManualEgress()
    const first = await Bench.open({ egress })
    await first.repo('in')
    await first.pipeline('p', script, more)
    await first.put('in', { a: 'x' })
    await first.versioning.seal(at('in'))
    const job = await egressing(first, egress)
    await first.close({ keep: true })
    const second = await Bench.open({ folder: first.folder, egress })
    try {
      egress.end(job.id, 'success')
      const ended = await second.ended('p')
      assert.deepEqual([ended.id, ended.state], [job.id, 'success'])
      assert.equal(await second.logText({ job: job.id }), 'stdout ran\n')
      assert.equal(egress.requests.length, 1)

      await second.put('in', { b: 'y' })
      await second.versioning.seal(at('in'))
      const next = await second.until(async () => {
        const [found] = await second.pipelines.listJobs({ pipeline: 'p' })
        return found?.state === 'egressing' && found.id !== job.id ? found : undefined
      })
      assert.equal((await second.pipelines.killJob(next.id)).state, 'killed')
      assert.deepEqual(egress.cancelled, [next.id])
      await second.pipelines.delete('p')
      assert.deepEqual(egress.released, ['p'])
    } finally {
      await second.close()
    }
  })

  it('is refused at once where its target can not be used', async () => {
    const bench = await Bench.open({
      egress: {
        ...noEgress,
        check: async () => {
          throw new InvalidInput('gs:// comes in a later release')
        },
      },
    })
    try {
      await bench.repo('in')
      await assert.rejects(bench.pipeline('p', script, more), {
        code: 'InvalidSpec',
        message: /`egress`: gs:\/\/ comes in a later release/,
      })
    } finally {
      await bench.close()
    }
  })
})
