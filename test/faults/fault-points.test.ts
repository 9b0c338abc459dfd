import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Server, startServer, testCredentials } from '../../conformance/server.ts'
import {
  FAULT_MARK,
  FAULT_POINTS,
  type FaultKind,
  type FaultPoint,
  openSqlite,
  signRequest,
  silentLog,
} from '../../src/kernel/index.ts'
import { assertSound } from '../../src/versioning/testing/fsck.ts'
import { type Client, createClient } from './client.ts'
import { buildForgetful, crash, forgetfulEnvironment, seedShadow } from './forgetful.ts'
import { randomNumbers, Workload } from './workload.ts'

const full = process.env['FAULTS'] === 'full'
const seed = Number(process.env['FAULTS_SEED'] ?? Date.now() % 1_000_000)
const TIMEOUT_MS = 60 * 60_000
/** A point that is passed more often than this is as good as any other time. */
const MAX_PASSAGES = 200
const ROUNDS = full ? 3 : 1
/** Before anything is collected, and after. */
const FIRST_WRITES = 12
const WRITES = full ? 60 : 30
const SLOWEST_MS = 20_000
/** Of each of the files that go: together more than what stays, so that packs are worth rewriting. */
const GARBAGE_BYTES = 900_000
const COLLECTIONS = 4
const BETWEEN_COLLECTIONS_MS = 200
const bucket = 'master.stream'
const credentials = testCredentials()
const settings = { SLUICE_BATCH_IDLE_MS: '100', SLUICE_LOG_LEVEL: 'warn' }

interface Case {
  readonly point: FaultPoint
  readonly kind: FaultKind
  /** Also loses what was not fsynced. */
  readonly power?: boolean
}

/** Of every `npm test`; `FAULTS=full` takes all points in all ways, at the 1st, 2nd, 4th, … passage until none is left. */
const few: readonly (Case & { readonly passage: number })[] = [
  { point: 'pack.write', kind: 'torn', passage: 5 },
  { point: 'pack.sync', kind: 'EIO', passage: 4 },
  { point: 'sql.commit', kind: 'ENOSPC', passage: 20 },
  { point: 'commit.finish', kind: 'kill', passage: 1 },
  { point: 'gc.repack', kind: 'kill', passage: 1 },
]

const all: readonly Case[] = Object.entries(FAULT_POINTS).flatMap(([point, kinds]) =>
  kinds.flatMap((kind): Case[] => {
    const one = { point: point as FaultPoint, kind }
    return kind === 'kill' || kind === 'torn' ? [one, { ...one, power: true }] : [one]
  }),
)

describe(`a store in which one step goes wrong (seed ${seed})`, () => {
  let base: string
  let library = ''
  let runs = 0
  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-fault-points-'))
    const built = await buildForgetful(base)
    if ('library' in built) library = built.library
  })
  after(() => rm(base, { recursive: true, force: true }))

  /** Whether the point was passed so often. Throws if anything that was acknowledged is gone, or the store is damaged. */
  async function goesWrong({ point, kind, power }: Case, passage: number): Promise<boolean> {
    const folder = join(base, `store-${++runs}`)
    const shadow = `${folder}.shadow`
    await mkdir(folder)
    if (power) await seedShadow(folder, shadow)
    const fault = { FAULT: `${point}:${passage}:${kind}` }
    const layer = power ? forgetfulEnvironment({ library, folder, shadow }) : {}
    const environment = { ...settings, ...layer, ...fault }
    const workload = new Workload({ bucket, workers: 4, random: randomNumbers(seed) })
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
      await work(server, client, workload)
      client.close()
      passed = server.output().includes(FAULT_MARK)
      // What a failed disk leaves running must not be able to acknowledge anything; what is full goes on.
      if (passed && kind === 'EIO' && point !== 'pack.remove')
        assert.ok(server.ended, 'it went on after the disk failed')
      if (!server.ended) await server.kill()
    }
    if (power) await crash(folder, shadow)
    await verify(folder, workload)
    await rm(folder, { recursive: true, force: true })
    return passed
  }

  async function verify(folder: string, workload: Workload): Promise<void> {
    const server = await startServer({ folder, credentials, environment: settings })
    const client = createClient(server.s3Url, credentials)
    try {
      if (workload.acknowledged > 0) {
        assert.deepEqual(await workload.verify(client, { everything: true }), [])
        const flushed = await client.send('POST', `/${bucket}`, { query: 'flush=&timeout=60' })
        assert.equal(flushed.status, 200, flushed.body.toString())
        // Collecting goes on where it was cut off, and takes nothing that is in use.
        await collect(server)
        assert.deepEqual(await workload.verify(client, { everything: true }), [])
      }
      const sets = await client.send('GET', `/${bucket}`, { query: 'list-type=2&prefix=set/' })
      const files = sets.body.toString().split('<Key>').length - 1
      assert.ok(files === 0 || files === 5 || sets.status === 404, `${files} files of a transaction that has five`)
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
      const name = `${one.point} ${one.kind}${one.power ? ', and the power' : ''}`
      it(`loses nothing: ${name}`, { timeout: TIMEOUT_MS }, async (t) => {
        if (one.power && !library) return t.skip('there is no C compiler (cc) here')
        let passages = 0
        for (let passage = 1; passage <= MAX_PASSAGES && (await goesWrong(one, passage)); passage *= 2) passages++
        t.diagnostic(`went wrong at ${passages} passages`)
        assert.ok(passages > 0, 'the work never came to this point, so nothing is proved')
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

/** Writes of all kinds, commits, a transaction and a collection; ends with all of it done, or when the server is gone. */
async function work(server: Server, client: Client, workload: Workload): Promise<void> {
  const send = (...[method, path, options]: Parameters<Client['send']>) =>
    client.send(method, path, options).catch(() => {
      // The server died on the way, or the answer said that it is full: what was not acknowledged may be missing.
    })
  if ((await send('PUT', `/${bucket}`))?.status !== 200) return
  for (let round = 0; round < ROUNDS && !server.ended; round++) {
    await write(server, client, workload, FIRST_WRITES, async () => {})
    // What nothing refers to any more, beside a little that is kept: the pack is worth rewriting.
    await send('PUT', `/${bucket}/kept/${round}`, { body: Buffer.alloc(5_000, 'kept') })
    await send('PUT', '/master.gone')
    const garbage = Array.from({ length: 24 }, (_, n) => {
      const body = Buffer.alloc(GARBAGE_BYTES, createHash('sha256').update(`${round} ${n}`).digest())
      return send('PUT', `/master.gone/${n}`, { body })
    })
    await Promise.all(garbage)
    await request(server, 'DELETE', '/v1/repos/gone')
    // The changes of a repo go bit by bit, and what they refer to only then.
    for (let times = 0; times < COLLECTIONS && !server.ended; times++) {
      await sleep(BETWEEN_COLLECTIONS_MS)
      await collect(server).catch(() => {
        // As above.
      })
    }
    await write(server, client, workload, WRITES, async () => {
      const committed = send('POST', `/${bucket}`, { query: 'flush=&timeout=10' })
      await transaction(send)
      await committed
    })
  }
}

/** So many acknowledged writes, and those that are made while `then` goes on. */
async function write(
  server: Server,
  client: Client,
  workload: Workload,
  writes: number,
  then: () => Promise<unknown>,
): Promise<void> {
  const controller = new AbortController()
  const writing = workload.run(client, controller.signal)
  const wanted = workload.acknowledged + writes
  const deadline = Date.now() + SLOWEST_MS
  while (workload.acknowledged < wanted && !server.ended && Date.now() < deadline) await sleep(5)
  await then()
  controller.abort()
  await writing
}

async function transaction(send: (method: string, path: string, options?: { body: Buffer }) => Promise<unknown>) {
  await send('PUT', `/tx-job.${bucket}`)
  for (let n = 0; n < 5; n++) await send('PUT', `/tx-job.${bucket}/set/${n}`, { body: Buffer.from(`set ${n}`) })
  await send('PUT', `/tx-job.${bucket}/.sluice/commit`, { body: Buffer.from('') })
}

async function collect(server: Server): Promise<void> {
  const answer = await request(server, 'POST', '/v1/gc', { dryRun: false, graceSeconds: 0 })
  assert.match(answer ?? '', /"kind":"done"/)
}

/** Undefined if it did not come to an answer. */
async function request(server: Server, method: string, path: string, body?: object): Promise<string | undefined> {
  const text = body === undefined ? '' : JSON.stringify(body)
  const url = `${server.apiUrl}${path}`
  const { host: _host, ...headers } = signRequest({
    method,
    url,
    headers: body === undefined ? {} : { 'content-type': 'application/json' },
    bodySha256: createHash('sha256').update(text).digest('hex'),
    ...credentials,
    region: 'us-east-1',
    service: 's3',
    now: new Date(),
  })
  try {
    const reply = await fetch(url, { method, headers, ...(body === undefined ? {} : { body: text }) })
    return await reply.text()
  } catch {
    return undefined
  }
}
