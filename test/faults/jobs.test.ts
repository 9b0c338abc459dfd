import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { repository, type Server, startServer, testCredentials } from '../../conformance/server.ts'
import { runProgram } from '../../conformance/support.ts'
import { createClient } from './client.ts'

const FILES = 12
const KILLS = process.env['FAULTS'] === 'full' ? 10 : 3

interface JobJson {
  readonly state: string
  readonly datums: { readonly total: number; readonly failed: number }
}

describe('jobs of a server that is killed', () => {
  let base: string
  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-jobs-'))
  })
  after(() => rm(base, { recursive: true, force: true }))

  it('go on at the next start and end with every result', { timeout: 300_000 }, async (t) => {
    const folder = join(base, 'data')
    await mkdir(folder)
    const credentials = testCredentials()
    const start = () =>
      startServer({ folder, credentials, environment: { SLUICE_LOG_LEVEL: 'warn', SLUICE_BATCH_IDLE_MS: '300' } })
    let server: Server = await start()
    t.after(async () => {
      if (!server.ended) await server.kill()
    })
    const sluice = async (...args: string[]) => {
      const cli = join(repository, 'bin/sluice.js')
      const ran = await runProgram(process.execPath, [cli, ...args], {
        environment: server.clientEnvironment,
        folder: base,
      })
      assert.equal(ran.code, 0, `sluice ${args.join(' ')}: ${ran.stdout}${ran.stderr}\n${server.output().slice(-3000)}`)
      return ran.stdout
    }
    const send = async (method: string, path: string, body?: Buffer) => {
      const client = createClient(server.s3Url, credentials)
      const answer = await client.send(method, path, body ? { body } : {})
      client.close()
      return answer
    }

    assert.equal((await send('PUT', '/master.slow')).status, 200)
    const pfs = '$' + '{SLUICE_PFS:-/pfs}'
    // Slow enough to be killed in the middle, in two stages, so that both running and waiting jobs are met.
    const spec = (name: string, input: string) => ({
      pipeline: { name },
      transform: { cmd: ['sh', '-c', `sleep 0.2; cp -R "${pfs}"/${input}/. "${pfs}"/out/`], working_dir: base },
      input: { pfs: { repo: input, glob: '/*' } },
      parallelism_spec: { constant: 2 },
    })
    await writeFile(join(base, 'specs.json'), JSON.stringify([spec('first', 'slow'), spec('second', 'first')]))
    await sluice('pipeline', 'create', '-f', join(base, 'specs.json'))
    for (let n = 0; n < FILES; n++) {
      assert.equal((await send('PUT', `/master.slow/${n}`, Buffer.from(`file ${n}`))).status, 200)
    }
    for (let round = 0; round < KILLS; round++) {
      await sleep(200 + round * 150)
      await server.kill()
      server = await start()
    }
    await sluice('flush', 'slow@master')
    for (let n = 0; n < FILES; n++) {
      const { status, body } = await send('GET', `/master.second/${n}`)
      assert.deepEqual([status, body.toString()], [200, `file ${n}`])
    }
    const jobs = JSON.parse(await sluice('job', 'list', '--json')) as JobJson[]
    const last = jobs.filter(({ datums }) => datums.total === FILES)
    assert.equal(last.length, 2)
    assert.ok(last.every(({ state, datums }) => state === 'success' && datums.failed === 0))
    await server.stop()
  })
})
