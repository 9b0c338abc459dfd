import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Server, type ServerOptions, startServer, testCredentials } from '../../conformance/server.ts'
import { type Client, createClient } from './client.ts'
import { buildForgetful, crash, forgetfulEnvironment, seedShadow } from './forgetful.ts'
import { type Loss, randomNumbers, Workload } from './workload.ts'

/** `FAULTS=full` is the size of the continuous run; without it the suite is small enough for every `npm test`. */
const full = process.env['FAULTS'] === 'full'
const KILLS = full ? 50 : 5
const POWER_CUTS = full ? 10 : 3
/** Printed with a failure; set it to have the same choices again. Timing remains the machine's. */
const seed = Number(process.env['FAULTS_SEED'] ?? Date.now() % 1_000_000)
const bucket = 'master.stream'
const TIMEOUT_MS = 15 * 60_000
const SLOWEST_ROUND_MS = 20_000

interface Round {
  readonly folder: string
  readonly rounds: number
  readonly workload: Workload
  readonly random: () => number
  /** What happens to the data folder between the kill and the next start. */
  readonly between?: (folder: string) => Promise<void>
  readonly start: (folder: string) => Promise<Server>
}

/** Writes, kills, restarts and verifies, again and again. Returns what was lost of what had been acknowledged. */
async function killRounds(input: Round): Promise<Loss[]> {
  const { workload, random, folder } = input
  let server = await input.start(folder)
  let client: Client = createClient(server.s3Url, server.credentials)
  try {
    assert.equal((await client.send('PUT', `/${bucket}`)).status, 200)
    for (let round = 0; round < input.rounds; round++) {
      const controller = new AbortController()
      const writing = workload.run(client, controller.signal)
      // Now and then a commit is under way as well, sealed and folded while others write.
      const committing = random() < 0.6 ? seal(client) : Promise.resolve()
      await moment(workload, random)
      await server.kill()
      controller.abort()
      await Promise.all([writing, committing])
      client.close()
      await input.between?.(folder)
      server = await input.start(folder)
      client = createClient(server.s3Url, server.credentials)
      const losses = await workload.verify(client)
      if (losses.length > 0) return losses
    }
    return await verifyCommits(client, workload)
  } finally {
    client.close()
    if (!server.ended) await server.kill()
  }
}

/** Some writes later, at any point of the next ones. A slow machine takes longer for the writes, not fewer of them. */
async function moment(workload: Workload, random: () => number): Promise<void> {
  const wanted = workload.acknowledged + 20 + random() * 60
  const deadline = Date.now() + SLOWEST_ROUND_MS
  while (workload.acknowledged < wanted && Date.now() < deadline) await sleep(5)
  await sleep(random() * 100)
}

/** Asks for a commit of what is there; the kill may cut it off. */
async function seal(client: Client): Promise<void> {
  await client.send('POST', `/${bucket}`, { query: 'flush=&timeout=30' }).catch(() => {
    // The server was killed while it answered, which is what this suite is about.
  })
}

/** Everything again on the branch, and the same as one finished commit. */
async function verifyCommits(client: Client, workload: Workload): Promise<Loss[]> {
  const losses = await workload.verify(client, { everything: true })
  const flushed = await client.send('POST', `/${bucket}`, { query: 'flush=&timeout=60' })
  assert.equal(flushed.status, 200, flushed.body.toString())
  const head = await client.send('GET', `/${bucket}`, { query: 'list-type=2&max-keys=1' })
  const commit = String(head.headers['x-sluice-commit'])
  assert.match(commit, /^[0-9a-f]{32}$/)
  return [...losses, ...(await workload.verify(client, { bucket: `${commit}.stream`, everything: true }))]
}

/** A start that fails on a damaged store is a loss of everything; the negative tests expect one. */
async function lossesOf(work: () => Promise<Loss[]>): Promise<Loss[]> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Error && error.message.startsWith('the server ended before it was up')) {
      return [{ key: '*', expected: 'a server that starts', found: error.message }]
    }
    throw error
  }
}

const settings: ServerOptions['environment'] = { SLUICE_BATCH_IDLE_MS: '300', SLUICE_LOG_LEVEL: 'warn' }

describe('what was acknowledged survives', () => {
  let base: string
  const credentials = testCredentials()
  before(async () => {
    base = await mkdtemp(join(tmpdir(), 'sluice-faults-'))
  })
  after(() => rm(base, { recursive: true, force: true }))

  it(`keeps every acknowledged object through ${KILLS} kills in a stream of writes`, {
    timeout: TIMEOUT_MS,
  }, async (t) => {
    const folder = join(base, 'kill')
    await mkdir(folder)
    const random = randomNumbers(seed)
    const workload = new Workload({ bucket, workers: 16, random })
    const start = (at: string) => startServer({ folder: at, credentials, environment: { ...settings } })
    const losses = await killRounds({ folder, rounds: KILLS, workload, random, start })
    t.diagnostic(`${workload.acknowledged} writes were acknowledged; seed ${seed}`)
    assert.deepEqual(losses, [], `seed ${seed}`)
    assert.ok(workload.acknowledged > KILLS * 10, 'too few writes got through to say anything')
  })

  describe('a cut of the power (what was not fsynced is gone)', () => {
    let library = ''
    let reason = ''
    before(async () => {
      const built = await buildForgetful(base)
      if ('builtAs' in built) library = built.builtAs
      else reason = built.reason
    })

    async function powerCuts(t: TestContext, name: string, rounds: number, skip?: string) {
      const folder = join(base, name)
      const shadow = `${folder}.shadow`
      await mkdir(folder)
      const random = randomNumbers(seed + name.length)
      const workload = new Workload({ bucket, workers: 16, random })
      const start = async (at: string) => {
        await seedShadow(at, shadow)
        const layer = forgetfulEnvironment({ library, folder: at, shadow, ...(skip === undefined ? {} : { skip }) })
        return startServer({ folder: at, credentials, environment: { ...settings, ...layer } })
      }
      const between = (at: string) => crash(at, shadow)
      const losses = await lossesOf(() => killRounds({ folder, rounds, workload, random, start, between }))
      t.diagnostic(`${workload.acknowledged} writes were acknowledged; seed ${seed}`)
      return { losses, workload }
    }

    it(`keeps every acknowledged object through ${POWER_CUTS} cuts`, { timeout: TIMEOUT_MS }, async (t) => {
      if (!library) return t.skip(reason)
      const { losses, workload } = await powerCuts(t, 'cut', POWER_CUTS)
      assert.deepEqual(losses, [], `seed ${seed}`)
      assert.ok(workload.acknowledged > POWER_CUTS * 10, 'too few writes got through to say anything')
    })

    for (const skip of ['*.pack', '*-wal']) {
      it(`would notice a store that does not fsync its ${skip} files`, { timeout: TIMEOUT_MS }, async (t) => {
        if (!library) return t.skip(reason)
        const { losses } = await powerCuts(t, `without${skip.replace(/\W/g, '-')}`, POWER_CUTS, skip)
        assert.ok(losses.length > 0, 'nothing was lost without these fsyncs: this suite proves nothing')
      })
    }
  })
})
