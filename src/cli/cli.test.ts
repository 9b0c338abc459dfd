import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { CommitJson, DatumJson, FileJson, JobJson, PipelineJson, TransactionJson } from '../api/contract.ts'
import { openStack, type Stack } from '../api/testing/stack.ts'
import { readCliConfig } from '../kernel/index.ts'
import { runCommand } from './run.ts'

const launcher = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url))

let stack: Stack
let folder: string
before(async () => {
  stack = await openStack()
  folder = await mkdtemp(join(tmpdir(), 'sluice-cli-'))
})
after(async () => {
  await stack.close()
  await rm(folder, { recursive: true, force: true })
})

interface Outcome {
  readonly code: number | null
  readonly out: string
  readonly err: string
  readonly bytes: Buffer
}

interface Given {
  readonly input?: string | Buffer
  readonly env?: Readonly<Record<string, string>>
}

/** In a home of its own; the server is found by the data folder. */
const environment = (given: Given) => ({ HOME: folder, SLUICE_DATA: stack.folder, ...given.env })

/** Runs a command in this process: all but the launcher and the process itself is real. */
async function run(words: readonly string[], given: Given = {}): Promise<Outcome> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()]
  const written = Promise.all([buffer(stdout), buffer(stderr)])
  const code = await runCommand(words, {
    config: readCliConfig(environment(given), folder),
    stdin: Readable.from(given.input === undefined ? [] : [Buffer.from(given.input)]),
    stdout,
    stderr,
    signal: new AbortController().signal,
    now: Date.now,
  })
  stdout.end()
  stderr.end()
  const [bytes, err] = await written
  return { code, out: bytes.toString(), err: err.toString(), bytes }
}

/** Starts the launcher as a user does. */
function launch(words: readonly string[], given: Given = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const env = { PATH: process.env['PATH'] ?? '', ...environment(given) }
    const child = spawn(process.execPath, [launcher, ...words], { env, cwd: folder })
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (piece: Buffer) => out.push(piece))
    child.stderr.on('data', (piece: Buffer) => err.push(piece))
    // A command that does not read its input may close it first.
    child.stdin.on('error', () => {})
    child.on('error', reject)
    child.on('close', (code) => {
      const bytes = Buffer.concat(out)
      resolve({ code, out: bytes.toString(), err: Buffer.concat(err).toString(), bytes })
    })
    child.stdin.end(given.input)
  })
}

async function ok(...words: string[]): Promise<string> {
  const { code, out, err } = await run(words)
  assert.equal(code, 0, `sluice ${words.join(' ')}: ${err}`)
  return out
}

async function json<T>(...words: string[]): Promise<T> {
  return JSON.parse(await ok(...words, '--json')) as T
}

/** A local file with this content. */
async function local(name: string, content: string | Buffer): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, content)
  return path
}

describe('sluice transaction', () => {
  it('opens a bucket of its own, lists it, and makes one commit of it or none', async () => {
    await ok('repo', 'create', 'txs')
    const bucket = (await ok('transaction', 'start', 'txs@master', 'job', '-m', 'begun')).trim()
    assert.equal(bucket, 'tx-job.master.txs')
    const [open] = await json<TransactionJson[]>('transaction', 'list', 'txs@master')
    assert.deepEqual([open?.name, open?.changes, open?.message], ['job', 0, 'begun'])
    assert.match(await ok('commit', 'list', 'txs'), /open, held by the transaction tx-job\.master\.txs/)
    assert.match(await ok('commit', 'inspect', `txs@${open?.commit}`), /^Held by: +the transaction tx-job/m)
    assert.equal((await ok('transaction', 'finish', 'txs@master', 'tx-job', '-m', 'done')).trim(), open?.commit)
    await ok('transaction', 'start', 'txs@master', 'other')
    await ok('transaction', 'abort', 'txs@master', 'other')
    assert.deepEqual(await json('transaction', 'list', 'txs@master'), [])
    const gone = await run(['transaction', 'finish', 'txs@master', 'other'])
    assert.equal(gone.code, 1)
    assert.match(gone.err, /there is no transaction tx-other\.master\.txs/)
  })
})

describe('sluice branch batch', () => {
  it('shows when writes become a commit, sets what is named, and goes back', async () => {
    await ok('repo', 'create', 'batches')
    await ok('branch', 'batch', 'batches@master', '--idle', '1m30s', '--max-changes', '9')
    const after = await ok('branch', 'batch', 'batches@master', '--max-age', '2h')
    assert.match(after, /idle: +1m30s \(set\)\n.*old: +2h \(set\)\n.*large: +9 changes \(set\)/)
    assert.match(await ok('branch', 'inspect', 'batches@master'), /Commit when idle: +1m30s \(set\)/)
    const [first] =
      (await ok('branch', 'batch', 'batches@master', '--default', '--idle', '250ms')).match(/\(set\)/g) ?? []
    assert.equal(first, '(set)')
    assert.doesNotMatch(await ok('branch', 'batch', 'batches@master', '--default'), /\(set\)/)
    const wrong = await run(['branch', 'batch', 'batches@master', '--idle', 'soon'])
    assert.equal(wrong.code, 2)
  })
})

describe('sluice repo create', () => {
  it('says of a long name what it costs, and makes the repo', async () => {
    const { code, err } = await run(['repo', 'create', 'x'.repeat(55)])
    assert.equal(code, 0)
    assert.match(err, /more than 54 characters/)
    assert.doesNotMatch((await run(['repo', 'create', 'y'.repeat(54)])).err, /characters/)
    await ok('repo', 'delete', 'x'.repeat(55))
    await ok('repo', 'delete', 'y'.repeat(54))
  })
})

describe('sluice', () => {
  it('takes files through branches, commits and back', async () => {
    await ok('repo', 'create', 'one', '-d', 'the first')
    await ok('branch', 'create', 'one@master')
    const started = await ok('commit', 'start', 'one@master', '-m', 'mine')
    const big = await local('big.bin', randomBytes(3 * 1024 ** 2))
    await ok('file', 'put', 'one@master:d/big.bin', '-f', big)
    const piped = await run(['file', 'put', 'one@master:small.txt'], { input: 'hello' })
    assert.equal(piped.code, 0, piped.err)
    await ok('commit', 'finish', 'one@master')

    const [commit] = await json<CommitJson[]>('commit', 'list', 'one')
    assert.equal(commit?.files, 2)
    assert.equal(`${commit?.id}\n`, started)
    assert.equal(commit?.message, 'mine')
    const table = (await ok('commit', 'list', 'one')).split('\n')
    assert.match(table[0]!, /^REPO {16}ID {33}PARENT {14}STARTED +DURATION +SIZE$/)
    assert.match(
      table[1]!,
      new RegExp(`^one {17}${commit?.id} {3}<none> {14}(Less than a|\\d+) seconds? ago .* 3 MiB$`),
    )

    const read = await run(['file', 'get', 'one@master:d/big.bin'])
    assert.ok(read.bytes.equals(await readFile(big)))
    await ok('file', 'get', 'one@master', '-r', '-o', join(folder, 'out'))
    assert.equal(await readFile(join(folder, 'out/small.txt'), 'utf8'), 'hello')
    assert.ok((await readFile(join(folder, 'out/d/big.bin'))).equals(await readFile(big)))
    assert.deepEqual((await readdir(join(folder, 'out'))).toSorted(), ['d', 'small.txt'])

    const list = await ok('file', 'list', 'one@master')
    assert.match(list, /^d\/ {18}dir .*3 MiB$/m)
    assert.match(list, /^small.txt {11}file .*5 B$/m)
    assert.match(await ok('file', 'list', 'one@master:small.txt'), /small.txt/)
    assert.equal((await json<FileJson>('file', 'inspect', 'one@master:small.txt')).contentType, 'text/plain')
  })

  it('writes folders, and files under their own names', async () => {
    await ok('branch', 'create', 'two@master')
    await mkdir(join(folder, 'tree/sub'), { recursive: true })
    for (let index = 0; index < 20; index++) await local(`tree/sub/${index}.txt`, String(index))
    await local('tree/top.txt', 'top')
    const refused = await run(['file', 'put', 'two@master', '-f', join(folder, 'tree')])
    assert.equal(refused.code, 2)
    assert.match(refused.err, /give -r/)
    await ok('file', 'put', 'two@master:in', '-r', '-f', join(folder, 'tree'))
    await ok('file', 'put', 'two@master', '-f', join(folder, 'tree/top.txt'))
    await ok('flush', 'two@master')
    const files = await json<FileJson[]>('file', 'list', 'two@master', '-r')
    assert.equal(files.length, 22)
    assert.ok(files.some((file) => file.path === 'in/sub/7.txt'))
    await ok('file', 'delete', 'two@master:top.txt')
    const again = await run(['file', 'delete', 'two@master:top.txt'])
    assert.equal(again.code, 1)
    assert.match(again.err, /there was no file top.txt/)
  })

  it('compares and restores, also what was written a moment ago', async () => {
    await ok('branch', 'create', 'three@master')
    const first = await local('a.txt', 'good')
    await ok('file', 'put', 'three@master', '-f', first)
    await ok('flush', 'three@master')
    await local('a.txt', 'not so good')
    await ok('file', 'put', 'three@master', '-f', first)
    assert.equal(
      await ok('diff', 'three@master^', 'three@master'),
      '~ a.txt  4 B → 11 B\n0 added, 0 deleted, 1 changed: +7 B\n',
    )
    assert.match(
      await ok('restore', 'three@master^'),
      /^three@master is as it was at three@master\^ again: commit [0-9a-f]{32}/,
    )
    assert.equal(await ok('file', 'get', 'three@master:a.txt'), 'good')
    assert.equal(await ok('diff', 'three@master^^', 'three@master'), 'nothing changed\n')
    assert.match(await ok('diff', 'three@master'), /~ a.txt {2}11 B → 4 B/)
  })

  it('runs a pipeline: flush waits and lists what came from the commit, and says where it came from', async () => {
    await ok('branch', 'create', 'pics@master')
    await mkdir(join(folder, 'code'), { recursive: true })
    await local(
      'code/run.sh',
      'if [ -n "$SLUICE_PFS" ]; then cd "$SLUICE_PFS"; else cd /pfs; fi\nfor f in pics/*; do [ "$(cat $f)" = bad ] && { echo "$f is bad" >&2; exit 1; }; cp $f out/; echo "did $f"; done\n',
    )
    const spec = {
      pipeline: { name: 'edges' },
      transform: { cmd: ['sh', 'run.sh'] },
      input: { pfs: { repo: 'pics', glob: '/*' } },
      datum_tries: 1,
    }
    const file = await local('code/pipeline.json', JSON.stringify(spec))
    assert.match(await ok('pipeline', 'create', '-f', file), /pipeline edges created/)
    assert.equal((await json<PipelineJson[]>('pipeline', 'list'))[0]?.name, 'edges')
    await ok('commit', 'start', 'pics@master')
    for (const name of ['a', 'b']) await run(['file', 'put', `pics@master:${name}`], { input: name })
    await ok('commit', 'finish', 'pics@master')

    const flushed = await run(['flush', 'pics@master', '--timeout', '2m'])
    assert.equal(flushed.code, 0, flushed.err)
    const input = await json<CommitJson>('commit', 'inspect', 'pics@master')
    const output = await json<CommitJson>('commit', 'inspect', 'edges@master')
    assert.match(flushed.out, /^REPO +ID +PARENT +STARTED +DURATION +SIZE\n/)
    assert.match(flushed.out, new RegExp(`^edges {15}${output.id} {3}`, 'm'))
    assert.match(flushed.err, new RegExp(`waiting for what follows from pics@${input.id}: edges`))
    assert.match(flushed.err, new RegExp(`edges@${output.id} finished`))

    assert.match(await ok('provenance', 'edges@master'), new RegExp(`^pics +master +${input.id} +directly$`, 'm'))
    assert.match(await ok('provenance', 'pics@master', '--down'), /^edges +master/m)
    const [job] = await json<JobJson[]>('job', 'list', '--pipeline', 'edges')
    assert.equal(job?.state, 'success')
    assert.match(
      await ok('provenance', 'edges@master:a'),
      new RegExp(`Job: +${job?.id}[^]*From: +pics@${input.id}:/?a`),
    )
    assert.match(await ok('job', 'inspect', job!.id.slice(0, 8)), /Datums: +2: 2 run/)
    const datums = await json<DatumJson[]>('datum', 'list', job!.id)
    assert.equal(datums.length, 2)
    assert.match(await ok('datum', 'inspect', job!.id, datums[0]!.id), /State: +success/)
    assert.match(await ok('logs', '--pipeline', 'edges'), /\] did pics\/a\n/)

    await run(['file', 'put', 'pics@master:a'], { input: 'bad' })
    const failed = await run(['flush', 'pics@master', '--timeout', '2m'])
    assert.equal(failed.code, 1)
    assert.match(failed.err, /edges@[0-9a-f]{32} failed: .+/)
    const [broken] = await json<JobJson[]>('job', 'list', '-n', '1')
    assert.equal((await run(['job', 'inspect', broken!.id, '--wait'])).code, 1)
    assert.match(await ok('logs', '--job', broken!.id), /stderr: pics\/a is bad/)

    const undone = await run(['restore', 'pics@master^'])
    assert.equal(undone.code, 0, undone.err)
    assert.equal((await run(['flush', 'pics@master', '--timeout', '2m'])).code, 0)
    const [reused] = await json<JobJson[]>('job', 'list', '-n', '1')
    assert.equal(reused?.datums.skipped, 2)
    assert.equal(reused?.datums.processed, 0)
    await ok('pipeline', 'stop', 'edges')
    await ok('pipeline', 'start', 'edges')
    await ok('pipeline', 'inspect', 'edges')
    await ok('pipeline', 'delete', 'edges')
  })

  it('keeps secrets, and reads the secret key from a pipe', async () => {
    const made = await run(['secret', 'create', 'there', '--access-key', 'AK'], { input: 'canary-of-a-secret\n' })
    assert.equal(made.code, 0, made.err)
    const shown = (await ok('secret', 'list')) + (await ok('secret', 'inspect', 'there'))
    assert.match(shown, /there +AK/)
    assert.ok(!shown.includes('canary'))
    await ok('secret', 'delete', 'there')
    assert.equal((await run(['secret', 'create', 'there', '--access-key', 'AK'], { input: '' })).code, 1)
  })
})

describe('sluice env', () => {
  it("prints the root key and the server's addresses, for a shell", async () => {
    const out = await ok('env')
    assert.match(out, /^export AWS_ACCESS_KEY_ID=SLUICETEST$/m)
    assert.match(out, /^export AWS_ENDPOINT_URL=http:\/\/127\.0\.0\.1:9$/m)
    assert.match(out, /^export AWS_REGION=us-east-1$/m)
    assert.match(out, new RegExp(`^export SLUICE_API_URL=${stack.url}$`, 'm'))
  })

  it('needs no server, and says the defaults of one that is not running', async () => {
    const data = join(folder, 'stopped')
    await mkdir(data)
    const key = { accessKeyId: 'AK', secretAccessKey: "it's $ecret" }
    await writeFile(join(data, 'root-key.json'), JSON.stringify(key))
    const { code, out } = await run(['env'], { env: { SLUICE_DATA: data } })
    assert.equal(code, 0)
    assert.match(out, /AWS_ENDPOINT_URL=http:\/\/127\.0\.0\.1:30600$/m)
    assert.match(out, /AWS_SECRET_ACCESS_KEY='it'\\''s \$ecret'$/m)
    assert.ok(!out.includes('SLUICE_API_URL'))
  })

  it('writes a profile that commands then sign with', async () => {
    await ok('env', '--profile', 'mine')
    assert.equal((await stat(join(folder, '.aws/credentials'))).mode & 0o777, 0o600)
    // The data folder is hidden, so that the key can only be the profile's.
    const env = { AWS_PROFILE: 'mine', SLUICE_API_URL: stack.url, SLUICE_DATA: join(folder, 'none') }
    assert.equal((await run(['repo', 'list'], { env })).code, 0)
    const other = await run(['repo', 'list'], { env: { ...env, AWS_PROFILE: 'other' } })
    assert.equal(other.code, 1)
    assert.match(other.err, /AWS_PROFILE names the profile other/)
  })

  it('says what to do where there is no key, and prints nothing that a shell would run', async () => {
    const { code, out, err } = await run(['env'], { env: { SLUICE_DATA: join(folder, 'none') } })
    assert.equal(code, 1)
    assert.equal(out, '')
    assert.match(err, /npm start/)
  })
})

describe('what goes wrong', () => {
  it('has exit code 2 and the usage when the command is not written as it should be', async () => {
    for (const words of [['nosuch'], ['flush'], ['commit', 'list', 'a', '-n', '0'], ['logs'], []]) {
      assert.equal((await run(words)).code, 2, words.join(' '))
    }
    assert.equal((await run(['--help'])).code, 0)
  })

  it('has exit code 1 and one clear line when the server refuses', async () => {
    const missing = await run(['commit', 'list', 'none'])
    assert.equal(missing.code, 1)
    assert.match(missing.err, /^sluice: there is no repo none; `sluice repo list`.*\n$/)
    assert.equal((await run(['commit', 'list', 'one@none'])).code, 1)
    const wrong = await run(['repo', 'list'], { env: { AWS_ACCESS_KEY_ID: 'X', AWS_SECRET_ACCESS_KEY: 'Y' } })
    assert.equal(wrong.code, 1)
    assert.match(wrong.err, /eval "\$\(npx sluice env\)"/)
  })

  it('says where it looked when no server answers', async () => {
    const { code, err } = await run(['repo', 'list'], { env: { SLUICE_API_URL: 'http://127.0.0.1:1' } })
    assert.equal(code, 1)
    assert.match(err, /no Sluice server at http:\/\/127\.0\.0\.1:1 .*npm start/)
  })

  it('leaves no half file behind', async () => {
    const target = join(folder, 'half.txt')
    const { code } = await run(['file', 'get', 'none@master:a', '-o', target])
    assert.equal(code, 1)
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.startsWith('half')),
      [],
    )
  })

  it('shows the version, and that the server is not reached', async () => {
    assert.match(await ok('version'), /^sluice \d+\.\d+\.\d+\nserver 9\.9\.9 at http/)
    const { code, out } = await run(['version'], { env: { SLUICE_API_URL: 'http://127.0.0.1:1' } })
    assert.equal(code, 0)
    assert.match(out, /server: not reached/)
  })
})

describe('the launcher', () => {
  it('passes words, input, output and exit codes on', async () => {
    const content = randomBytes(200_000)
    await ok('branch', 'create', 'launched@master')
    const put = await launch(['file', 'put', 'launched@master:a'], { input: content })
    assert.equal(put.code, 0, put.err)
    assert.equal((await launch(['flush', 'launched@master'])).code, 0)
    assert.ok((await launch(['file', 'get', 'launched@master:a'])).bytes.equals(content))
    assert.equal((await launch(['file', 'get', 'launched@master:none'])).code, 1)
    assert.equal((await launch(['nosuch'])).code, 2)
  })

  it('lets a reader go away in the middle without a word', async () => {
    const pipe = spawn('sh', ['-c', `"${process.execPath}" "${launcher}" file get launched@master:a | head -c 10`], {
      env: { PATH: process.env['PATH'] ?? '', ...environment({}) },
    })
    const [out, err] = await Promise.all([buffer(pipe.stdout), buffer(pipe.stderr)])
    assert.equal(out.length, 10)
    assert.equal(err.toString(), '')
  })

  it('ends with 130 when it is interrupted', async () => {
    const connected = once(stack.api.server, 'connection')
    const child = spawn(process.execPath, [launcher, 'file', 'put', 'launched@master:never'], {
      env: { PATH: process.env['PATH'] ?? '', ...environment({}) },
    })
    await connected
    child.kill('SIGINT')
    const [code] = await once(child, 'close')
    assert.equal(code, 130)
  })
})
