import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Bench } from '../testing/harness.ts'

/** Copies each file of the datum to /pfs/out, in capitals. */
const shout = 'for f in /pfs/in/*; do tr a-z A-Z < "$f" > "/pfs/out/$(basename "$f")"; done'
const datums = (total: number, processed: number, skipped: number, failed = 0, recovered = 0) => ({
  total,
  processed,
  skipped,
  failed,
  recovered,
})

/** A test on a store of its own, which has the repo `in`. */
function promises(what: string, check: (bench: Bench) => Promise<void>): void {
  it(what, async () => {
    const bench = await Bench.open()
    try {
      await bench.repo('in')
      await check(bench)
    } finally {
      await bench.close()
    }
  })
}

// They wait for disks and child processes more than they compute.
describe('pipelines', { concurrency: 4 }, () => {
  promises('runs each datum, and exactly one more when one file is added', async (bench) => {
    await bench.pipeline('p', shout)
    await bench.put('in', { a: 'one', b: 'two' })
    assert.equal((await bench.flush('in')).ok, true)
    assert.deepEqual(await bench.files('p'), { a: 'ONE', b: 'TWO' })
    assert.deepEqual((await bench.lastJob('p')).datums, datums(2, 2, 0))

    await bench.put('in', { c: 'three' })
    const flushed = await bench.flush('in')
    assert.deepEqual(await bench.files('p'), { a: 'ONE', b: 'TWO', c: 'THREE' })
    const job = await bench.lastJob('p')
    assert.equal(job.state, 'success')
    assert.deepEqual(job.datums, datums(3, 1, 2))
    assert.deepEqual(job.inputs, [flushed.root])
    const all = await bench.pipelines.listDatums(job.id)
    const ran = all.filter(({ state }) => state === 'success')
    assert.deepEqual(
      ran.map(({ why, exitCode, attempts, bytesIn, bytesOut }) => ({ why, exitCode, attempts, bytesIn, bytesOut })),
      [{ why: 'input in:/c is new', exitCode: 0, attempts: 1, bytesIn: 5, bytesOut: 5 }],
    )
    assert.deepEqual(ran[0]!.inputs, [`in@${flushed.root.commit}:/c`])
    assert.ok(
      all.filter(({ state }) => state === 'skipped').every(({ why }) => /^reused from job [0-9a-f]{32}$/.test(why)),
    )
  })

  promises('names job and datum on each result, those of the run that made it', async (bench) => {
    await bench.pipeline('p', shout)
    await bench.put('in', { a: 'one' })
    await bench.flush('in')
    const first = await bench.lastJob('p')
    await bench.put('in', { b: 'two' })
    await bench.flush('in')
    const [datum] = await bench.pipelines.listDatums(first.id)
    const entry = await bench.versioning.stat(
      { kind: 'branch', repo: 'p' as never, branch: 'master' as never },
      'a' as never,
    )
    assert.deepEqual(entry.origin, { job: first.id, datum: datum!.id })
  })

  promises('runs what changed, drops what is gone, and says why', async (bench) => {
    await bench.pipeline('p', shout)
    await bench.put('in', { a: 'one', b: 'two', c: 'three' })
    await bench.flush('in')
    await bench.put('in', { a: 'changed', b: null })
    await bench.flush('in')
    assert.deepEqual(await bench.files('p'), { a: 'CHANGED', c: 'THREE' })
    const job = await bench.lastJob('p')
    assert.deepEqual(job.datums, datums(2, 1, 1))
    const ran = (await bench.pipelines.listDatums(job.id)).find(({ state }) => state === 'success')
    assert.equal(ran?.why, 'input in:/a changed')
  })

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

  promises(
    'fails a job whose datum fails, by name and cause, keeps the last good results, and stays able',
    async (bench) => {
      await bench.pipeline('p', `grep -q bad /pfs/in/* && { echo "can't read $in" >&2; exit 3; }\n${shout}`, {
        datum_tries: 2,
      })
      await bench.put('in', { a: 'good' })
      await bench.flush('in')
      await bench.put('in', { b: 'bad' })
      const flushed = await bench.flush('in')
      assert.equal(flushed.ok, false)
      assert.equal(flushed.branches['p']?.verdict, 'failed')
      assert.match(
        flushed.branches['p']?.reason ?? '',
        /datum [0-9a-f]{32} \(in:\/b\) failed after 2 tries: exit code 3: can't read \/pfs\/in\/b/,
      )
      assert.deepEqual(await bench.files('p'), { a: 'GOOD' })
      const job = await bench.lastJob('p')
      assert.equal(job.state, 'failure')
      assert.deepEqual(job.datums, datums(2, 0, 1, 1))
      const failed = (await bench.pipelines.listDatums(job.id)).find(({ state }) => state === 'failed')
      assert.deepEqual([failed?.attempts, failed?.exitCode], [2, 3])
      assert.match(
        await bench.logText({ job: job.id, datum: failed!.id }),
        /stderr can't read \/pfs\/in\/b\nsystem try 1 of 2 failed: .*\nstderr/,
      )
      await bench.put('in', { b: 'fine' })
      assert.equal((await bench.flush('in')).ok, true)
      assert.deepEqual(await bench.files('p'), { a: 'GOOD', b: 'FINE' })
    },
  )

  promises('makes one output commit of each of the four pipelines of a diamond', async (bench) => {
    await bench.pipeline('top', shout)
    await bench.pipeline('left', 'echo left $(cat /pfs/top/*) > /pfs/out/l', {
      input: { pfs: { repo: 'top', glob: '/' } },
    })
    await bench.pipeline('right', 'echo right $(cat /pfs/top/*) > /pfs/out/r', {
      input: { pfs: { repo: 'top', glob: '/' } },
    })
    await bench.pipeline('bottom', 'cat /pfs/left/l /pfs/right/r > /pfs/out/both', {
      input: { cross: [{ pfs: { repo: 'left', glob: '/' } }, { pfs: { repo: 'right', glob: '/' } }] },
    })
    await bench.put('in', { a: 'x' })
    const flushed = await bench.flush('in')
    assert.deepEqual(Object.keys(flushed.branches).sort(), ['bottom', 'left', 'right', 'top'])
    assert.equal(flushed.ok, true)
    assert.deepEqual(await bench.files('bottom'), { both: 'left X\nright X\n' })
    for (const pipeline of ['top', 'left', 'right', 'bottom']) {
      assert.equal((await bench.pipelines.listJobs({ pipeline })).length, 1, pipeline)
    }
  })

  promises(
    'makes everything downstream of a failure unrunnable at once, and says what it waits for no more',
    async (bench) => {
      await bench.pipeline('one', 'exit 1', { datum_tries: 1 })
      await bench.pipeline('two', shout, { input: { pfs: { repo: 'one', name: 'in', glob: '/*' } } })
      await bench.pipeline('three', shout, { input: { pfs: { repo: 'two', name: 'in', glob: '/*' } } })
      await bench.put('in', { a: 'x' })
      const { branches } = await bench.flush('in')
      assert.equal(branches['one']?.verdict, 'failed')
      assert.equal(branches['two']?.verdict, 'unrunnable')
      assert.equal(branches['three']?.verdict, 'unrunnable')
      for (const pipeline of ['two', 'three']) {
        const job = await bench.ended(pipeline)
        assert.equal(job.state, 'unrunnable')
        assert.match(job.reason ?? '', /one@[0-9a-f]{32} failed: datum/)
      }
    },
  )

  promises('fails when two datums write one path, and names path and datums', async (bench) => {
    await bench.pipeline('p', 'cp /pfs/in/* /pfs/out/same')
    await bench.put('in', { a: 'one', b: 'two' })
    const { branches } = await bench.flush('in')
    const job = await bench.lastJob('p')
    const [a, b] = await bench.pipelines.listDatums(job.id)
    const reason = branches['p']?.reason ?? ''
    assert.match(reason, /\/same is written by datum/)
    assert.ok(reason.includes(a!.id) && reason.includes(b!.id), reason)
  })

  promises('fails a link out of /pfs/out by its name', async (bench) => {
    await bench.pipeline('p', 'ln -s /etc/passwd /pfs/out/leak', { datum_tries: 1 })
    await bench.put('in', { a: 'x' })
    assert.match(
      (await bench.flush('in')).branches['p']?.reason ?? '',
      /\/pfs\/out\/leak can't be a result: it is a link that leads out/,
    )
  })

  promises(
    'fails a cmd that does not exist by its name, and warns of it when the pipeline is created',
    async (bench) => {
      const { notes } = await bench.pipeline('p', '', { transform: { cmd: ['no-such-program', 'x'] } })
      assert.ok(
        notes.some((note) => /jobs will fail.*"no-such-program" does not exist/.test(note)),
        notes.join('\n'),
      )
      await bench.put('in', { a: 'x' })
      assert.match(
        (await bench.flush('in')).branches['p']?.reason ?? '',
        /cmd "no-such-program" does not exist: it is in none of/,
      )
    },
  )

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

  promises('recovers a datum by err_cmd, without results of it, and tries it again in the next job', async (bench) => {
    await bench.pipeline('p', `grep -q bad /pfs/in/* && exit 1\n${shout}`, {
      datum_tries: 2,
      transform: { err_cmd: ['sh', '-c', 'cat; test -f "$in"'], err_stdin: ['handled'] },
    })
    await bench.put('in', { a: 'bad', b: 'good' })
    assert.equal((await bench.flush('in')).ok, true)
    assert.deepEqual(await bench.files('p'), { b: 'GOOD' })
    const job = await bench.lastJob('p')
    assert.deepEqual(job.datums, datums(2, 1, 0, 0, 1))
    assert.match(await bench.logText({ job: job.id }), /err_cmd runs\nstdout handled/)
    await bench.put('in', { c: 'more' })
    await bench.flush('in')
    assert.deepEqual((await bench.lastJob('p')).datums, datums(3, 1, 1, 0, 1))
  })

  promises('takes accepted exit codes as success, and hands over stdin and env', async (bench) => {
    await bench.pipeline('p', '', {
      transform: {
        cmd: ['sh'],
        stdin: [
          'echo "$GREETING $in $in_COMMIT $PACH_JOB_ID $SLUICE_DATUM_ID $PACH_OUTPUT_COMMIT_ID" > /pfs/out/env',
          'exit 9',
        ],
        env: { GREETING: 'hello' },
        accept_return_code: [9],
      },
    })
    await bench.put('in', { a: 'x' })
    const { ok, root, branches } = await bench.flush('in')
    assert.equal(ok, true)
    const job = await bench.lastJob('p')
    const [datum] = await bench.pipelines.listDatums(job.id)
    assert.equal(
      (await bench.files('p'))['env'],
      `hello /pfs/in/a ${root.commit} ${job.id} ${datum!.id} ${branches['p']!.commit}\n`,
    )
    assert.equal(datum!.exitCode, 9)
  })

  promises('finishes with an empty tree when no file matches, and hides markers from datums', async (bench) => {
    await bench.pipeline('p', shout)
    await bench.put('in', { 'folder/': '' })
    assert.equal((await bench.flush('in')).ok, true)
    assert.deepEqual(await bench.files('p'), {})
    assert.deepEqual((await bench.lastJob('p')).datums, datums(0, 0, 0))
  })

  promises('lays folders out as they are, and refuses keys that can not be files', async (bench) => {
    await bench.pipeline('p', 'cd /pfs/in; find . -type f | sort > /pfs/out/list', {
      input: { pfs: { repo: 'in', glob: '/' } },
    })
    await bench.put('in', { 'a/b/c': '1', 'a/d': '2', e: '3' })
    await bench.flush('in')
    assert.equal((await bench.files('p'))['list'], './a/b/c\n./a/d\n./e\n')
    for (const [key, pattern] of [
      ['../../../x', /holds the key "\.\.\/\.\.\/\.\.\/x".*segment "\.\."/],
      ['a//b', /segment ""/],
      ['e/f', /holds both a file and files below it/],
    ] as const) {
      await bench.put('in', { [key]: 'x' })
      assert.match((await bench.flush('in')).branches['p']?.reason ?? '', pattern)
      await bench.put('in', { [key]: null })
    }
  })

  promises('crosses two repos', async (bench) => {
    await bench.repo('other')
    await bench.pipeline('p', 'cat "$in" "$other" > "/pfs/out/$(basename "$in")$(basename "$other")"', {
      input: { cross: [{ pfs: { repo: 'in', glob: '/*' } }, { pfs: { repo: 'other', glob: '/*' } }] },
    })
    await bench.put('other', { '1': 'x', '2': 'y' })
    await bench.flush('other')
    await bench.put('in', { a: 'A', b: 'B' })
    await bench.flush('in')
    assert.deepEqual(await bench.files('p'), { a1: 'Ax', a2: 'Ay', b1: 'Bx', b2: 'By' })
    await bench.put('other', { '2': 'z' })
    await bench.flush('other')
    assert.deepEqual(await bench.files('p'), { a1: 'Ax', a2: 'Az', b1: 'Bx', b2: 'Bz' })
    assert.deepEqual((await bench.lastJob('p')).datums, datums(4, 2, 2))
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
