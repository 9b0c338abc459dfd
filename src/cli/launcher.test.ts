import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Given, type Outcome, openCli, type TestCli } from './testing/cli.ts'

const launcher = fileURLToPath(new URL('../../bin/sluice.js', import.meta.url))

let cli: TestCli
before(async () => {
  cli = await openCli()
})
after(() => cli.close())

/** Starts the launcher as a user does. */
function launch(words: readonly string[], given: Given = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const env = { PATH: process.env['PATH'] ?? '', ...cli.environment(given.env) }
    const child = spawn(process.execPath, [launcher, ...words], { env, cwd: cli.folder })
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

describe('the launcher', () => {
  it('passes words, input, output and exit codes on', async () => {
    const content = randomBytes(200_000)
    await cli.ok('branch', 'create', 'launched@master')
    const put = await launch(['file', 'put', 'launched@master:a'], { input: content })
    assert.equal(put.code, 0, put.err)
    assert.equal((await launch(['flush', 'launched@master'])).code, 0)
    assert.ok((await launch(['file', 'get', 'launched@master:a'])).bytes.equals(content))
    assert.equal((await launch(['file', 'get', 'launched@master:none'])).code, 1)
    assert.equal((await launch(['nosuch'])).code, 2)
  })

  it('lets a reader go away in the middle without a word', async () => {
    const pipe = spawn('sh', ['-c', `"${process.execPath}" "${launcher}" file get launched@master:a | head -c 10`], {
      env: { PATH: process.env['PATH'] ?? '', ...cli.environment() },
    })
    const [out, err] = await Promise.all([buffer(pipe.stdout), buffer(pipe.stderr)])
    assert.equal(out.length, 10)
    assert.equal(err.toString(), '')
  })

  it('ends with 130 when it is interrupted', async () => {
    const connected = once(cli.stack.api.server, 'connection')
    const child = spawn(process.execPath, [launcher, 'file', 'put', 'launched@master:never'], {
      env: { PATH: process.env['PATH'] ?? '', ...cli.environment() },
    })
    await connected
    child.kill('SIGINT')
    const [code] = await once(child, 'close')
    assert.equal(code, 130)
  })
})
