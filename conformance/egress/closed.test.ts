import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { CreateBucketCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { repository, type Server, startServer, testCredentials } from '../server.ts'
import { runProgram } from '../support.ts'
import { connect } from './s3.ts'
import { missingStore, startStore } from './stores.ts'

/** Without a sandbox there is no /pfs; then the runner says where it is instead. In the shell of the user code. */
const pfs = '$' + '{SLUICE_PFS:-/pfs}'

for (const kind of ['sluice', 'gcs', 'azure'] as const) {
  it(`${kind}: a loopback target that is no longer allowed fails the job with the setting that allows it; then it goes on`, {
    skip: await missingStore(kind),
    timeout: 120_000,
  }, async (t) => {
    const store = await startStore(kind)
    t.after(() => store.stop())
    const base = await mkdtemp(join(tmpdir(), 'sluice-closed-'))
    const [folder, code] = [join(base, 'data'), join(base, 'code')]
    await mkdir(folder)
    await mkdir(code)
    const credentials = testCredentials()
    let server: Server
    const start = async (settings: Readonly<Record<string, string>>) => {
      server = await startServer({ folder, credentials, environment: { SLUICE_LOG_LEVEL: 'error', ...settings } })
    }
    const open = { SLUICE_ALLOW_TARGETS: store.host }
    await start(open)
    t.after(async () => {
      await server.kill()
      await rm(base, { recursive: true, force: true })
    })
    const sluice = async (code: number, args: readonly string[], input = '') => {
      const environment = server.clientEnvironment
      const ran = await runProgram(process.execPath, [join(repository, 'bin/sluice.js'), ...args], {
        environment,
        input,
      })
      assert.equal(ran.code, code, `${args.join(' ')}: ${ran.stdout}${ran.stderr}`)
      return ran.stdout + ran.stderr
    }
    const put = async (Key: string) => {
      const s3 = connect(server)
      await s3.send(new CreateBucketCommand({ Bucket: 'master.input' }))
      await s3.send(new PutObjectCommand({ Bucket: 'master.input', Key, Body: Key }))
      s3.destroy()
    }
    await put('first')
    await sluice(0, ['secret', 'create', 'store', ...store.secret.options], `${store.secret.input}\n`)
    const spec = {
      pipeline: { name: 'output' },
      transform: { cmd: ['sh', '-c', `cp -R "${pfs}/input/." "${pfs}/out/"`], working_dir: code },
      input: { pfs: { repo: 'input', glob: '/' } },
      egress: { URL: store.urls[0]?.('closed'), secret: 'store' },
    }
    await writeFile(join(base, 'spec.json'), JSON.stringify(spec))
    await sluice(0, ['pipeline', 'create', '-f', join(base, 'spec.json')])
    await sluice(0, ['flush', 'input@master'])
    assert.deepEqual(Object.keys(await store.files('closed')), ['first'])

    await server!.stop()
    await start({})
    await put('second')
    const flushed = await sluice(1, ['flush', 'input@master'])
    assert.match(flushed, new RegExp(`SLUICE_ALLOW_TARGETS=.*${store.host}`))
    const [job] = JSON.parse(await sluice(0, ['job', 'list', '--json'])) as { id: string; state: string }[]
    assert.equal(job?.state, 'failure')
    assert.deepEqual(Object.keys(await store.files('closed')), ['first'])

    await server!.stop()
    await start(open)
    await sluice(0, ['egress', 'retry', job?.id ?? ''])
    await sluice(0, ['flush', 'input@master'])
    assert.deepEqual(Object.keys(await store.files('closed')), ['first', 'second'])
  })
}
