import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough, Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import type { EgressJson, JobEgressJson } from '../api/contract.ts'
import { readCliConfig } from '../kernel/index.ts'
import { describeProgress, describeTrying, ProgressLine } from './egress-progress.ts'
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

  it('says what is tried again, how often, and for how long nothing has succeeded', () => {
    const said = (times: number, nowMs: number) =>
      describeTrying({ ...egress, trying: { reason: 'no answer', times, since: '1970-01-01T00:00:00.000Z' } }, nowMs)
    assert.equal(said(4, 12_300), 'no answer (4th time, for 12s)')
    assert.equal(said(1, -5), 'no answer (1st time, for 0s)')
    assert.deepEqual(
      [2, 3, 11, 12, 13].map((times) => /\((\S+) time/.exec(said(times, 0)!)?.[1]),
      ['2nd', '3rd', '11th', '12th', '13th'],
    )
    assert.equal(describeTrying(egress, 0), undefined)
    const terminal = Object.assign(new PassThrough(), { isTTY: true, columns: 200 })
    const trying = { reason: 'no answer', times: 2, since: '1970-01-01T00:00:00.000Z' }
    new ProgressLine(terminal).show({ ...egress, repo: 'edges', commit: 'c', trying } as EgressJson, 0)
    assert.match(String(terminal.read()), /left, trying again: no answer \(2nd time, for 0s\)/)
  })

  it('is drawn on terminals only, in one line that fits', () => {
    for (const isTTY of [true, false]) {
      const stream = Object.assign(new PassThrough(), { isTTY, columns: 40 })
      const line = new ProgressLine(stream)
      line.show({ ...egress, repo: 'edges', commit: 'c' } as EgressJson, 0)
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
    const folders = await run(...words.split(' '))
    assert.deepEqual(folders.settings, {
      layout: 'commit',
      keep: 3,
      manifests: [{ path: 'manifest.json' }, { path: 'm/all.json' }],
      success: true,
      parallel: 2,
      bandwidth: 50_000_000,
    })
    const again = await cli.run(['egress', 'run', 'images@master', 's3://bucket/dir', '--secret', 'results'])
    assert.match(again.err, /egress\.layout \(--layout\) is missing.*--layout commit .*--layout plain /)
    await cli.ok('egress', 'cancel', folders.id)
    assert.equal((await run('--bandwidth', '100000')).settings.bandwidth, 100_000)
    for (const [wrong, message] of [
      [['images', 's3://bucket'], /names no branch or commit/],
      [
        ['images@master', 's3://bucket', '--layout', 'both', '--secret', 'results'],
        /egress\.layout \(--layout\) is "plain"/,
      ],
      [['images@master', 's3://bucket'], /egress\.secret \(--secret\) is missing: /],
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

  it('refuses an empty id, as an unset variable gives, instead of asking for something else', async () => {
    for (const words of [['inspect'], ['retry'], ['cancel'], ['verify']]) {
      const { code, err } = await cli.run(['egress', ...words, ''])
      assert.deepEqual([code, err.includes('a name or id is empty')], [2, true])
    }
  })

  it('list, inspect and job inspect say what a push tries again', async () => {
    const reason = '127.0.0.1:9000 refused the connection'
    const trying = { reason, times: 4, since: new Date().toISOString() }
    const settings = { layout: 'plain', manifests: [], success: false }
    const item = { ...egress, repo: 'images', commit: 'c'.repeat(32), settings, created: null, trying }
    const datums = { total: 0, processed: 0, skipped: 0, failed: 0, recovered: 0 }
    const job = {
      id: item.id,
      pipeline: 'edges',
      state: 'egressing',
      inputs: [],
      created: trying.since,
      datums,
      egress: item,
    }
    const server = createServer(({ url = '' }, response) => {
      const answer = url.includes('/jobs/')
        ? { started: null, finished: null, ...job }
        : url.includes('?')
          ? [item]
          : item
      response.end(`${JSON.stringify(answer)}\n`)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    try {
      const env = { SLUICE_API_URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
      const said = async (...words: string[]) => (await cli.run(words, { env })).out
      const line = /Trying again: +127\.0\.0\.1:9000 refused the connection \(4th time, for \d+s\)\n/
      assert.match(await said('egress', 'inspect', item.id), line)
      assert.match(await said('job', 'inspect', item.id), line)
      assert.match(await said('egress', 'list'), /running: trying again: 127\.0\.0\.1:9000 refused the connection/)
      assert.deepEqual(JSON.parse(await said('egress', 'list', '--json'))[0].trying, trying)
    } finally {
      server.close()
    }
  })

  it('verify says when another commit was pushed there since: what that has put there is compared', async () => {
    const item = { ...egress, repo: 'images', url: 's3://bucket/dir' }
    const [later, own] = [
      { ...item, id: 'b'.repeat(32), commit: 'f'.repeat(32) },
      { ...item, commit: 'c'.repeat(32) },
    ]
    const verified = { kind: 'verified', files: 0, bytes: 0, missing: 0, changed: 0, unsent: 0, foreign: 0, unread: 0 }
    let listed: readonly object[] = []
    const server = createServer(({ url = '' }, response) => {
      const answer = url.includes('/commits/') ? { id: own.commit } : url.endsWith('/verify') ? verified : listed
      response.end(`${JSON.stringify(answer)}\n`)
    })
    await once(server.listen(0, '127.0.0.1'), 'listening')
    try {
      const { port } = server.address() as AddressInfo
      const env = { SLUICE_API_URL: `http://127.0.0.1:${port}` }
      const said = async (found: readonly object[]) => {
        listed = found
        const { code, err } = await cli.run(['egress', 'verify', 'images@master', own.url], { env })
        assert.equal(code, 0, err)
        return err
      }
      assert.match(await said([later, own]), /^images@f{12} was pushed there since \(egress b{32}\)/)
      assert.equal(await said([{ ...later, attempts: 0 }, own]), '', 'one that waits has changed nothing')
      assert.equal(await said([own, later]), '')
    } finally {
      server.close()
    }
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
