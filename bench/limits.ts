/** What this machine can do at all, measured in the same run: no figure of the server means anything without these. */
import { type ChildProcess, fork } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Credentials } from '../conformance/server.ts'
import { type Measured, measure } from './measure.ts'

const MIB = 1024 * 1024
const HASH_SECONDS = 1
const SYNC_SECONDS = 2

export interface Limits {
  readonly rawPut: Measured
  readonly rawPutOne: Measured
  readonly rawGet: Measured
  /** From a file to a socket by node's streams. */
  readonly rawFile: Measured
  /** Appends of 1 KiB, each followed by fdatasync, one after the other. */
  readonly syncsPerSecond: number
  /** Sequential write with one fdatasync at the end. */
  readonly diskWriteMegabytes: number
  readonly md5Megabytes: number
  readonly sha256Megabytes: number
}

export interface Scale {
  readonly count: number
  readonly connections: number
  readonly largeBytes: number
}

export async function measureLimits(folder: string, scale: Scale, credentials: Credentials): Promise<Limits> {
  const large = join(folder, 'raw-large')
  const diskWriteMegabytes = await writeLarge(large, scale.largeBytes)
  const child = fork(fileURLToPath(new URL('./raw-server.ts', import.meta.url)), [large, String(scale.largeBytes)])
  const [port] = (await once(child, 'message')) as [number]
  const url = `http://127.0.0.1:${port}`
  const many = (method: 'GET' | 'PUT', connections: number, count: number) =>
    measure(pidOf(child), {
      kind: 'many',
      method,
      url,
      path: '/{n}',
      keys: count,
      bodyBytes: method === 'PUT' ? 1024 : 0,
      count,
      connections,
      credentials,
    })
  try {
    // The server is warmed up too.
    await many('GET', scale.connections, Math.ceil(scale.count / 2))
    await many('PUT', scale.connections, Math.ceil(scale.count / 2))
    return {
      rawPut: await many('PUT', scale.connections, scale.count),
      rawPutOne: await many('PUT', 1, Math.ceil(scale.count / 5)),
      rawGet: await many('GET', scale.connections, scale.count),
      rawFile: await measure(pidOf(child), {
        kind: 'stream',
        method: 'GET',
        url,
        path: '/file',
        bytes: scale.largeBytes,
        signed: false,
        credentials,
      }),
      syncsPerSecond: await countSyncs(join(folder, 'raw-sync')),
      diskWriteMegabytes,
      md5Megabytes: hashSpeed('md5'),
      sha256Megabytes: hashSpeed('sha256'),
    }
  } finally {
    child.kill()
    await rm(large, { force: true })
  }
}

const pidOf = (child: ChildProcess) => child.pid ?? 0

async function writeLarge(path: string, bytes: number): Promise<number> {
  const block = randomBytes(MIB)
  const from = performance.now()
  const file = await open(path, 'w')
  for (let at = 0; at < bytes; at += MIB) await file.write(block, 0, Math.min(MIB, bytes - at))
  await file.datasync()
  await file.close()
  return bytes / (performance.now() - from) / 1000
}

async function countSyncs(path: string): Promise<number> {
  const file = await open(path, 'a')
  const bytes = randomBytes(1024)
  const from = performance.now()
  let count = 0
  while (performance.now() - from < SYNC_SECONDS * 1000) {
    await file.write(bytes)
    await file.datasync()
    count++
  }
  const seconds = (performance.now() - from) / 1000
  await file.close()
  await rm(path)
  return count / seconds
}

function hashSpeed(algorithm: 'md5' | 'sha256'): number {
  const block = randomBytes(MIB)
  const sum = createHash(algorithm)
  const from = performance.now()
  let bytes = 0
  while (performance.now() - from < HASH_SECONDS * 1000) {
    sum.update(block)
    bytes += block.length
  }
  sum.digest()
  return bytes / (performance.now() - from) / 1000
}
