/** Very large commits: what others notice while a million objects are written, and then deleted, in one commit each. */
import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startServer } from '../conformance/server.ts'
import { expectOk, type HistoryBench, memoryOf, openHistoryBench } from './history-store.ts'
import { measure } from './measure.ts'
import type { Row } from './report.ts'

/** One load of the generator: it prepares its requests in memory. */
const PER_LOAD = 50_000
const PER_DELETE = 1_000
const DELETERS = 4
/** Between two looks of those who only look on. */
const PAUSE_MS = 20

const count = (value: number) => value.toLocaleString('en')
const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`

/** What somebody else measures, all the time that something goes on. */
interface Beside {
  readonly put: readonly number[]
  readonly list: readonly number[]
}

export async function millionRows(base: string, objects: number): Promise<Row[]> {
  const folder = join(base, 'million')
  await mkdir(folder)
  const environment = {
    SLUICE_LOG_LEVEL: 'warn',
    SLUICE_BATCH_IDLE_MS: '600000',
    SLUICE_BATCH_MAX_AGE_MS: '3600000',
    SLUICE_BATCH_MAX_CHANGES: String(2 * objects),
  }
  const server = await startServer({ folder, environment })
  const bench = openHistoryBench(server)
  try {
    for (const bucket of ['master.million', 'master.other']) await expectOk(bench.s3, 'PUT', `/${bucket}`)
    const rows: Row[] = []
    const part = async (what: string, work: () => Promise<string>) => {
      const [figure, beside] = await besides(bench, work)
      rows.push(besideRow(what, figure, beside))
    }
    await part('nothing else', async () => {
      await new Promise((resolve) => setTimeout(resolve, 10_000))
      return ''
    })
    await part(`${count(objects)} PUTs into one commit`, () => putAll(bench, objects))
    await part('finishing it', () => flush(bench))
    await part(`${count(objects)} deletes into one commit`, () => deleteAll(bench, objects))
    await part('finishing that', () => flush(bench))
    rows.push(memoryRow(bench))
    return rows
  } finally {
    bench.s3.close()
    bench.api.close()
    if (!server.ended) await server.stop()
  }
}

/** Does the work while another client PUTs to another branch and lists pages of this one, in turns. */
async function besides(bench: HistoryBench, work: () => Promise<string>): Promise<readonly [string, Beside]> {
  const other = openHistoryBench(bench.server)
  const beside = { put: [] as number[], list: [] as number[] }
  let done = false
  const watch = async () => {
    for (let n = 0; !done; n++) {
      const body = Buffer.from(`beside ${n}`)
      beside.put.push(await timed(() => expectOk(other.s3, 'PUT', `/master.other/k-${n % 1000}`, { body })))
      const query = `list-type=2&max-keys=1000&start-after=k%2F${String((n * 7919) % 1_000_000)}`
      beside.list.push(await timed(() => expectOk(other.s3, 'GET', '/master.million', { query })))
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }
  const watching = watch()
  try {
    const figure = await work()
    return [figure, beside]
  } finally {
    done = true
    await watching
    other.s3.close()
    other.api.close()
  }
}

async function putAll({ server }: HistoryBench, objects: number): Promise<string> {
  let seconds = 0
  for (let from = 0; from < objects; from += PER_LOAD) {
    const keys = Math.min(PER_LOAD, objects - from)
    const load = await measure(server.pid, {
      kind: 'many',
      method: 'PUT',
      path: `/master.million/k/${from / PER_LOAD}-{n}`,
      keys,
      count: keys,
      bodyBytes: 100,
      connections: 32,
      url: server.s3Url,
      credentials: server.credentials,
    })
    seconds += load.seconds
  }
  return `${seconds.toFixed(1)} s, ${count(Math.round(objects / seconds))}/s`
}

async function deleteAll(bench: HistoryBench, objects: number): Promise<string> {
  const from = performance.now()
  let next = 0
  const deleter = async () => {
    for (let first = next; first < objects; first = next) {
      next += PER_DELETE
      await deleteSome(bench, first, Math.min(objects, first + PER_DELETE))
    }
  }
  await Promise.all(Array.from({ length: DELETERS }, deleter))
  const seconds = (performance.now() - from) / 1000
  return `${seconds.toFixed(1)} s, ${count(Math.round(objects / seconds))}/s`
}

async function deleteSome(bench: HistoryBench, from: number, to: number): Promise<void> {
  const keys = Array.from({ length: to - from }, (_, i) => {
    const n = from + i
    return `<Object><Key>k/${Math.floor(n / PER_LOAD)}-${n % PER_LOAD}</Key></Object>`
  })
  const body = Buffer.from(`<Delete><Quiet>true</Quiet>${keys.join('')}</Delete>`)
  const headers = { 'content-md5': createHash('md5').update(body).digest('base64') }
  const answer = await expectOk(bench.s3, 'POST', '/master.million', { query: 'delete=', headers, body })
  if (answer.body.includes('<Error>')) throw new Error(`not deleted: ${answer.body.subarray(0, 500)}`)
}

async function flush(bench: HistoryBench): Promise<string> {
  const seconds =
    (await timed(() => expectOk(bench.s3, 'POST', '/master.million', { query: 'flush=&timeout=3600' }))) / 1000
  return `${seconds.toFixed(1)} s`
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await work()
  return performance.now() - from
}

function besideRow(what: string, figure: string, { put, list }: Beside): Row {
  const of = (times: readonly number[]) => {
    const sorted = times.toSorted((a, b) => a - b)
    const at = (share: number) => ms(sorted[Math.ceil(share * sorted.length) - 1] ?? 0)
    return `p50 ${at(0.5)}, p99 ${at(0.99)}, worst ${at(1)}`
  }
  return {
    what,
    figure,
    perCore: '',
    limit: `another branch's PUT: ${of(put)}`,
    share: `page of 1,000 of it: ${of(list)}`,
  }
}

function memoryRow({ server }: HistoryBench): Row {
  const peak = Math.round(memoryOf(server.pid).peakBytes / 2 ** 20)
  return { what: 'memory of the process', figure: `at most ${count(peak)} MiB`, perCore: '', limit: '', share: '' }
}
