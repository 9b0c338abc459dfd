import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Server, startServer, testCredentials } from '../../conformance/server.ts'
import type { EgressJson } from '../../src/api/contract.ts'
import { type FaultyProxy, type Seen, startFaultyProxy } from '../../src/egress/testing/faulty-proxy.ts'
import { type Client, createClient } from './client.ts'
import { randomNumbers } from './workload.ts'

/** `FAULTS=full` is the size that is promised; without it the suite is small enough for every `npm test`. */
const full = process.env['FAULTS'] === 'full'
const FILES = full ? 2_000 : 500
/** So many parts that some have not begun when half have arrived and the most that may be are on their way. */
const LARGE_MIB = full ? 2_048 : 160
const OUTAGE_MS = full ? 10_000 : 3_000
const TIMEOUT_MS = full ? 30 * 60_000 : 10 * 60_000
const MIB = 1024 * 1024
const seed = Number(process.env['FAULTS_SEED'] ?? Date.now() % 1_000_000)

/** What the engine may have on its way at once: see src/egress/limits.ts. */
const FILES_AT_ONCE = 16
const PARTS_AT_ONCE = 8
const PART_BYTES = 8 * MIB

const credentials = testCredentials()
const quiet = { SLUICE_LOG_LEVEL: 'warn', SLUICE_BATCH_IDLE_MS: '600000' }

const smallFile = (n: number) => ({
  path: `f/${String(n).padStart(5, '0')}`,
  bytes: Buffer.from(`file ${n} `.repeat(200)),
})
const small = Array.from({ length: FILES }, (_, n) => smallFile(n))

/** Pieces that differ from each other, the same each time. */
function* largePieces(): Generator<Buffer> {
  const random = randomNumbers(1)
  const block = Buffer.from(Array.from({ length: MIB }, () => Math.floor(random() * 256)))
  for (let n = 0; n < LARGE_MIB; n++) {
    block.writeUInt32LE(n, 0)
    block.writeUInt32LE(n, MIB / 2)
    yield Buffer.from(block)
  }
}

let largeSha256: string | undefined
function sha256OfLarge(): string {
  if (largeSha256 === undefined) {
    const hash = createHash('sha256')
    for (const piece of largePieces()) hash.update(piece)
    largeSha256 = hash.digest('hex')
  }
  return largeSha256
}

const isFile = ({ method, url }: Seen) => method === 'PUT' && !url.includes('uploadId=')
const isPart = ({ method, url }: Seen) => method === 'PUT' && url.includes('uploadId=')
const bytesOf = (seen: readonly Seen[]) => seen.reduce((sum, { bytes }) => sum + bytes, 0)

describe(`egress from one server to another (seed ${seed})`, { timeout: TIMEOUT_MS }, () => {
  let base: string
  let source: Server
  let target: Server
  let proxy: FaultyProxy
  let run = 0

  const startSource = () =>
    startServer({
      folder: join(base, 'source'),
      credentials,
      environment: { ...quiet, SLUICE_ALLOW_TARGETS: '127.0.0.1:*' },
    })
  const startTarget = () => startServer({ folder: join(base, 'target'), credentials, environment: quiet })

  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-egress-'))
    await mkdir(join(base, 'source'))
    await mkdir(join(base, 'target'))
    source = await startSource()
    const client = createClient(source.s3Url, credentials)
    for (const bucket of ['master.small', 'master.large']) await sent(client, 'PUT', `/${bucket}`)
    await Promise.all(small.map(({ path, bytes }) => sent(client, 'PUT', `/master.small/${path}`, { body: bytes })))
    const size = LARGE_MIB * MIB
    await sent(client, 'PUT', '/master.large/large.bin', { body: { size, pieces: largePieces } })
    for (const bucket of ['master.small', 'master.large']) {
      await sent(client, 'POST', `/${bucket}`, { query: 'flush=&timeout=60' })
    }
    client.close()
    await api('POST', '/v1/secrets', { name: 'target', ...credentials })
  })
  after(async () => {
    if (source && !source.ended) await source.kill()
    await rm(base, { recursive: true, force: true })
  })

  beforeEach(async () => {
    target = await startTarget()
    const client = createClient(target.s3Url, credentials)
    await sent(client, 'PUT', '/master.target')
    client.close()
    proxy = await startFaultyProxy(target.s3Url)
    run++
  })
  afterEach(async () => {
    await proxy.close()
    await target.stop()
  })

  async function api(method: string, path: string, body?: object): Promise<unknown> {
    const client = createClient(source.apiUrl, credentials)
    try {
      const json = body && { body: Buffer.from(JSON.stringify(body)), headers: { 'content-type': 'application/json' } }
      return JSON.parse((await sent(client, method, path, json ?? {})).body.toString())
    } finally {
      client.close()
    }
  }

  /** Asks for the push of a repo to a folder of this test's own; its id. */
  async function push(repo: string): Promise<string> {
    const URL = `s3://127.0.0.1:${proxy.port}/master.target/run-${run}`
    const asked = await api('POST', '/v1/egress', { commit: `${repo}@master`, egress: { URL, secret: 'target' } })
    return (asked as { egress: EgressJson }).egress.id
  }

  async function ended(id: string): Promise<EgressJson> {
    for (;;) {
      const found = (await api('GET', `/v1/egress/${id}`)) as EgressJson
      if (found.state === 'success' || found.state === 'failed') return found
      await sleep(50)
    }
  }

  async function endsWell(id: string): Promise<void> {
    const { state, reason } = await ended(id)
    assert.deepEqual([state, reason], ['success', undefined])
  }

  /** Resolves when this many requests of a kind have been answered. */
  async function answered(kind: (seen: Seen) => boolean, count: number): Promise<void> {
    while (proxy.seen.filter((seen) => kind(seen) && seen.answered).length < count) await sleep(2)
  }

  async function restart(): Promise<readonly Seen[]> {
    await source.kill()
    const before = proxy.seen.splice(0)
    source = await startSource()
    return before
  }

  async function assertSmallFilesAreThere(): Promise<void> {
    const client = createClient(target.s3Url, credentials)
    await Promise.all(
      small.map(async ({ path, bytes }) => {
        const { body } = await sent(client, 'GET', `/master.target/run-${run}/${path}`)
        assert.ok(body.equals(bytes), path)
      }),
    )
    const list = await sent(client, 'GET', '/master.target', {
      query: `list-type=2&prefix=run-${run}%2F&max-keys=1000`,
    })
    const listed = list.body.toString().match(/<Key>/g)?.length
    assert.equal(listed, Math.min(1000, FILES))
    client.close()
  }

  async function assertLargeFileIsThere(): Promise<void> {
    const got = createHash('sha256')
    const client = createClient(target.s3Url, credentials)
    await sent(client, 'GET', `/master.target/run-${run}/large.bin`, { onData: (piece) => got.update(piece) })
    client.close()
    assert.equal(got.digest('hex'), sha256OfLarge())
  }

  it(`killed in the middle of ${FILES} files, sends no more after that than what was missing`, async (t) => {
    const id = await push('small')
    await answered(isFile, FILES / 2)
    const before = (await restart()).filter(isFile)
    await endsWell(id)
    const afterwards = proxy.seen.filter(isFile)
    const arrived = new Set(before.filter((seen) => seen.answered).map(({ url }) => url))
    const again = afterwards.filter(({ url }) => arrived.has(url))
    t.diagnostic(
      `${arrived.size} had arrived, ${before.length - arrived.size} were on their way; ${afterwards.length} were sent`,
    )
    assert.deepEqual(
      again.map(({ url }) => url),
      [],
    )
    assert.ok(afterwards.length <= FILES - arrived.size)
    assert.ok(before.length - arrived.size <= FILES_AT_ONCE)
    await assertSmallFilesAreThere()
  })

  it(`killed in the middle of a file of ${LARGE_MIB} MiB, sends no part again that had arrived`, async (t) => {
    const id = await push('large')
    await answered(isPart, Math.floor((LARGE_MIB * MIB) / PART_BYTES / 2))
    const before = (await restart()).filter(isPart)
    await endsWell(id)
    const afterwards = proxy.seen.filter(isPart)
    const arrived = before.filter((seen) => seen.answered)
    t.diagnostic(
      `${bytesOf(arrived) / MIB} MiB had arrived, ${bytesOf(before) / MIB - bytesOf(arrived) / MIB} were on their way; ${bytesOf(afterwards) / MIB} were sent`,
    )
    assert.ok(bytesOf(afterwards) <= LARGE_MIB * MIB - bytesOf(arrived))
    assert.ok(before.length - arrived.length <= PARTS_AT_ONCE)
    await assertLargeFileIsThere()
  })

  it('killed between the last part and the note of it, does not begin again', async () => {
    // The answer to the completion never comes back: it is done, and nobody knows.
    let completed = false
    proxy.fault = ({ method, url }) => {
      if (method !== 'POST' || !url.includes('uploadId=')) return undefined
      completed = true
      return { kind: 'lose answer' }
    }
    const id = await push('large')
    while (!completed) await sleep(5)
    const client = createClient(target.s3Url, credentials)
    while ((await client.send('HEAD', `/master.target/run-${run}/large.bin`)).status !== 200) await sleep(20)
    client.close()
    await restart()
    proxy.fault = () => undefined
    await endsWell(id)
    assert.deepEqual(
      proxy.seen.filter(isPart).map(({ url }) => url),
      [],
    )
    await assertLargeFileIsThere()
  })

  it('gets everything through where 30 % of all requests fail, half of these after the target did what was asked', async (t) => {
    const random = randomNumbers(seed)
    let faults = 0
    proxy.fault = () => {
      const dice = random()
      if (dice >= 0.3) return undefined
      faults++
      if (dice < 0.15) return { kind: 'lose answer' }
      if (dice < 0.2) return { kind: 'reset' }
      if (dice < 0.25) return { kind: 'answer', status: 503, code: 'SlowDown' }
      return { kind: 'answer', status: 500, code: 'InternalError' }
    }
    await endsWell(await push('small'))
    t.diagnostic(`${faults} of ${proxy.seen.length} requests failed`)
    proxy.fault = () => undefined
    await assertSmallFilesAreThere()
  })

  it('gets a large file through where connections are cut at any byte', async (t) => {
    const random = randomNumbers(seed + 1)
    let cuts = 0
    proxy.fault = (seen) => {
      if (!isPart(seen) || random() >= 0.3) return undefined
      cuts++
      return { kind: 'cut', afterBytes: Math.floor(random() * PART_BYTES) }
    }
    await endsWell(await push('large'))
    t.diagnostic(`${cuts} connections were cut`)
    await assertLargeFileIsThere()
  })

  it(`waits for a target that is away for ${OUTAGE_MS} ms`, async () => {
    const id = await push('small')
    await answered(isFile, FILES / 4)
    await proxy.goDown()
    await sleep(OUTAGE_MS)
    await proxy.comeBack()
    await endsWell(id)
    await assertSmallFilesAreThere()
  })

  it('waits for a target that is killed and started again', async () => {
    const id = await push('large')
    await answered(isPart, 3)
    await target.kill()
    target = await startTarget()
    proxy.upstream = target.s3Url
    await endsWell(id)
    await assertLargeFileIsThere()
  })

  // Half a minute of pauses between tries.
  it('ends with the reason where the target answers nothing but errors', { skip: !full && 'FAULTS=full' }, async () => {
    proxy.fault = () => ({ kind: 'answer', status: 500, code: 'InternalError' })
    const failed = await ended(await push('small'))
    assert.equal(failed.state, 'failed')
    assert.match(failed.reason ?? '', /could not be pushed to s3:.*\(tried \d+ times\)/)
    proxy.fault = () => undefined
    await api('POST', `/v1/egress/${failed.id}/retry`)
    await endsWell(failed.id)
    await assertSmallFilesAreThere()
  })
})

async function sent(client: Client, ...request: Parameters<Client['send']>) {
  const answer = await client.send(...request)
  assert.ok(answer.status < 300, `${request[0]} ${request[1]}: ${answer.status} ${answer.body}`)
  return answer
}
