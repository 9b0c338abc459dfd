import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { startServer, testCredentials } from '../../conformance/server.ts'
import {
  FAULT_MARK,
  FAULT_POINTS,
  type FaultKind,
  type FaultPoint,
  openSqlite,
  silentLog,
} from '../../src/kernel/index.ts'
import { assertSound } from '../../src/versioning/testing/fsck.ts'
import { tarOf } from '../../src/versioning/testing/tar.ts'
import { type Client, createClient } from './client.ts'
import { bucket, checkDeeds, collect, Deeds, importedFiles } from './deeds.ts'
import { buildForgetful, crash, forgetfulEnvironment, seedShadow } from './forgetful.ts'
import { randomNumbers, Workload } from './workload.ts'

const full = process.env['FAULTS'] === 'full'
const seed = Number(process.env['FAULTS_SEED'] ?? Date.now() % 1_000_000)
/** To go on until a point is not passed any more: each passage at most so many times later than the one before. 8: half an hour; 2: hours. */
const longStep = process.env['FAULTS_STEP']
const STEP = Number(longStep ?? 8)
const TIMEOUT_MS = 60 * 60_000
/** Else only the first. A point that is passed more often than the most is as good as any other time. */
const MAX_PASSAGES = longStep === undefined ? 1 : 200
/** They wait for flushes and for processes that start, most of their time. */
const AT_ONCE = full ? 3 : 2
const WORKERS = 3
/** Between the writes of each of them: what they write is copied, backed up and checked again and again. */
const REST_MS = 60
const credentials = testCredentials()
const archive = tarOf(...importedFiles)
const settings = { SLUICE_BATCH_IDLE_MS: '100', SLUICE_LOG_LEVEL: 'warn', SLUICE_UNREACHABLE_DAYS: '0' }
/** Where a disk that fails is no reason to stop: what was to be done can be done again. */
const answered: ReadonlySet<FaultPoint> = new Set(['pack.remove', 'backup.piece', 'backup.manifest'])

interface Case {
  readonly point: FaultPoint
  readonly kind: FaultKind
  /** Also loses what was not fsynced. */
  readonly power?: boolean
}

/** Of every `npm test`; `FAULTS=full` takes all points in all ways. */
const few: readonly (Case & { readonly passage: number })[] = [
  { point: 'pack.write', kind: 'torn', passage: 5 },
  { point: 'pack.sync', kind: 'EIO', passage: 4 },
  { point: 'sql.commit', kind: 'ENOSPC', passage: 20 },
  { point: 'gc.repack', kind: 'kill', passage: 1 },
  { point: 'purge.tree', kind: 'kill', passage: 1 },
]

const all: readonly Case[] = Object.entries(FAULT_POINTS).flatMap(([point, kinds]) =>
  kinds.map((kind) => ({ point: point as FaultPoint, kind })),
)

describe(`a store in which one step goes wrong (seed ${seed})`, { concurrency: AT_ONCE }, () => {
  let base: string
  let library = ''
  let runs = 0
  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-fault-points-'))
    const built = await buildForgetful(base)
    if ('builtAs' in built) library = built.builtAs
  })
  after(() => rm(base, { recursive: true, force: true }))

  /** Whether the point was passed so often. Throws if anything that was acknowledged is gone, or the store is damaged. */
  async function goesWrong({ point, kind, power }: Case, passage: number): Promise<boolean> {
    const folder = join(base, `store-${++runs}`)
    const shadow = `${folder}.shadow`
    const backups = `${folder}.backups`
    for (const path of [folder, backups]) await mkdir(path)
    if (power) await seedShadow(folder, shadow)
    const fault = { FAULT: `${point}:${passage}:${kind}` }
    const layer = power ? forgetfulEnvironment({ library, folder, shadow }) : {}
    const environment = { ...settings, ...layer, ...fault }
    const workload = new Workload({ bucket, workers: WORKERS, random: randomNumbers(seed) })
    const done = new Set<string>()
    let passed = false
    // One that goes wrong before it is up has nothing acknowledged.
    const server = await startServer({ folder, credentials, environment, entry: 'test/faults/faulty-main.ts' }).catch(
      (error: Error) => {
        if (!error.message.includes(FAULT_MARK)) throw error
        passed = true
        return undefined
      },
    )
    if (server) {
      const client = createClient(server.s3Url, credentials)
      await work(client, workload, new Deeds(server, client, { archive, backups, done }))
      client.close()
      passed = server.output().includes(FAULT_MARK)
      // What a failed disk leaves running must not be able to acknowledge anything; what is full goes on.
      if (passed && kind === 'EIO' && !answered.has(point)) assert.ok(server.ended, 'it went on after the disk failed')
      if (!server.ended) await server.kill()
    }
    if (power) await crash(folder, shadow)
    await verify(folder, workload, { backups, done })
    for (const path of [folder, backups]) await rm(path, { recursive: true, force: true })
    return passed
  }

  /** What ends the process is tried with the loss of what was not fsynced, and where there is time also without. */
  async function inAllWays(one: Case, passage: number): Promise<boolean> {
    const ends = one.kind === 'kill' || one.kind === 'torn'
    if (!ends || library === '') return goesWrong(one, passage)
    if (longStep === undefined) return goesWrong({ ...one, power: true }, passage)
    return (await goesWrong(one, passage)) && (await goesWrong({ ...one, power: true }, passage))
  }

  async function verify(folder: string, workload: Workload, deeds: Parameters<typeof checkDeeds>[2]): Promise<void> {
    const server = await startServer({ folder, credentials, environment: settings })
    const client = createClient(server.s3Url, credentials)
    try {
      if (workload.acknowledged > 0) {
        assert.deepEqual(await workload.verify(client, { everything: true }), [])
        const flushed = await client.send('POST', `/${bucket}`, { query: 'flush=&timeout=60' })
        assert.equal(flushed.status, 200, flushed.body.toString())
        await checkDeeds(server, client, deeds)
        // Collecting goes on where it was cut off, and takes nothing that is in use.
        await collect(server)
        assert.deepEqual(await workload.verify(client, { everything: true }), [])
      }
    } finally {
      client.close()
      await server.stop()
    }
    const db = await openSqlite({ file: join(folder, 'meta.sqlite'), log: silentLog })
    try {
      await assertSound({ db, folder }, { deep: true })
    } finally {
      await db.close()
    }
  }

  if (full) {
    for (const one of all) {
      it(`loses nothing: ${one.point} ${one.kind}`, { timeout: TIMEOUT_MS }, async (t) => {
        const random = randomNumbers(seed)
        const passages: number[] = []
        for (let last = 1, next = 1; last <= MAX_PASSAGES; last *= STEP) {
          if (!(await inAllWays(one, next))) break
          passages.push(next)
          next = Math.ceil(last * (1 + random() * (STEP - 1))) + 1
        }
        t.diagnostic(`went wrong at passages ${passages.join(', ')}`)
        if (!library) t.diagnostic('never without power: there is no C compiler (cc) here')
        assert.ok(passages.length > 0, 'the work never came to this point, so nothing is proved')
      })
    }
    return
  }
  for (const { passage, ...one } of few) {
    it(`loses nothing: ${one.point} ${one.kind}, at passage ${passage}`, { timeout: TIMEOUT_MS }, async () => {
      assert.ok(await goesWrong(one, passage), 'the work never came to this point, so nothing is proved')
    })
  }
})

/** All deeds while others write; ends when they are done, or when the server is gone. */
async function work(client: Client, workload: Workload, deeds: Deeds): Promise<void> {
  const made = await client.send('PUT', `/${bucket}`).catch(() => undefined)
  if (made?.status !== 200) return
  const controller = new AbortController()
  const writing = workload.run(slowed(client), controller.signal)
  await deeds.all()
  controller.abort()
  await writing
}

function slowed(client: Client): Client {
  return {
    ...client,
    send: async (...request) => {
      await sleep(REST_MS)
      return client.send(...request)
    },
  }
}
