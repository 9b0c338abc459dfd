import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { CommitJson, DatumJson, FileJson, JobJson, PipelineJson } from '../api/contract.ts'
import { openCli, type TestCli } from './testing/cli.ts'

let cli: TestCli
before(async () => {
  cli = await openCli()
})
after(() => cli.close())

describe('sluice repo create', () => {
  it('says of a long name what it costs, and makes the repo', async () => {
    const { code, err } = await cli.run(['repo', 'create', 'x'.repeat(55)])
    assert.equal(code, 0)
    assert.match(err, /more than 54 characters/)
    assert.doesNotMatch((await cli.run(['repo', 'create', 'y'.repeat(54)])).err, /characters/)
    await cli.ok('repo', 'delete', 'x'.repeat(55))
    await cli.ok('repo', 'delete', 'y'.repeat(54))
  })
})

describe('sluice repo delete', () => {
  it('takes a repo with commits only if that is said', async () => {
    await cli.ok('repo', 'create', 'kept')
    assert.equal((await cli.run(['file', 'put', 'kept@master:a'], { input: 'a' })).code, 0)
    const refused = await cli.run(['repo', 'delete', 'kept'])
    assert.equal(refused.code, 1)
    assert.match(refused.err, /--force/)
    await cli.ok('repo', 'inspect', 'kept')
    await cli.ok('repo', 'delete', 'kept', '--force')
    assert.equal((await cli.run(['repo', 'inspect', 'kept'])).code, 1)
  })
})

describe('sluice', () => {
  it('takes files through branches, commits and back', async () => {
    await cli.ok('repo', 'create', 'one', '-d', 'the first')
    await cli.ok('branch', 'create', 'one@master')
    const started = await cli.ok('commit', 'start', 'one@master', '-m', 'mine')
    const big = await cli.local('big.bin', randomBytes(3 * 1024 ** 2))
    await cli.ok('file', 'put', 'one@master:d/big.bin', '-f', big)
    const piped = await cli.run(['file', 'put', 'one@master:small.txt'], { input: 'hello' })
    assert.equal(piped.code, 0, piped.err)
    await cli.ok('commit', 'finish', 'one@master')

    const [commit] = await cli.json<CommitJson[]>('commit', 'list', 'one')
    assert.equal(commit?.files, 2)
    assert.equal(`${commit?.id}\n`, started)
    assert.equal(commit?.message, 'mine')
    const table = (await cli.ok('commit', 'list', 'one')).split('\n')
    assert.match(table[0]!, /^REPO {16}ID {33}PARENT {14}STARTED +DURATION +SIZE$/)
    assert.match(
      table[1]!,
      new RegExp(`^one {17}${commit?.id} {3}<none> {14}(Less than a|\\d+) seconds? ago .* 3 MiB$`),
    )

    const read = await cli.run(['file', 'get', 'one@master:d/big.bin'])
    assert.ok(read.bytes.equals(await readFile(big)))
    await cli.ok('file', 'get', 'one@master', '-r', '-o', join(cli.folder, 'out'))
    assert.equal(await readFile(join(cli.folder, 'out/small.txt'), 'utf8'), 'hello')
    assert.ok((await readFile(join(cli.folder, 'out/d/big.bin'))).equals(await readFile(big)))
    assert.deepEqual((await readdir(join(cli.folder, 'out'))).toSorted(), ['d', 'small.txt'])

    const list = await cli.ok('file', 'list', 'one@master')
    assert.match(list, /^d\/ {18}dir .*3 MiB$/m)
    assert.match(list, /^small.txt {11}file .*5 B$/m)
    assert.match(await cli.ok('file', 'list', 'one@master:small.txt'), /small.txt/)
    assert.equal((await cli.json<FileJson>('file', 'inspect', 'one@master:small.txt')).contentType, 'text/plain')
  })

  it('writes folders, and files under their own names', async () => {
    await cli.ok('branch', 'create', 'two@master')
    await mkdir(join(cli.folder, 'tree/sub'), { recursive: true })
    for (let index = 0; index < 20; index++) await cli.local(`tree/sub/${index}.txt`, String(index))
    await cli.local('tree/top.txt', 'top')
    const refused = await cli.run(['file', 'put', 'two@master', '-f', join(cli.folder, 'tree')])
    assert.equal(refused.code, 2)
    assert.match(refused.err, /give -r/)
    await cli.ok('file', 'put', 'two@master:in', '-r', '-f', join(cli.folder, 'tree'))
    await cli.ok('file', 'put', 'two@master', '-f', join(cli.folder, 'tree/top.txt'))
    await cli.ok('flush', 'two@master')
    const files = await cli.json<FileJson[]>('file', 'list', 'two@master', '-r')
    assert.equal(files.length, 22)
    assert.ok(files.some((file) => file.path === 'in/sub/7.txt'))
    await cli.ok('file', 'delete', 'two@master:top.txt')
    const again = await cli.run(['file', 'delete', 'two@master:top.txt'])
    assert.equal(again.code, 1)
    assert.match(again.err, /there was no file top.txt/)
  })

  it('compares and restores, also what was written a moment ago', async () => {
    await cli.ok('branch', 'create', 'three@master')
    const first = await cli.local('a.txt', 'good')
    await cli.ok('file', 'put', 'three@master', '-f', first)
    await cli.ok('flush', 'three@master')
    await cli.local('a.txt', 'not so good')
    await cli.ok('file', 'put', 'three@master', '-f', first)
    assert.equal(
      await cli.ok('diff', 'three@master^', 'three@master'),
      '~ a.txt  4 B → 11 B\n0 added, 0 deleted, 1 changed: +7 B\n',
    )
    assert.match(
      await cli.ok('restore', 'three@master^'),
      /^three@master is as it was at three@master\^ again: commit [0-9a-f]{32}/,
    )
    assert.equal(await cli.ok('file', 'get', 'three@master:a.txt'), 'good')
    assert.equal(await cli.ok('diff', 'three@master^^', 'three@master'), 'nothing changed\n')
    assert.match(await cli.ok('diff', 'three@master'), /~ a.txt {2}11 B → 4 B/)
  })

  it('runs a pipeline: flush waits and lists what came from the commit, and says where it came from', async () => {
    await cli.ok('branch', 'create', 'pics@master')
    await mkdir(join(cli.folder, 'code'), { recursive: true })
    await cli.local(
      'code/run.sh',
      'if [ -n "$SLUICE_PFS" ]; then cd "$SLUICE_PFS"; else cd /pfs; fi\nfor f in pics/*; do [ "$(cat $f)" = bad ] && { echo "$f is bad" >&2; exit 1; }; cp $f out/; echo "did $f"; done\n',
    )
    const spec = {
      pipeline: { name: 'edges' },
      transform: { cmd: ['sh', 'run.sh'] },
      input: { pfs: { repo: 'pics', glob: '/*' } },
      datum_tries: 1,
    }
    const file = await cli.local('code/pipeline.json', JSON.stringify(spec))
    assert.match(await cli.ok('pipeline', 'create', '-f', file), /pipeline edges created/)
    assert.equal((await cli.json<PipelineJson[]>('pipeline', 'list'))[0]?.name, 'edges')
    await cli.ok('commit', 'start', 'pics@master')
    for (const name of ['a', 'b']) await cli.run(['file', 'put', `pics@master:${name}`], { input: name })
    await cli.ok('commit', 'finish', 'pics@master')

    const flushed = await cli.run(['flush', 'pics@master', '--timeout', '2m'])
    assert.equal(flushed.code, 0, flushed.err)
    const input = await cli.json<CommitJson>('commit', 'inspect', 'pics@master')
    const output = await cli.json<CommitJson>('commit', 'inspect', 'edges@master')
    assert.match(flushed.out, /^REPO +ID +PARENT +STARTED +DURATION +SIZE\n/)
    assert.match(flushed.out, new RegExp(`^edges {15}${output.id} {3}`, 'm'))
    assert.match(flushed.err, new RegExp(`waiting for what follows from pics@${input.id}: edges`))
    assert.match(flushed.err, new RegExp(`edges@${output.id} finished`))

    assert.match(await cli.ok('provenance', 'edges@master'), new RegExp(`^pics +master +${input.id} +directly$`, 'm'))
    assert.match(await cli.ok('provenance', 'pics@master', '--down'), /^edges +master/m)
    const [job] = await cli.json<JobJson[]>('job', 'list', '--pipeline', 'edges')
    assert.equal(job?.state, 'success')
    assert.match(
      await cli.ok('provenance', 'edges@master:a'),
      new RegExp(`Job: +${job?.id}[^]*From: +pics@${input.id}:/?a`),
    )
    assert.match(await cli.ok('job', 'inspect', job!.id.slice(0, 8)), /Datums: +2: 2 run/)
    const datums = await cli.json<DatumJson[]>('datum', 'list', job!.id)
    assert.equal(datums.length, 2)
    assert.match(await cli.ok('datum', 'inspect', job!.id, datums[0]!.id), /State: +success/)
    assert.match(await cli.ok('logs', '--pipeline', 'edges'), /\] did pics\/a\n/)

    await cli.run(['file', 'put', 'pics@master:a'], { input: 'bad' })
    const failed = await cli.run(['flush', 'pics@master', '--timeout', '2m'])
    assert.equal(failed.code, 1)
    assert.match(failed.err, /edges@[0-9a-f]{32} failed: .+/)
    const [broken] = await cli.json<JobJson[]>('job', 'list', '-n', '1')
    assert.equal((await cli.run(['job', 'inspect', broken!.id, '--wait'])).code, 1)
    assert.match(await cli.ok('logs', '--job', broken!.id), /stderr: pics\/a is bad/)

    const undone = await cli.run(['restore', 'pics@master^'])
    assert.equal(undone.code, 0, undone.err)
    assert.equal((await cli.run(['flush', 'pics@master', '--timeout', '2m'])).code, 0)
    const [reused] = await cli.json<JobJson[]>('job', 'list', '-n', '1')
    assert.equal(reused?.datums.skipped, 2)
    assert.equal(reused?.datums.processed, 0)
    await cli.ok('pipeline', 'stop', 'edges')
    await cli.ok('pipeline', 'start', 'edges')
    await cli.ok('pipeline', 'inspect', 'edges')
    await cli.ok('pipeline', 'delete', 'edges')
  })

  it('keeps secrets, and reads the secret key from a pipe', async () => {
    const made = await cli.run(['secret', 'create', 'there', '--access-key', 'AK'], { input: 'canary-of-a-secret\n' })
    assert.equal(made.code, 0, made.err)
    const shown = (await cli.ok('secret', 'list')) + (await cli.ok('secret', 'inspect', 'there'))
    assert.match(shown, /there +s3 +AK/)
    assert.ok(!shown.includes('canary'))
    await cli.ok('secret', 'delete', 'there')
    assert.equal((await cli.run(['secret', 'create', 'there', '--access-key', 'AK'], { input: '' })).code, 1)
  })
})

describe('what goes wrong', () => {
  it('has exit code 2 and the usage when the command is not written as it should be', async () => {
    for (const words of [['nosuch'], ['flush'], ['commit', 'list', 'a', '-n', '0'], ['logs'], []]) {
      assert.equal((await cli.run(words)).code, 2, words.join(' '))
    }
    assert.equal((await cli.run(['--help'])).code, 0)
  })

  it('has exit code 1 and one clear line when the server refuses', async () => {
    const missing = await cli.run(['commit', 'list', 'none'])
    assert.equal(missing.code, 1)
    assert.match(missing.err, /^sluice: there is no repo none; `sluice repo list`.*\n$/)
    assert.equal((await cli.run(['commit', 'list', 'one@none'])).code, 1)
    const wrong = await cli.run(['repo', 'list'], { env: { AWS_ACCESS_KEY_ID: 'X', AWS_SECRET_ACCESS_KEY: 'Y' } })
    assert.equal(wrong.code, 1)
    assert.match(wrong.err, /eval "\$\(npx sluice env\)"/)
  })

  it('says where it looked when no server answers', async () => {
    const { code, err } = await cli.run(['repo', 'list'], { env: { SLUICE_API_URL: 'http://127.0.0.1:1' } })
    assert.equal(code, 1)
    assert.match(err, /no Sluice server at http:\/\/127\.0\.0\.1:1 .*npm start/)
  })

  it('leaves no half file behind', async () => {
    const target = join(cli.folder, 'half.txt')
    const { code } = await cli.run(['file', 'get', 'none@master:a', '-o', target])
    assert.equal(code, 1)
    assert.deepEqual(
      (await readdir(cli.folder)).filter((name) => name.startsWith('half')),
      [],
    )
  })

  it('shows the version, and that the server is not reached', async () => {
    assert.match(await cli.ok('version'), /^sluice \d+\.\d+\.\d+\nserver 9\.9\.9 at http/)
    const { code, out } = await cli.run(['version'], { env: { SLUICE_API_URL: 'http://127.0.0.1:1' } })
    assert.equal(code, 0)
    assert.match(out, /server: not reached/)
  })
})
