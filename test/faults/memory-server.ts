import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Server, startServer } from '../../conformance/server.ts'
import { type Client, createClient } from './client.ts'

/** A server in a process of its own, with a bucket, for as long as the test runs. */
export async function serverToMeasure(t: TestContext, bucket: string): Promise<{ server: Server; client: Client }> {
  const base = await mkdtemp(join(tmpdir(), 'sluice-memory-'))
  t.after(() => rm(base, { recursive: true, force: true }))
  const folder = join(base, 'data')
  await mkdir(folder)
  const server = await startServer({ folder, environment: { SLUICE_LOG_LEVEL: 'warn' } })
  t.after(async () => {
    if (!server.ended) await server.kill()
  })
  const client = createClient(server.s3Url, server.credentials)
  t.after(() => client.close())
  assert.equal((await client.send('PUT', `/${bucket}`)).status, 200)
  return { server, client }
}

/** The resident set of a process, in bytes: now, or at its peak since the process began. */
export async function residentSet(pid: number, when: 'now' | 'peak'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const found = (when === 'now' ? /VmRSS:\s+(\d+) kB/ : /VmHWM:\s+(\d+) kB/).exec(status)
  return Number(found?.[1] ?? 0) * 1024
}
