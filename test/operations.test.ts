import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer } from '../conformance/server.ts'
import { createClient } from './faults/client.ts'

const token = 'a-token-for-the-scraper'

async function until<T>(read: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const found = await read()
    if (found !== undefined) return found
    await sleep(20)
  }
}

describe('a server that is watched', { timeout: 60_000 }, () => {
  it('has metrics for a scraper, health for a load balancer, and an access log that can be rotated', async (t) => {
    const base = await mkdtemp(join(tmpdir(), 'sluice-operations-'))
    t.after(() => rm(base, { recursive: true, force: true }))
    const folder = join(base, 'data')
    await mkdir(folder)
    const file = join(base, 'access.log')
    const server = await startServer({
      folder,
      environment: { SLUICE_ACCESS_LOG: file, SLUICE_METRICS_TOKEN: token, SLUICE_BATCH_IDLE_MS: '50' },
    })
    t.after(async () => {
      if (!server.ended) await server.kill()
    })
    const client = createClient(server.s3Url, server.credentials)
    t.after(() => client.close())
    assert.equal((await client.send('PUT', '/master.images')).status, 200)
    assert.equal((await client.send('PUT', '/master.images/a', { body: Buffer.from('hello') })).status, 200)

    const scrape = async () => {
      const reply = await fetch(`${server.apiUrl}/metrics`, { headers: { authorization: `Bearer ${token}` } })
      assert.equal(reply.status, 200)
      return reply.text()
    }
    const text = await until(async () => {
      const now = await scrape()
      return /^sluice_commits_unfinished\{state="open",kind="written"\} 0$/m.test(now) ? now : undefined
    })
    for (const line of [
      /^sluice_info\{version="[^"]+"\} 1$/m,
      /^sluice_s3_requests_total\{operation="PutObject",status="200"\} 1$/m,
      /^sluice_commits_opened_total 1$/m,
      /^sluice_jobs\{state="failure"\} 0$/m,
      /^sluice_datums\{state="waiting"\} 0$/m,
      /^sluice_egress_pushes_total\{result="failed"\} 0$/m,
      /^sluice_egress_pushes_unended\{state="waiting"\} 0$/m,
      /^sluice_storage_full 0$/m,
      /^sluice_backup_last_time_seconds 0$/m,
      /^sluice_gc_last_time_seconds 0$/m,
      /^sluice_fsck_last_faults\{depth="deep"\} 0$/m,
      /^sluice_access_log_lost_lines_total 0$/m,
      /^process_resident_memory_bytes \d+$/m,
    ]) {
      assert.match(text, line)
    }
    for (const path of ['/healthz', '/readyz']) assert.equal((await fetch(server.apiUrl + path)).status, 200)

    await rename(file, `${file}.1`)
    process.kill(server.pid, 'SIGHUP')
    await until(async () => {
      await client.send('GET', '/master.images/a')
      return readFile(file, 'utf8').catch(() => undefined)
    })
    await server.stop()
    const lines = (await Promise.all([`${file}.1`, file].map((path) => readFile(path, 'utf8')))).join('').trimEnd()
    const doors = new Set(lines.split('\n').map((line) => (JSON.parse(line) as { door: string }).door))
    assert.deepEqual([...doors].sort(), ['api', 's3'])
    for (const secret of [token, server.credentials.secretAccessKey]) {
      assert.ok(!lines.includes(secret) && !server.output().includes(secret))
    }
  })
})
