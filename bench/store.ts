/** Upkeep of a store: how fast a check reads and hashes all of it, while nothing else runs. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { repository, startServer } from '../conformance/server.ts'
import type { FsckVerdictJson } from '../src/api/contract.ts'
import { createClient } from '../test/faults/client.ts'
import type { Row } from './report.ts'

const MIB = 1024 * 1024
const OBJECT_BYTES = 8 * MIB
const SMALL = 2_000
const AT_ONCE = 8

const run = promisify(execFile)

/** `sha256Megabytes`: what one thread hashes in a second, in this run. */
export async function storeRows(base: string, quick: boolean, sha256Megabytes: number): Promise<Row[]> {
  const folder = join(base, 'store')
  await mkdir(folder)
  const server = await startServer({ folder, environment: { SLUICE_LOG_LEVEL: 'warn' } })
  const client = createClient(server.s3Url, server.credentials, AT_ONCE)
  const put = async (path: string, body?: Buffer) => {
    const { status } = await client.send('PUT', path, body ? { body } : {})
    if (status !== 200) throw new Error(`PUT ${path}: ${status}`)
  }
  try {
    await put('/master.store')
    const objects = ((quick ? 128 : 1024) * MIB) / OBJECT_BYTES
    for (let i = 0; i < objects; i++) await put(`/master.store/large/${i}`, randomBytes(OBJECT_BYTES))
    for (let i = 0; i < SMALL; i += AT_ONCE) {
      await Promise.all(
        Array.from({ length: AT_ONCE }, (_, n) => put(`/master.store/small/${i + n}`, randomBytes(2000))),
      )
    }
    client.close()
    await server.stop()
    // Without a server, so that nothing keeps it from a whole core.
    const { stdout } = await run(
      process.execPath,
      [join(repository, 'src/cli/main.ts'), 'fsck', '--deep', '--json', '--data', folder],
      { env: { PATH: process.env['PATH'] ?? '' }, maxBuffer: 64 * MIB },
    )
    const verdict = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as FsckVerdictJson
    if (verdict.verdict !== 'clean') throw new Error(`the store of the bench is ${verdict.verdict}`)
    const megabytes = (verdict.bytesPerSecond ?? 0) / 1e6
    return [
      {
        what: `fsck --deep of ${Math.round(verdict.counts.hashedBytes / MIB)} MiB in ${verdict.counts.chunks} chunks`,
        figure: `${Math.round(megabytes)} MB/s while hashing, ${(verdict.elapsedMs / 1000).toFixed(1)} s in all`,
        perCore: '',
        limit: `SHA-256 on one thread: ${Math.round(sha256Megabytes)} MB/s`,
        share: (megabytes / sha256Megabytes).toFixed(2),
      },
    ]
  } finally {
    if (!server.ended) await server.kill()
    await rm(folder, { recursive: true })
  }
}
