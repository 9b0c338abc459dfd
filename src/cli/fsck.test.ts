import assert from 'node:assert/strict'
import { globSync } from 'node:fs'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { FsckJson, FsckVerdictJson, StatsJson } from '../api/contract.ts'
import { readConfig, silentLog, systemClock } from '../kernel/index.ts'
import { type RunningServer, startServer } from '../server.ts'
import { runWords } from './testing/cli.ts'

const rootKey = { SLUICE_ACCESS_KEY_ID: 'ROOTKEY', SLUICE_SECRET_ACCESS_KEY: 'a secret that is long enough' }

describe('sluice fsck and stats', () => {
  let folder: string
  let data: string
  let server: RunningServer | undefined

  const start = async () => {
    const settings = {
      SLUICE_DATA: data,
      SLUICE_S3_PORT: '0',
      SLUICE_API_PORT: '0',
      SLUICE_RUNNER: 'process',
      ...rootKey,
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
  }
  const stop = async () => {
    await server?.close()
    server = undefined
  }
  const run = (...words: string[]) => runWords(words, { folder, env: { HOME: folder, SLUICE_DATA: data, ...rootKey } })
  const flip = async (file: string, position: number, bits: number) => {
    const handle = await open(file, 'r+')
    const byte = Buffer.alloc(1)
    await handle.read(byte, 0, 1, position)
    byte[0] = byte[0]! ^ bits
    await handle.write(byte, 0, 1, position)
    await handle.close()
  }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-fsck-'))
    data = join(folder, 'data')
    await start()
    assert.equal((await run('branch', 'create', 'images@master')).code, 0)
    const put = await runWords(['file', 'put', 'images@master:a.txt'], {
      folder,
      env: { HOME: folder, SLUICE_DATA: data, ...rootKey },
      input: 'x'.repeat(2000),
    })
    assert.equal(put.code, 0, put.err)
    assert.equal((await run('flush', 'images@master')).code, 0)
  })

  after(async () => {
    await stop()
    await rm(folder, { recursive: true, force: true })
  })

  it('count what there is', async () => {
    const stats = JSON.parse((await run('stats', '--json')).out) as StatsJson
    assert.deepEqual(stats.repos, [
      { repo: 'images', branches: 1, commits: 1, files: 1, bytes: 2000, historyBytes: 2000 },
    ])
    assert.equal(stats.chunks.bytes, 2000)
    assert.equal(stats.historyRatio, 1)
    assert.match((await run('stats')).out, /content {4}1 chunks, 1\.953 KiB/)
  })

  it('check a store whose server runs, and refuse to do so behind its back', async () => {
    const { code, out } = await run('fsck', '--deep')
    assert.deepEqual([code, out], [0, 'nothing is damaged\n'])
    const behind = await run('fsck', '--data', data)
    assert.equal(behind.code, 2)
    assert.match(behind.err, /in use by another process.*without --data, its server is asked/)
    assert.match((await run('fsck', '--data', folder)).err, /there is no store in/)
  })

  it('name the file that damage touches, end with 1, and mend what can be mended', async () => {
    const pack = join(data, globSync('packs/*/*.pack', { cwd: data })[0]!)
    await flip(pack, 1000, 8)
    const { code, out } = await run('fsck', '--deep')
    assert.equal(code, 1)
    assert.match(out, /damaged {2}content [0-9a-f]{64}: its bytes have changed/)
    assert.match(out, / images:a\.txt\n/)
    const lines = (await run('fsck', '--deep', '--json')).out.trimEnd().split('\n')
    const events = lines.map((line) => JSON.parse(line) as FsckJson)
    assert.equal((events.at(-1) as FsckVerdictJson).verdict, 'damaged')
    const mended = await run('fsck', '--deep', '--repair')
    assert.equal(mended.code, 0, mended.out)
    assert.match(mended.out, /mended {3}chunk [0-9a-f]{64}: bit 3 of byte 1000 of pack/)
  })

  it('keep a server from starting on metadata that are damaged, and mend a bit of them', async () => {
    await stop()
    await flip(join(data, 'meta.sqlite'), 5 * 4096 + 77, 4)
    await assert.rejects(
      start(),
      /1 page\(s\) of the metadata database are not what was written.*page 6.*sluice fsck --repair/s,
    )
    const found = await run('fsck', '--data', data)
    assert.equal(found.code, 1, found.err)
    assert.match(found.out, /damaged {2}page 6 of meta\.sqlite/)
    const mended = await run('fsck', '--data', data, '--repair')
    assert.equal(mended.code, 0, mended.err)
    assert.match(mended.out, /page 6 of meta\.sqlite: bit \d+ was turned over, and is turned back/)
    await start()
    assert.equal((await run('file', 'get', 'images@master:a.txt')).out, 'x'.repeat(2000))
  })

  it('end with 2 where nothing could be found out', async () => {
    await stop()
    const { code, err } = await run('fsck')
    assert.equal(code, 2)
    assert.match(err, /no Sluice server at/)
  })
})
