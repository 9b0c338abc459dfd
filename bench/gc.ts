/** Garbage collection of a store with half its content dead, and what PUTs notice of it. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { repository, startServer } from '../conformance/server.ts'
import type { GcResultJson } from '../src/api/contract.ts'
import { createClient } from '../test/faults/client.ts'
import type { Row } from './report.ts'

const MIB = 1024 * 1024
const LARGE_BYTES = 512 * 1024
const SMALL_BYTES = 4_000
const AT_ONCE = 8

const run = promisify(execFile)

export async function gcRows(base: string, quick: boolean): Promise<Row[]> {
  const folder = join(base, 'gc')
  await mkdir(folder)
  const server = await startServer({
    folder,
    environment: { SLUICE_LOG_LEVEL: 'warn', SLUICE_BATCH_IDLE_MS: '200' },
  })
  const client = createClient(server.s3Url, server.credentials, AT_ONCE)
  const put = async (path: string, body?: Buffer) => {
    const { status } = await client.send('PUT', path, body ? { body } : {})
    if (status !== 200) throw new Error(`PUT ${path}: ${status}`)
  }
  const cli = async (...words: string[]) => {
    const { stdout } = await run(process.execPath, [join(repository, 'src/cli/main.ts'), ...words], {
      env: {
        PATH: process.env['PATH'] ?? '',
        AWS_ACCESS_KEY_ID: server.credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: server.credentials.secretAccessKey,
        SLUICE_API_URL: server.apiUrl,
      },
    })
    return stdout
  }
  const p99 = async (whileRunning: () => boolean): Promise<number> => {
    const times: number[] = []
    for (let i = 0; whileRunning() || times.length < 200; i++) {
      const startMs = performance.now()
      await put(`/master.kept/during/${i}`, randomBytes(1024))
      times.push(performance.now() - startMs)
    }
    return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)] ?? 0
  }
  try {
    for (const repo of ['kept', 'gone']) await put(`/master.${repo}`)
    const large = quick ? 100 : 1_000
    const small = quick ? 1_000 : 20_000
    // Every other object of each pack is of the other repo.
    for (let i = 0; i < small; i += AT_ONCE) {
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, n) =>
          put(`/master.${n % 2 === 0 ? 'kept' : 'gone'}/small/${i + n}`, randomBytes(SMALL_BYTES)),
        ),
      )
    }
    for (let i = 0; i < large; i++) {
      await put(`/master.${i % 2 === 0 ? 'kept' : 'gone'}/large/${i}`, randomBytes(LARGE_BYTES + (i % 2) * 4_096))
    }
    await cli('flush', 'kept@master')
    await cli('flush', 'gone@master')
    await cli('repo', 'delete', 'gone', '--force')
    const idle = await p99(() => false)
    let running = true
    const collected = cli('gc', '--grace', '0', '--json').finally(() => {
      running = false
    })
    const during = await p99(() => running)
    const result = JSON.parse(await collected) as GcResultJson
    const freed = Math.round(result.reclaimedBytes / MIB)
    return [
      {
        what: `gc of ${large + small} objects, half of them unused, while others write`,
        figure: `${(result.durationMs / 1000).toFixed(1)} s; ${result.removedChunks} chunks and ${result.nodes} nodes removed, ${freed} MiB freed`,
        perCore: '',
        limit: `p99 of a PUT before: ${idle.toFixed(1)} ms`,
        share: `p99 meanwhile: ${during.toFixed(1)} ms`,
      },
    ]
  } finally {
    client.close()
    if (!server.ended) await server.kill()
    await rm(folder, { recursive: true })
  }
}
