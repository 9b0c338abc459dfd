import assert from 'node:assert/strict'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import type { EgressJson, JobEgressJson } from '../api/contract.ts'
import { readCliConfig } from '../kernel/index.ts'
import { describeProgress, ProgressLine } from './egress-progress.ts'
import { runCommand } from './run.ts'
import { openCli, type TestCli } from './testing/cli.ts'

const egress: JobEgressJson = {
  id: 'a'.repeat(32),
  url: 's3://bucket/dir',
  state: 'running',
  filesTotal: 2000,
  filesDone: 340,
  filesSkipped: 100,
  filesDeleted: 0,
  bytesTotal: 9 * 2 ** 30,
  bytesDone: 1.5 * 2 ** 30,
  attempts: 1,
  started: null,
  finished: null,
  bytesPerSecond: 45 * 2 ** 20,
  secondsLeft: 130,
}

describe('the progress of an egress, as it is shown', () => {
  it('says files, bytes, how fast they go and how long that takes', () => {
    assert.equal(describeProgress(egress), '340 of 1900 file(s), 1.5 GiB of 9 GiB, 100 unchanged, 45 MiB/s, 2m10s left')
    assert.equal(describeProgress({ ...egress, state: 'waiting' }), 'waits for its turn')
    assert.equal(describeProgress({ ...egress, filesTotal: 0 }), 'looks at what there is to do')
  })

  it('is drawn on terminals only, in one line that fits', () => {
    for (const isTTY of [true, false]) {
      const stream = Object.assign(new PassThrough(), { isTTY, columns: 40 })
      const line = new ProgressLine(stream)
      line.show({ ...egress, repo: 'edges', commit: 'c' } as EgressJson)
      line.end()
      const drawn = String(stream.read() ?? '')
      if (!isTTY) assert.equal(drawn, '')
      else {
        const [first = ''] = drawn.slice(1).split('\x1b', 1)
        assert.ok(first.length <= 39 && first.endsWith('2m10s left'), drawn)
      }
    }
  })
})

describe('sluice egress', () => {
  let cli: TestCli
  before(async () => {
    cli = await openCli()
    await cli.ok('repo', 'create', 'images')
    await cli.run(['file', 'put', 'images@master:a'], { input: 'x' })
    await cli.ok('flush', 'images@master')
    await cli.run(['secret', 'create', 'results', '--access-key', 'id', '--secret-key', '-'], { input: 'secret part' })
  })
  after(() => cli.close())

  const run = (...words: string[]) =>
    cli.json<EgressJson>(
      'egress',
      'run',
      'images@master',
      's3://bucket/dir',
      '--secret',
      'results',
      '--detach',
      ...words,
    )

  it('run hands its settings on as a specification would, and refuses what is none', async () => {
    assert.deepEqual((await run()).settings, { layout: 'plain', manifests: [], success: false })
    const words = '--layout commit --keep 3 --manifest --manifest m/all.json --success --parallel 2 --bandwidth 50MB'
    assert.deepEqual((await run(...words.split(' '))).settings, {
      layout: 'commit',
      keep: 3,
      manifests: [{ path: 'manifest.json' }, { path: 'm/all.json' }],
      success: true,
      parallel: 2,
      bandwidth: 50_000_000,
    })
    assert.equal((await run('--bandwidth', '100000')).settings.bandwidth, 100_000)
    for (const [wrong, message] of [
      [['images', 's3://bucket'], /names no branch or commit/],
      [['images@master', 's3://bucket', '--layout', 'both', '--secret', 'results'], /egress\.layout is "plain"/],
      [['images@master', 'ftp://bucket', '--secret', 'results'], /ftp/],
    ] as const) {
      const { code, err } = await cli.run(['egress', 'run', ...wrong])
      assert.notEqual(code, 0)
      assert.match(err, message)
    }
  })

  it('list and inspect show it; inspect says how to go on with one that failed', async () => {
    const { id } = await run()
    const list = await cli.ok('egress', 'list', '--repo', 'images', '--state', 'waiting', '-n', '1')
    assert.match(list, new RegExp(`${id} +images@[0-9a-f]{12} +s3://bucket/dir .*waits for its turn +waiting`))
    assert.match(await cli.ok('egress', 'inspect', id), /Asked by: +root\nState: +waiting/)
    await cli.ok('egress', 'cancel', id)
    const { code, out } = await cli.run(['egress', 'inspect', id.slice(0, 8)])
    assert.equal(code, 1)
    assert.match(out, new RegExp(`Reason: +cancelled\\nGo on: +sluice egress retry ${id}`))
    assert.equal((await cli.ok('egress', 'retry', id, '--detach')).trim(), id)
  })

  it('run leaves it running when it is interrupted, and says how to end it', async () => {
    const interrupt = new AbortController()
    const [stdout, stderr] = [new PassThrough(), new PassThrough()]
    const said = text(stderr)
    stderr.on('data', (piece: Buffer) => {
      if (piece.includes('to s3://bucket/dir')) setTimeout(() => interrupt.abort(), 50)
    })
    const code = await runCommand(['egress', 'run', 'images@master', 's3://bucket/dir', '--secret', 'results'], {
      config: readCliConfig(cli.environment(), cli.folder),
      stdin: Readable.from([]),
      stdout,
      stderr,
      signal: interrupt.signal,
      now: Date.now,
    })
    stderr.end()
    const [, id] = /interrupted; egress ([0-9a-f]{32}) goes on: .*sluice egress cancel/.exec(await said) ?? []
    assert.ok(id)
    assert.equal(code, 1)
    assert.equal((await cli.json<EgressJson>('egress', 'inspect', id)).state, 'waiting')
  })
})
