/**
 * `npm run bench [-- --quick] [-- --size MIB] [-- --objects N] [-- --store FOLDER] [-- --only NAME,…] [-- --write]`: the figures of this machine, each beside the
 * limit that was measured in the same run. `--objects`: how many history is measured with at most; `--store`: where, to be used again. `--write` puts them into docs/benchmarks.md.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { startServer } from '../conformance/server.ts'
import { dedupeRows } from './dedupe.ts'
import { egressRows } from './egress.ts'
import { commitInto, flushLatency, listing, objects, openBench, streams } from './figures.ts'
import { gcRows } from './gc.ts'
import { historyRows } from './history.ts'
import { type Limits, measureLimits, type Scale } from './limits.ts'
import { millionRows } from './million.ts'
import {
  limitLines,
  listRow,
  machineLine,
  objectRows,
  type Row,
  repeatedRow,
  streamRows,
  table,
  writeBetweenMarkers,
} from './report.ts'
import { storeRows } from './store.ts'

const MIB = 1024 * 1024
const parts = [
  'objects',
  'streams',
  'list',
  'commit',
  'flush',
  'egress',
  'dedupe',
  'history',
  'million',
  'store',
] as const
type Part = (typeof parts)[number]

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    size: { type: 'string' },
    only: { type: 'string' },
    objects: { type: 'string' },
    store: { type: 'string' },
    write: { type: 'boolean', default: false },
  },
})
const wanted = new Set<string>(values.only?.split(',') ?? parts)
const unknown = [...wanted].filter((name) => !parts.includes(name as Part))
if (unknown.length > 0) throw new Error(`there is no part ${unknown.join(', ')}; there are: ${parts.join(', ')}`)
const sizeMib = Number(values.size ?? (values.quick ? 128 : 1024))
const scale: Scale = { count: values.quick ? 5_000 : 30_000, connections: 64, largeBytes: sizeMib * MIB }
/** From the least on: the others are compared with it. */
const most = Number(values.objects ?? (values.quick ? 100_000 : 1_000_000))
const historySizes = [10_000, 1_000_000, most].filter((size, index, all) => size <= most && all.indexOf(size) === index)
const sizeText = sizeMib % 1024 === 0 ? `${sizeMib / 1024} GiB` : `${sizeMib} MiB`

async function figures(base: string): Promise<{ limits: Limits; rows: Row[] }> {
  const data = join(base, 'data')
  await mkdir(data)
  // Commits are asked for; the idle time would seal in the middle of a load.
  const environment = { SLUICE_LOG_LEVEL: 'warn', SLUICE_BATCH_IDLE_MS: '600000', SLUICE_BATCH_MAX_AGE_MS: '3600000' }
  const server = await startServer({ folder: data, environment })
  const rows: Row[] = []
  try {
    const limits = await measureLimits(base, scale, server.credentials)
    const bench = await openBench(server, base, scale)
    const part = async (name: Part, work: () => Promise<Row[]>) => {
      if (!wanted.has(name)) return
      console.error(`measuring: ${name}`)
      const found = await work()
      rows.push(...found)
      for (const { what, figure, perCore, share } of found) console.error(`  ${what}: ${figure}; ${perCore}; ${share}`)
    }
    await part('objects', async () => objectRows(await objects(bench), limits))
    await part('streams', async () => streamRows(await streams(bench), limits, sizeText))
    await part('list', async () => [listRow(await listing(bench), limits)])
    await part('commit', async () => {
      const sizes = values.quick ? [2_000, 10_000] : [10_000, 100_000]
      const found: Row[] = []
      for (const size of sizes) {
        const what = `one change committed into ${size.toLocaleString('en')} objects`
        found.push(repeatedRow(what, await commitInto(bench, size), limits))
      }
      return found
    })
    await part('flush', async () => {
      const found = await flushLatency(bench)
      return [repeatedRow(`last PUT to output read, trivial pipeline (${found.runner})`, found, limits)]
    })
    bench.client.close()
    await server.stop()
    await part('egress', () => egressRows(base, values.quick))
    await part('history', () =>
      historyRows(base, { sizes: historySizes, ...(values.store && { store: values.store }) }),
    )
    await part('million', () => millionRows(base, values.quick ? 50_000 : 1_000_000))
    await part('dedupe', () => dedupeRows(base, values.quick))
    await part('store', () => storeRows(base, values.quick, limits.sha256Megabytes))
    await part('store', () => gcRows(base, values.quick))
    return { limits, rows }
  } catch (error) {
    console.error(server.output().slice(-4000))
    throw error
  } finally {
    if (!server.ended) await server.kill()
  }
}

const base = await mkdtemp(join(tmpdir(), 'sluice-bench-'))
try {
  const { limits, rows } = await figures(base)
  const command = ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' ')
  const text = [
    `\`${command}\` on ${machineLine()}:`,
    table(rows),
    'The limits of that run:',
    limitLines(limits)
      .map((line) => `- ${line}`)
      .join('\n'),
  ].join('\n\n')
  console.log(text)
  if (values.write) await writeBetweenMarkers(join(import.meta.dirname, '../docs/benchmarks.md'), text)
} finally {
  await rm(base, { recursive: true, force: true })
}
