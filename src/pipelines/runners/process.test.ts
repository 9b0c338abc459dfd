import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { silentLog } from '../../kernel/index.ts'
import { bubblewrapRunner } from './bubblewrap.ts'
import { openProcessRunner, type ProcessMode } from './process.ts'
import type { Runner, RunRequest } from './runner.ts'
import { systemView } from './visible.ts'

const home = mkdtempSync(join(tmpdir(), 'sluice-runner-'))
const dataFolder = join(home, 'data')
const codeFolder = join(home, 'code')
let datums = 0

before(() => {
  mkdirSync(join(dataFolder, 'scratch'), { recursive: true })
  mkdirSync(codeFolder)
  writeFileSync(join(dataFolder, 'root-key.json'), 'secret')
  writeFileSync(
    join(codeFolder, 'hello.ts'),
    'const name: string = "typescript"; console.log("hello", name, process.versions.node)',
  )
})
after(() => rmSync(home, { recursive: true, force: true }))

/** Runs a command on a fresh datum with one input file; returns what it came to and said. */
async function run(runner: Runner, cmd: readonly string[], more: Partial<RunRequest> = {}) {
  const datumFolder = join(dataFolder, 'scratch', `datum-${datums++}`)
  mkdirSync(join(datumFolder, 'pfs', 'in'), { recursive: true })
  mkdirSync(join(datumFolder, 'pfs', 'out'))
  writeFileSync(join(datumFolder, 'pfs', 'in', 'a.txt'), 'content')
  const said = { stdout: '', stderr: '' }
  const result = await runner.run({
    cmd,
    env: {},
    readable: [],
    datumFolder,
    signal: AbortSignal.timeout(20_000),
    onOutput: (stream, bytes) => {
      said[stream] += bytes.toString()
    },
    ...more,
  })
  return {
    result,
    ...said,
    out: (name: string) => readFileSync(join(datumFolder, 'pfs', 'out', name), 'utf8'),
    datumFolder,
  }
}

const sh = (script: string) => ['sh', '-c', script]

for (const mode of ['bubblewrap', 'unshare', 'plain'] as const satisfies readonly ProcessMode[]) {
  const opened = await openProcessRunner({
    config: { dataFolder, sandboxPaths: [] },
    scratchFolder: join(dataFolder, 'scratch'),
    log: silentLog,
    modes: [mode],
  }).catch((error: Error) => error)
  const skip = opened instanceof Error ? `not possible here: ${opened.message.slice(0, 200)}` : false
  const runner = opened as Runner

  describe(`the process runner by ${mode}`, { skip }, () => {
    it('shows inputs, takes outputs, and passes stdin line by line', async () => {
      const done = await run(
        runner,
        sh('read first; cat "$SLUICE_PFS/in/a.txt" - > "$SLUICE_PFS/out/b.txt"; echo "$first"'),
        {
          stdin: ['one', 'two'],
        },
      )
      assert.deepEqual(done.result, { kind: 'exited', code: 0 }, done.stderr)
      assert.equal(done.out('b.txt'), 'contenttwo\n')
      assert.equal(done.stdout, 'one\n')
    })

    it('shows the environment that it is given, and nothing of its own', async () => {
      const done = await run(runner, ['env'], { env: { FOO: 'bar baz', QUOTED: `'"$x` } })
      assert.match(done.stdout, /^FOO=bar baz$/m)
      assert.ok(done.stdout.includes(`QUOTED='"$x`))
      assert.doesNotMatch(done.stdout, /^(USER|SHELL|LOGNAME|npm_|NODE_)/m)
    })

    it('runs code from its folder by the node that Sluice runs on', async () => {
      const done = await run(runner, ['node', 'hello.ts'], { readable: [codeFolder], workingDir: codeFolder })
      assert.equal(done.stdout, `hello typescript ${process.versions.node}\n`, done.stderr)
    })

    it('says the exit code, also of a command that is not there or dies by a signal', async () => {
      assert.deepEqual((await run(runner, sh('exit 7'))).result, { kind: 'exited', code: 7 })
      const missing = await run(runner, ['no-such-command'])
      assert.ok(
        missing.result.kind === 'not-started' || (missing.result.kind === 'exited' && missing.result.code === 127),
        JSON.stringify(missing.result),
      )
      const killed = await run(runner, sh('kill -9 $$'))
      assert.ok(
        killed.result.kind === 'killed' || (killed.result.kind === 'exited' && killed.result.code === 137),
        JSON.stringify(killed.result),
      )
    })

    it('takes input that the code does not read', async () => {
      assert.deepEqual((await run(runner, ['true'], { stdin: ['x'.repeat(1_000_000)] })).result, {
        kind: 'exited',
        code: 0,
      })
    })

    it('kills what hangs, with its children', async () => {
      const done = await run(runner, sh('(while :; do date > "$SLUICE_PFS/out/alive"; sleep 0.02; done) & sleep 60'), {
        signal: AbortSignal.timeout(300),
      })
      assert.equal(done.result.kind, 'killed')
      const alive = join(done.datumFolder, 'pfs', 'out', 'alive')
      // Whoever still wrote it would make it anew.
      await new Promise((resolve) => setTimeout(resolve, 100))
      rmSync(alive, { force: true })
      await new Promise((resolve) => setTimeout(resolve, 200))
      assert.ok(!existsSync(alive))
    })

    it('leaves nobody behind who could write into the results', async () => {
      const done = await run(runner, sh('(sleep 0.3; echo late > "$SLUICE_PFS/out/late") > /dev/null 2>&1 & exit 0'))
      assert.deepEqual(done.result, { kind: 'exited', code: 0 })
      await new Promise((resolve) => setTimeout(resolve, 500))
      assert.ok(!existsSync(join(done.datumFolder, 'pfs', 'out', 'late')))
    })

    it('has /pfs as a place to work in', async () => {
      const done = await run(runner, sh('echo x > here'), { workingDir: '/pfs/out' })
      assert.deepEqual(done.result, { kind: 'exited', code: 0 }, done.stderr)
      assert.equal(done.out('here'), 'x\n')
    })

    it(`says ${mode === 'bubblewrap' ? 'nothing' : 'loudly'} about being a sandbox`, () => {
      assert.equal(runner.sandboxed, mode === 'bubblewrap')
      if (mode === 'bubblewrap') assert.equal(runner.warning, undefined)
      else assert.match(runner.warning ?? '', /without a sandbox/)
    })
  })

  const describeSandbox = mode === 'bubblewrap' ? describe : () => {}
  describeSandbox('the bubblewrap sandbox', { skip }, () => {
    it('does not let inputs be changed', async () => {
      const done = await run(
        runner,
        sh('echo x > /pfs/in/a.txt || echo y > /pfs/in/new || mkdir /pfs/other || rm /pfs/in/a.txt'),
      )
      assert.deepEqual(done.result, { kind: 'exited', code: 1 })
      assert.equal(readFileSync(join(done.datumFolder, 'pfs', 'in', 'a.txt'), 'utf8'), 'content')
    })

    it('shows neither the store, nor home, nor keys, nor other processes', async () => {
      const done = await run(
        runner,
        sh(`cat ${dataFolder}/root-key.json /etc/shadow; ls ${dataFolder} /root /home; ls /proc | grep -c '^[0-9]'`),
      )
      assert.doesNotMatch(done.stdout, /secret|scratch/)
      assert.match(done.stderr, /root-key\.json: No such file/)
      assert.match(done.stderr, /\/etc\/shadow: No such file/)
      assert.ok(Number(done.stdout.trim().split('\n').at(-1)) < 10, done.stdout)
    })

    it('hides the store also inside a folder that is shown', async () => {
      const done = await run(runner, sh(`ls -A ${dataFolder}; cat ${dataFolder}/root-key.json; ls ${home}`), {
        readable: [home],
      })
      assert.equal(done.stdout, 'code\ndata\n')
    })

    it('has no network', async () => {
      const script =
        "require('net').connect(22, '127.0.0.1').on('error', (e) => { console.log(Object.keys(require('os').networkInterfaces()).filter((n) => n !== 'lo').length, e.code) })"
      const done = await run(runner, ['node', '-e', script])
      assert.match(done.stdout, /^0 /)
    })

    it('does not run user code as root, nor lets it become so', async () => {
      const done = await run(runner, sh('id -u; grep CapEff /proc/self/status; touch /usr/x /x'))
      assert.doesNotMatch(done.stdout, /^0$/m)
      assert.match(done.stdout, /CapEff:\s+0+$/m)
      assert.match(done.stderr, /\/usr\/x.*\n.*\/x/)
    })

    it('takes every capability away also where it has no users of its own', {
      skip: process.getuid?.() !== 0,
    }, async () => {
      const options = {
        tool: '/usr/bin/bwrap',
        system: await systemView(),
        alwaysReadable: [],
        hidden: dataFolder,
        defaults: { PATH: '/usr/bin:/bin', HOME: '/tmp' },
      }
      const done = await run(bubblewrapRunner({ ...options, users: 'none' }), sh('grep CapEff /proc/self/status'))
      assert.match(done.stdout, /CapEff:\s+0+$/m)
    })

    it('does not take orders from the environment that it hands over', async () => {
      const done = await run(runner, ['true'], { env: { LD_PRELOAD: '/nonexistent.so' } })
      assert.deepEqual(done.result, { kind: 'exited', code: 0 })
    })

    it('says so when it could not be set up', async () => {
      const done = await run(runner, ['true'], { readable: [join(home, 'not-there')] })
      assert.equal(done.result.kind, 'not-started')
    })
  })
}
