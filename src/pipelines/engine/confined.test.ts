import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { whyPrivileged } from '../privileged.ts'
import { parseSpec } from '../spec/index.ts'
import { Bench } from '../testing/harness.ts'

const specOf = (cmd: readonly string[], more: object = {}, transform: object = {}) =>
  parseSpec({
    pipeline: { name: 'p' },
    input: { pfs: { repo: 'in', glob: '/' } },
    transform: { cmd, ...transform },
    ...more,
  }).spec

describe('a pipeline of somebody who is no administrator', () => {
  it('uses the programs of the system and its inputs, and nothing that else is on the server', async () => {
    for (const cmd of [
      ['true'],
      ['sh', '-c', 'tr a-z A-Z < /pfs/in/a > /pfs/out/a'],
      ['/usr/bin/env', 'cp', '/pfs/in/a', '/pfs/out'],
      ['python3', '/pfs/in/run.py', '--mode=fast', 'a word'],
      ['cat', 'pfs/in/a'],
    ]) {
      assert.equal(await whyPrivileged(specOf(cmd), true), undefined, cmd.join(' '))
    }
    for (const cmd of [
      ['cat', '/etc/passwd'],
      ['cat', '/home/somebody/.ssh/id_ed25519'],
      ['cat', '/pfs/../home/x'],
      ['cat', 'pfs/../../home/x'],
      ['/tmp/code/run.sh'],
      ['sh', 'var/lib/run.sh'],
      ['ls', '/home'],
    ]) {
      assert.match((await whyPrivileged(specOf(cmd), true)) ?? '', /a place on the server/, cmd.join(' '))
    }
    const inErrCmd = specOf(['true'], {}, { err_cmd: ['cat', '/etc/passwd'] })
    assert.match((await whyPrivileged(inErrCmd, true)) ?? '', /a place on the server/)
    assert.match((await whyPrivileged(specOf(['true'], {}, { working_dir: '/root' }), true)) ?? '', /working_dir/)
    assert.match((await whyPrivileged(specOf(['true'], { egress: { URL: 's3://b/d' } }), true)) ?? '', /egress/)
    assert.match((await whyPrivileged(specOf(['true']), false)) ?? '', /without a sandbox/)
  })

  it('is made only if who decides says so, before anything is done', async () => {
    const bench = await Bench.open({ start: false })
    try {
      await bench.repo('in')
      const refusal = new Error('no')
      const spec = { pipeline: { name: 'p' }, input: { pfs: { repo: 'in', glob: '/' } }, transform: { cmd: ['true'] } }
      const allow = () => {
        throw refusal
      }
      await assert.rejects(bench.pipelines.create(spec, { allow }), refusal)
      assert.deepEqual(await bench.pipelines.list(), [])
      assert.deepEqual(
        (await bench.versioning.listRepos()).map(({ name }) => name),
        ['in'],
      )
    } finally {
      await bench.close()
    }
  })

  it('is shown no file of the server that came to be after it was made, and does not run without a sandbox', async () => {
    for (const modes of [['bubblewrap'], ['plain']] as const) {
      const bench = await Bench.open({ modes }).catch((error: unknown) => {
        // This machine has no bubblewrap: then the other half is what can be shown.
        if (modes[0] === 'bubblewrap') return undefined
        throw error
      })
      if (!bench) continue
      try {
        await bench.repo('in')
        const secret = join(bench.folder, 'code', 'secret')
        const spec = (name: string) => ({
          pipeline: { name },
          input: { pfs: { repo: 'in', glob: '/*' } },
          transform: { cmd: ['cp', secret, '/pfs/out/stolen'] },
          datum_tries: 1,
        })
        await bench.pipelines.create(spec('confined'), { confined: true })
        await bench.pipelines.create(spec('trusted'))
        await writeFile(secret, 'of the server')
        await bench.put('in', { a: 'x' })
        const { branches } = await bench.flush('in')
        assert.equal(branches['confined']?.verdict, 'failed')
        const reason = modes[0] === 'plain' ? /no sandbox now.*no administrator/ : /failed/
        assert.match(branches['confined']?.reason ?? '', reason)
        if (modes[0] === 'bubblewrap') assert.deepEqual(await bench.files('trusted'), { stolen: 'of the server' })
      } finally {
        await bench.close()
      }
    }
  })
})
