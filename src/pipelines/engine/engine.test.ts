import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { describe } from 'node:test'
import { datums, promises, shout } from '../testing/promises.ts'

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

  promises('hands over large files whole, also one that many datums share, and takes large results', async (bench) => {
    await bench.repo('model')
    const model = randomBytes(3 * 1024 * 1024 + 5)
    await bench.put('model', { weights: model })
    await bench.flush('model')
    await bench.pipeline(
      'p',
      'sha256sum < /pfs/model/weights > "/pfs/out/$(basename "$in").sum"; cat "$in" /pfs/model/weights > "/pfs/out/$(basename "$in")"',
      {
        input: { cross: [{ pfs: { repo: 'in', glob: '/*' } }, { pfs: { repo: 'model', glob: '/' } }] },
      },
    )
    await bench.put('in', { a: 'A', b: randomBytes(2 * 1024 * 1024) })
    assert.equal((await bench.flush('in')).ok, true)
    const sum = createHash('sha256').update(model).digest('hex')
    const target = { kind: 'branch', repo: 'p', branch: 'master' } as never
    for (const name of ['a.sum', 'b.sum']) {
      const { content } = await bench.versioning.stat(target, name as never)
      assert.equal((await bench.versioning.content.readBytes(content)).toString(), `${sum}  -\n`)
    }
    const { content, size, etag } = await bench.versioning.stat(target, 'a' as never)
    const bytes = Buffer.concat([Buffer.from('A'), model])
    assert.equal(size, bytes.length)
    assert.equal(etag, createHash('md5').update(bytes).digest('hex'))
    assert.ok((await buffer(bench.versioning.content.read(content))).equals(bytes))
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
})
