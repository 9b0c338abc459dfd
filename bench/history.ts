/** The figures of history, by the number of objects: what must cost as much as what changed, and not as much as what is there. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { startServer } from '../conformance/server.ts'
import type { BranchJson, CommitJson } from '../src/api/contract.ts'
import {
  askJson,
  type Built,
  buildRepo,
  expectOk,
  type HistoryBench,
  importChanges,
  keyOf,
  memoryOf,
  openHistoryBench,
  scattered,
} from './history-store.ts'
import type { Row } from './report.ts'

const ROUNDS = 21
const WARM_UP = 5
const FEW = 10
const MANY = 100_000
/** PUTs that are measured while nothing else goes on. */
const IDLE_PUTS = 2_000

/** What is asked of a benchmark of history. */
export interface HistoryOptions {
  readonly sizes: readonly number[]
  /** Kept, and used again where it is there already; left out, a folder of this run. */
  readonly store?: string
}

/** Times of one operation, in ms. */
interface Times {
  readonly medianMs: number
  readonly p99Ms: number
}

type Figures = ReadonlyMap<string, Times>

const count = (objects: number) => objects.toLocaleString('en')
const ms = (value: number) => `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`
const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20).toLocaleString('en')} MiB`

export async function historyRows(base: string, { sizes, store }: HistoryOptions): Promise<Row[]> {
  const folder = store ?? join(base, 'history')
  await mkdir(folder, { recursive: true })
  const environment = { SLUICE_LOG_LEVEL: 'warn', SLUICE_BATCH_IDLE_MS: '600000', SLUICE_BATCH_MAX_AGE_MS: '3600000' }
  const server = await startServer({ folder, environment })
  const bench = openHistoryBench(server)
  const rows: Row[] = []
  const note = (row: Row) => {
    rows.push(row)
    console.error(`  ${row.what}: ${row.figure}; ${row.limit}; ${row.share}`)
  }
  try {
    const bySize = new Map<number, Figures>()
    for (const objects of sizes) {
      const built = await buildRepo(bench, repoOf(objects), objects)
      if (built) note(builtRow(built))
      bySize.set(objects, await figuresOf(bench, objects))
      for (const row of rowsOf(objects, bySize, sizes[0]!)) note(row)
    }
    note(memoryRow(bench, sizes.at(-1)!))
    return rows
  } finally {
    bench.s3.close()
    bench.api.close()
    if (!server.ended) await server.stop()
  }
}

const repoOf = (objects: number) => (objects >= 1e6 ? `h${objects / 1e6}m` : `h${objects / 1e3}k`)

function builtRow({ objects, seconds, cpuSeconds, storedBytes, peakBytes }: Built): Row {
  return {
    what: `${count(objects)} objects imported from a tar archive`,
    figure: `${seconds.toFixed(1)} s, ${count(Math.round(objects / seconds))}/s`,
    perCore: `${count(Math.round(objects / cpuSeconds))}/s`,
    limit: `${mib(storedBytes)} stored, ${Math.round(storedBytes / objects)} bytes an object`,
    share: `${mib(peakBytes)} of memory at most`,
  }
}

function memoryRow({ server }: HistoryBench, objects: number): Row {
  const { nowBytes, peakBytes } = memoryOf(server.pid)
  return {
    what: `memory of the process with ${count(objects)} objects, after all of this`,
    figure: `${mib(nowBytes)}, at most ${mib(peakBytes)}`,
    perCore: '',
    limit: 'wanted: under 1,024 MiB',
    share: (peakBytes / 2 ** 30).toFixed(2),
  }
}

/** What each figure must reach, as DESIGN says it. */
const wanted: Readonly<Record<string, string>> = {
  'one change committed': 'wanted: 3 ×, 20 ms',
  'diff of 10 changes': 'wanted: 20 ms',
  'merge of 10 changes': 'wanted: 20 ms',
  'page of 1,000 folders in the middle': 'wanted: 2 ×',
  'branch created': 'wanted: 5 ms',
  'branch restored': 'wanted: 5 ms',
  [`PUT while ${count(MANY)} random changes are folded`]: 'wanted: p99 3 × of idle',
}

function rowsOf(objects: number, bySize: ReadonlyMap<number, Figures>, smallest: number): Row[] {
  const rows: Row[] = []
  for (const [what, times] of bySize.get(objects)!) {
    const least = bySize.get(smallest)?.get(what)
    rows.push({
      what: `${what}, ${count(objects)} objects`,
      figure: `median ${ms(times.medianMs)}, p99 ${ms(times.p99Ms)}`,
      perCore: '',
      limit: [least && `${count(smallest)} objects: ${ms(least.medianMs)}`, wanted[what]].filter(Boolean).join('; '),
      share: least ? `${(times.medianMs / least.medianMs).toFixed(1)} ×` : '',
    })
  }
  return rows
}

async function figuresOf(bench: HistoryBench, objects: number): Promise<Figures> {
  const at = new HistoryOf(bench, objects)
  const figures = new Map<string, Times>()
  figures.set('one change committed', await at.oneChange())
  figures.set('diff of 10 changes', await at.diff())
  figures.set('merge of 10 changes', await at.merge())
  figures.set('page of 1,000 folders in the middle', await at.page('again'))
  figures.set('the same, read for the first time', await at.page('first'))
  figures.set('branch created', await at.createBranch())
  figures.set('branch restored', await at.restore())
  figures.set('commit of 1,000 random changes', await at.commitMany(1_000, 5))
  if (objects < MANY * 10) return figures
  figures.set('PUT, nothing else going on', await at.puts(IDLE_PUTS))
  const { put, commit } = await at.putsWhileFolding()
  figures.set(`PUT while ${count(MANY)} random changes are folded`, put)
  figures.set(`commit of ${count(MANY)} random changes, with other PUTs`, commit)
  figures.set(`merge of ${count(MANY)} changes`, await at.mergeMany())
  return figures
}

/** One repo of some size. */
class HistoryOf {
  readonly #bench: HistoryBench
  readonly #objects: number
  readonly #repo: string
  /** Goes on, so that no key is changed twice. */
  #next = Math.floor(Math.random() * 1e6)

  constructor(bench: HistoryBench, objects: number) {
    this.#bench = bench
    this.#objects = objects
    this.#repo = repoOf(objects)
  }

  oneChange(): Promise<Times> {
    return repeat(ROUNDS, async () => {
      await this.#change('master', 1)
      return timed(() => this.#flush('master'))
    })
  }

  diff(): Promise<Times> {
    return repeat(ROUNDS, async () => {
      await this.#change('master', FEW)
      await this.#flush('master')
      return timed(async () => {
        const path = `/v1/repos/${this.#repo}/commits/master/diff`
        const lines = (await expectOk(this.#bench.api, 'GET', path)).body.toString().trim().split('\n')
        if (lines.length !== FEW) throw new Error(`${lines.length} differences instead of ${FEW}`)
      })
    })
  }

  merge(): Promise<Times> {
    return repeat(ROUNDS, async () => {
      const branch = await this.#branch()
      await this.#change(branch, FEW)
      await this.#flush(branch)
      await this.#change('master', FEW)
      await this.#flush('master')
      const ms = await timed(() => this.#merge(branch))
      await this.#drop(branch)
      return ms
    })
  }

  /** `first`: another place each time; `again`: the one that was just read. */
  page(which: 'first' | 'again'): Promise<Times> {
    const folders = Math.floor(this.#objects / 5)
    return repeat(ROUNDS, async () => {
      const from = folders <= 2_000 ? folders / 4 : folders / 4 + ((this.#next++ * 7919) % (folders / 2))
      const query = `list-type=2&delimiter=%2F&max-keys=1000&start-after=folder-${String(Math.floor(from)).padStart(7, '0')}%2Fz`
      const read = () => expectOk(this.#bench.s3, 'GET', `/master.${this.#repo}`, { query })
      if (which === 'again') await read()
      return timed(async () => {
        const { body } = await read()
        if (!body.includes('<KeyCount>1000</KeyCount>')) throw new Error(`not a full page: ${body.subarray(0, 300)}`)
      })
    })
  }

  createBranch(): Promise<Times> {
    return repeat(ROUNDS, async () => {
      let branch = ''
      const ms = await timed(async () => {
        branch = await this.#branch()
      })
      await this.#drop(branch)
      return ms
    })
  }

  restore(): Promise<Times> {
    return repeat(ROUNDS, () => timed(() => this.#post('branches/master/restore', { to: 'master^' })))
  }

  commitMany(changes: number, rounds: number): Promise<Times> {
    return repeat(
      rounds,
      async () => {
        await this.#change('master', changes)
        return timed(() => this.#flush('master'))
      },
      1,
    )
  }

  /** One after the other, on a branch of its own. */
  async puts(total: number): Promise<Times> {
    const branch = await this.#branch()
    const times: number[] = []
    for (let i = 0; i < total; i++) times.push(await timed(() => this.#change(branch, 1)))
    await this.#drop(branch)
    return timesOf(times)
  }

  /** The changes are staged first, as fast as they are taken; what is measured is the PUTs of others until their commit is finished. */
  async putsWhileFolding(): Promise<{ put: Times; commit: Times }> {
    const other = await this.#branch()
    await this.#change('master', MANY)
    let done = false
    const folding = timed(() => this.#flush('master')).finally(() => {
      done = true
    })
    const times: number[] = []
    while (!done) times.push(await timed(() => this.#change(other, 1)))
    const commitMs = await folding
    await this.#drop(other)
    return { put: timesOf(times), commit: timesOf([commitMs]) }
  }

  async mergeMany(): Promise<Times> {
    const branch = await this.#branch()
    await importChanges(this.#bench, this.#repo, branch, this.#objects, MANY)
    await this.#change('master', FEW)
    await this.#flush('master')
    const ms = await timed(() => this.#merge(branch))
    await this.#drop(branch)
    return timesOf([ms])
  }

  /** Overwrites so many objects at random. */
  async #change(branch: string, changes: number): Promise<void> {
    const lanes = Math.min(8, changes)
    let left = changes
    const lane = async () => {
      while (left-- > 0) {
        const n = this.#next++
        const key = keyOf(scattered(n, this.#objects))
        await expectOk(this.#bench.s3, 'PUT', `/${branch}.${this.#repo}/${key}`, { body: Buffer.from(`change ${n}`) })
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
  }

  async #flush(branch: string): Promise<void> {
    await expectOk(this.#bench.s3, 'POST', `/${branch}.${this.#repo}`, { query: 'flush=&timeout=3600' })
  }

  async #branch(): Promise<string> {
    const name = `side-${this.#next++}`
    await this.#post<BranchJson>('branches', { name, from: 'master' })
    return name
  }

  async #drop(branch: string): Promise<void> {
    await expectOk(this.#bench.api, 'DELETE', `/v1/repos/${this.#repo}/branches/${branch}`, { query: 'force=true' })
  }

  #merge(from: string): Promise<CommitJson> {
    return this.#post('branches/master/merge', { from })
  }

  #post<T>(path: string, body: unknown): Promise<T> {
    return askJson<T>(this.#bench.api, 'POST', `/v1/repos/${this.#repo}/${path}`, body)
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await work()
  return performance.now() - from
}

async function repeat(rounds: number, once: (round: number) => Promise<number>, warmUp = WARM_UP): Promise<Times> {
  for (let round = 0; round < warmUp; round++) await once(round)
  const times: number[] = []
  for (let round = 0; round < rounds; round++) times.push(await once(round))
  return timesOf(times)
}

function timesOf(times: readonly number[]): Times {
  const sorted = times.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.ceil(share * sorted.length) - 1] ?? 0
  return { medianMs: at(0.5), p99Ms: at(0.99) }
}
