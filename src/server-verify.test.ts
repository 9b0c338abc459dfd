import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { EgressJson, VerifiedJson, VerifyJson } from './api/contract.ts'
import { faultsOf } from './api/testing/conforms.ts'
import { runWords } from './cli/testing/cli.ts'
import { readConfig, silentLog, systemClock } from './kernel/index.ts'
import { type RunningServer, startServer } from './server.ts'

const rootKey = { accessKeyId: 'ROOTKEY', secretAccessKey: 'canary-of-the-root-key' }

/** The target is another repo of the same server: from the command to the disk, all is real. */
describe('sluice egress verify', () => {
  let folder: string
  let settings: Record<string, string>
  let server: RunningServer
  let url: string

  const sluice = (words: string, input?: string) =>
    runWords(words.split(' '), {
      folder,
      env: { ...settings, HOME: folder },
      ...(input === undefined ? {} : { input }),
    })
  const ok = async (words: string, input?: string) => {
    const { code, out, err } = await sluice(words, input)
    assert.equal(code, 0, `${words}: ${err}`)
    return out
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-verify-'))
    settings = {
      SLUICE_DATA: join(folder, 'data'),
      SLUICE_S3_PORT: '0',
      SLUICE_API_PORT: '0',
      SLUICE_RUNNER: 'process',
      SLUICE_ALLOW_TARGETS: '127.0.0.1:*',
      SLUICE_ACCESS_KEY_ID: rootKey.accessKeyId,
      SLUICE_SECRET_ACCESS_KEY: rootKey.secretAccessKey,
    }
    server = await startServer({
      config: readConfig(settings, { cpus: 2, folder }),
      clock: systemClock,
      log: silentLog,
      version: '0',
      onFatal: (error) => {
        throw error
      },
    })
    for (const repo of ['images', 'target']) await ok(`repo create ${repo}`)
    for (const path of ['a', 'b']) await ok(`file put images@master:dir/${path}`, `of ${path}`)
    await ok('commit finish images@master')
    await ok(`secret create results --access-key ROOTKEY --secret-key ${rootKey.secretAccessKey}`)
    url = `s3://${new URL(server.s3Url).host}/master.target/out`
  })
  after(async () => {
    await server.close()
    await rm(folder, { recursive: true, force: true })
  })

  it('ends with 0 while all is as it was put there, and shows that with the egress', async () => {
    const run = await ok(`egress run images@master ${url} --secret results --manifest --success --json`)
    const { id, settings: kept } = JSON.parse(run) as EgressJson
    assert.deepEqual([kept.manifests, kept.success], [[{ path: 'manifest.json' }], true])
    assert.match(await ok(`egress verify ${id}`), /^4 file\(s\), .*; all as they were put there\n$/)
    assert.match(await ok(`egress verify images@master ${url}/ --deep`), /all as they were put there/)
    const shown = JSON.parse(await ok(`egress inspect ${id} --json`)) as EgressJson
    assert.equal(shown.verified?.drift, 0)
    assert.deepEqual(faultsOf('Egress', shown), [])
    assert.match(await ok(`egress inspect ${id}`), /Verified: .*all as it was put there/)
  })

  it('ends with 1 where something is other, names it, and sends it again when asked to', async () => {
    await ok('file delete target@master:out/dir/a')
    await ok('file put target@master:out/dir/b', 'changed')
    await ok('file put target@master:out/theirs', 'x')
    const { code, out } = await sluice(`egress verify images@master ${url}`)
    assert.equal(code, 1)
    assert.match(out, /^missing {3}dir\/a: it is not there$/m)
    assert.match(out, /^changed {3}dir\/b: it has 7 bytes instead of 4$/m)
    assert.match(out, /^not ours {2}theirs/m)
    assert.match(out, /; 1 missing, 1 changed; 1 that are not ours$/m)
    const repaired = await sluice(`egress verify images@master ${url} --repair --json`)
    assert.equal(repaired.code, 1)
    const { named, ...end } = JSON.parse(repaired.out) as VerifiedJson & { named: VerifyJson[] }
    for (const line of [...named, end]) assert.deepEqual(faultsOf('Verify', line), [])
    await ok(`egress inspect ${end.repair} --wait`)
    assert.match(await ok(`egress verify ${end.repair} --deep`), /all as they were put there/)
    await ok('commit finish target@master')
    assert.equal(await ok('file get target@master:out/dir/a'), 'of a')
  })

  it('says what to give where it can not tell what is meant', async () => {
    assert.match((await sluice('egress verify images@master')).err, /where to\?/)
    assert.match((await sluice('egress verify images@master s3://elsewhere')).err, /was not pushed to s3:\/\/elsewhere/)
    assert.match((await sluice('egress verify 0123456789')).err, /there is no egress/)
  })
})
