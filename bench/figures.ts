/** The figures of the server, each with the load that makes it. */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Server } from '../conformance/server.ts'
import { runProgram } from '../conformance/support.ts'
import { type Client, createClient } from '../test/faults/client.ts'
import type { Scale } from './limits.ts'
import { cpuSeconds, type Measured, measure } from './measure.ts'

const LIST_OBJECTS = 2_000
const COMMIT_ROUNDS = 15
const FLUSH_ROUNDS = 15
const FOLD_WARM_UP = 3
/** Requests before those that count: the server's code is compiled by then, as it is in any server that has run for a minute. */
const WARM_UP = 15_000

export interface Bench {
  readonly server: Server
  readonly folder: string
  readonly client: Client
  readonly scale: Scale
}

export async function openBench(server: Server, folder: string, scale: Scale): Promise<Bench> {
  return { server, folder, client: createClient(server.s3Url, server.credentials, 1), scale }
}

async function expectOk(bench: Bench, method: string, path: string, query?: string, body?: Buffer): Promise<Buffer> {
  const answer = await bench.client.send(method, path, { ...(query ? { query } : {}), ...(body ? { body } : {}) })
  if (answer.status > 299) throw new Error(`${method} ${path}?${query ?? ''}: ${answer.status} ${answer.body}`)
  return answer.body
}

const createBucket = (bench: Bench, bucket: string) => expectOk(bench, 'PUT', `/${bucket}`)

/** Seals what is open and waits for all that follows; ms until the verdict was read. */
async function flush(bench: Bench, bucket: string): Promise<number> {
  const from = performance.now()
  await expectOk(bench, 'POST', `/${bucket}`, 'flush=&timeout=600')
  return performance.now() - from
}

interface Many {
  readonly method: 'GET' | 'PUT'
  readonly path: string
  readonly keys: number
  readonly bodyBytes: number
  readonly count: number
  readonly connections: number
  readonly query?: string
}

const many = (bench: Bench, load: Many): Promise<Measured> =>
  measure(bench.server.pid, {
    kind: 'many',
    url: bench.server.s3Url,
    credentials: bench.server.credentials,
    ...load,
  })

export interface Objects {
  readonly put: Measured
  readonly putOne: Measured
  readonly get: Measured
  readonly putMiddle: Measured
  readonly getMiddle: Measured
}

/** Small and middle objects: every PUT is a new key with new content, every GET reads a committed one or one just written. */
export async function objects(bench: Bench): Promise<Objects> {
  const { count, connections } = bench.scale
  const path = '/master.small/k/{n}'
  await createBucket(bench, 'master.small')
  await createBucket(bench, 'master.middle')
  const warm = Math.ceil(count / 5)
  const warmUp = Math.min(WARM_UP, count)
  const small = { bodyBytes: 1024, connections }
  await many(bench, { ...small, method: 'PUT', path: '/master.small/warm/{n}', keys: warmUp, count: warmUp })
  const put = await many(bench, { ...small, method: 'PUT', path, keys: count, count })
  const putOne = await many(bench, {
    ...small,
    method: 'PUT',
    path: '/master.small/one/{n}',
    keys: warm,
    count: Math.ceil(warm / 4),
    connections: 1,
  })
  await flush(bench, 'master.small')
  await many(bench, { ...small, method: 'GET', path, keys: count, bodyBytes: 0, count: warmUp })
  const get = await many(bench, { ...small, method: 'GET', path, keys: count, bodyBytes: 0, count: count * 2 })
  const middle = { path: '/master.middle/{n}', keys: Math.ceil(count / 20), bodyBytes: 100 * 1024, connections: 16 }
  const putMiddle = await many(bench, { ...middle, method: 'PUT', count: middle.keys })
  await flush(bench, 'master.middle')
  const getMiddle = await many(bench, { ...middle, method: 'GET', bodyBytes: 0, count: middle.keys * 2 })
  return { put, putOne, get, putMiddle, getMiddle }
}

export interface Streams {
  readonly putUnsigned: Measured
  readonly putSigned: Measured
  readonly get: Measured
}

export async function streams(bench: Bench): Promise<Streams> {
  await createBucket(bench, 'master.large')
  const stream = (method: 'GET' | 'PUT', path: string, signed: boolean) =>
    measure(bench.server.pid, {
      kind: 'stream',
      method,
      url: bench.server.s3Url,
      path,
      bytes: bench.scale.largeBytes,
      signed,
      credentials: bench.server.credentials,
    })
  const putUnsigned = await stream('PUT', '/master.large/unsigned', false)
  const putSigned = await stream('PUT', '/master.large/signed', true)
  return { putUnsigned, putSigned, get: await stream('GET', '/master.large/unsigned', false) }
}

/** A page of 1,000 keys, from the middle of a committed bucket. */
export async function listing(bench: Bench): Promise<Measured> {
  await createBucket(bench, 'master.list')
  await many(bench, {
    method: 'PUT',
    path: '/master.list/folder/{n}',
    keys: LIST_OBJECTS,
    bodyBytes: 100,
    count: LIST_OBJECTS,
    connections: 32,
  })
  await flush(bench, 'master.list')
  const pages = { method: 'GET', path: '/master.list', keys: 1, bodyBytes: 0, connections: 4 } as const
  await many(bench, { ...pages, query: 'list-type=2&max-keys=1000', count: 50 })
  return many(bench, { ...pages, query: 'list-type=2&max-keys=1000&start-after=folder%2F1500', count: 400 })
}

export interface Repeated {
  readonly medianMs: number
  readonly worstMs: number
  readonly cpuMs: number
}

/** One PUT, then the time from asking for the commit until it is finished and its verdict read. */
export async function commitInto(bench: Bench, count: number): Promise<Repeated> {
  const bucket = `master.tree-${count}`
  await createBucket(bench, bucket)
  const path = `/${bucket}/folder-{n}/file`
  await many(bench, { method: 'PUT', path, keys: count, bodyBytes: 16, count, connections: 64 })
  await flush(bench, bucket)
  const change = (round: number) =>
    expectOk(
      bench,
      'PUT',
      `/${bucket}/folder-${(round * 7919) % count}/changed`,
      undefined,
      Buffer.from(`change ${round}`),
    )
  return repeat(bench, COMMIT_ROUNDS, async (round) => {
    await change(round)
    return flush(bench, bucket)
  })
}

/** From the acknowledgement of the last PUT until the output of a trivial pipeline has been read. */
export async function flushLatency(bench: Bench): Promise<Repeated & { readonly runner: string }> {
  await createBucket(bench, 'master.in')
  const code = join(bench.folder, 'code')
  await mkdir(code, { recursive: true })
  // Without a sandbox there is no /pfs; then the runner says where it is instead.
  const pfs = '$' + '{SLUICE_PFS:-/pfs}'
  await writeFile(join(code, 'copy.sh'), `cp -R "${pfs}/in/." "${pfs}/out/"\n`)
  const spec = {
    pipeline: { name: 'out' },
    transform: { cmd: ['sh', 'copy.sh'], working_dir: code },
    input: { pfs: { repo: 'in', glob: '/*' } },
  }
  await writeFile(join(bench.folder, 'pipeline.json'), JSON.stringify(spec))
  const sluice = async (...args: string[]) => {
    const ran = await runProgram(process.execPath, ['bin/sluice.js', ...args], {
      environment: bench.server.clientEnvironment,
      folder: join(import.meta.dirname, '..'),
    })
    if (ran.code !== 0) throw new Error(`sluice ${args.join(' ')}: ${ran.stdout}${ran.stderr}`)
    return ran.stdout
  }
  await sluice('pipeline', 'create', '-f', join(bench.folder, 'pipeline.json'))
  const { runner } = JSON.parse(await sluice('pipeline', 'inspect', 'out', '--json')) as { runner: string }
  const result = await repeat(bench, FLUSH_ROUNDS, async (round) => {
    await expectOk(bench, 'PUT', '/master.in/file', undefined, Buffer.from(`round ${round}`))
    const from = performance.now()
    await flush(bench, 'master.in')
    const body = await expectOk(bench, 'GET', '/master.out/file')
    if (body.toString() !== `round ${round}`) throw new Error(`round ${round}: the output is ${body}`)
    return performance.now() - from
  })
  return { ...result, runner }
}

async function repeat(bench: Bench, rounds: number, once: (round: number) => Promise<number>): Promise<Repeated> {
  for (let round = 1; round <= FOLD_WARM_UP; round++) await once(round)
  const before = cpuSeconds(bench.server.pid)
  const times: number[] = []
  for (let round = 0; round < rounds; round++) times.push(await once(FOLD_WARM_UP + 1 + round))
  const cpuMs = ((cpuSeconds(bench.server.pid) - before) * 1000) / rounds
  times.sort((a, b) => a - b)
  return { medianMs: times[Math.floor(rounds / 2)] ?? 0, worstMs: times.at(-1) ?? 0, cpuMs }
}
