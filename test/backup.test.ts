import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer } from '../conformance/server.ts'
import type { BackupJson } from '../src/api/contract.ts'
import { runWords } from '../src/cli/testing/cli.ts'
import { startTestServer, type TestServer, testKey } from '../src/gateway/testing/server.ts'
import { createClient } from './faults/client.ts'

const KIB = 1024

/** A server as users have it, its command line, and a second server that its backups go to. */
describe('backups of a server that is written to, and then lost', { timeout: 180_000 }, () => {
  let base: string
  let target: TestServer

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-backup-life-'))
    target = await startTestServer()
    await target.send('PUT', '/master.backups')
  })
  after(async () => {
    await target?.close()
    await rm(base, { recursive: true, force: true })
  })

  /** Writes with several clients until it is told to stop; returns what was acknowledged, by key. */
  function write(client: ReturnType<typeof createClient>) {
    const acknowledged = new Map<string, string>()
    let stopped = false
    const writers = Array.from({ length: 6 }, async (_, writer) => {
      for (let n = 0; !stopped; n++) {
        const [key, text] = [`${writer}/${n}`, `${writer} ${n} `.repeat(n % 5 === 0 ? 20 * KIB : 50)]
        const { status } = await client.send('PUT', `/master.images/${key}`, { body: Buffer.from(text) })
        if (status === 200) acknowledged.set(key, text)
      }
    })
    const settled = Promise.allSettled(writers)
    return {
      acknowledged,
      stop: async () => {
        stopped = true
        await settled
      },
    }
  }

  async function life(
    place: string,
    options: { create: readonly string[]; restore: readonly string[] },
  ): Promise<void> {
    const data = join(base, `data-${place.replaceAll(/\W/g, '-').slice(-20)}`)
    const environment = { SLUICE_BATCH_IDLE_MS: '50', SLUICE_ALLOW_TARGETS: '127.0.0.1:*', SLUICE_RUNNER: 'process' }
    const server = await startServer({ folder: data, environment })
    const sluice = (...words: string[]) =>
      runWords(words, {
        folder: base,
        env: { HOME: base, SLUICE_DATA: data, SLUICE_API_URL: server.apiUrl, ...server.clientEnvironment },
      })
    const ok = async (...words: string[]) => {
      const { code, out, err } = await sluice(...words)
      assert.equal(code, 0, err)
      return out
    }
    const client = createClient(server.s3Url, server.credentials)
    await client.send('PUT', '/master.images')
    if (options.create.length > 0) {
      const { accessKeyId, secretAccessKey } = testKey
      await ok('secret', 'create', 'backups', '--access-key', accessKeyId, '--secret-key', secretAccessKey)
    }
    await ok('user', 'create', 'anna')
    const work = write(client)
    while (work.acknowledged.size < 60) await sleep(10)
    await ok('backup', 'create', place, ...options.create)
    const before = new Map(work.acknowledged)
    const second = JSON.parse(await ok('backup', 'create', place, ...options.create, '--json')) as {
      backup: BackupJson
      bytesSent: number
    }
    assert.ok(second.bytesSent < second.backup.sizeBytes, 'what was there was not sent again')
    assert.match(await ok('backup', 'verify', place, ...options.create, '--all'), /all as they were written/)
    await server.kill()
    await work.stop()
    client.close()
    await rm(data, { recursive: true })

    const restored = `${data}-restored`
    await ok('backup', 'restore', place, '--data', restored, ...options.restore)
    const again = await startServer({ folder: restored, environment, credentials: server.credentials })
    const reader = createClient(again.s3Url, again.credentials)
    for (const [key, text] of before) {
      const { status, body } = await reader.send('GET', `/master.images/${key}`)
      assert.equal(status, 200, key)
      assert.ok(body.equals(Buffer.from(text)), key)
    }
    assert.equal((await reader.send('PUT', '/master.images/new', { body: Buffer.from('goes on') })).status, 200)
    const users = await runWords(['user', 'list'], {
      folder: base,
      env: { HOME: base, SLUICE_DATA: restored, SLUICE_API_URL: again.apiUrl, ...again.clientEnvironment },
    })
    assert.match(users.out, /anna/)
    reader.close()
    await again.stop()
  }

  it('give back all that was acknowledged before them, from a folder', () =>
    life(join(base, 'place'), { create: [], restore: [] }))

  it('give it back from an object store', async () => {
    const credentials = join(base, 'credentials.json')
    await writeFile(credentials, JSON.stringify({ kind: 's3', ...testKey }))
    await life(`s3://127.0.0.1:${target.port}/master.backups/sluice`, {
      create: ['--secret', 'backups'],
      restore: ['--credentials', credentials],
    })
  })
})
