import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Server, startServer, testCredentials } from '../../conformance/server.ts'
import { startTestServer, type TestServer, testKey } from '../../src/gateway/testing/server.ts'
import { branchOf, openTestStore, type TestStore } from '../../src/versioning/testing/store.ts'
import { type Client, createClient } from '../faults/client.ts'
import { randomNumbers } from '../faults/workload.ts'
import { violationsOf } from './check.ts'
import { type Fault, faultySystem } from './faulty.ts'
import { Recorder } from './history.ts'
import { engineSystem, httpSystem, type System } from './system.ts'
import { Workload } from './workload.ts'

const full = process.env['FAULTS'] === 'full'
/** Printed with a failure; timing remains the machine's. */
const seed = Number(process.env['FAULTS_SEED'] ?? Date.now() % 1_000_000)
const WRITERS = 16
const READERS = 4
/** `CONCURRENCY_ROUNDS` goes on for longer. */
const ROUNDS = Number(process.env['CONCURRENCY_ROUNDS'] ?? (full ? 60 : 15))
/** Of a system with a fault: enough of them that it is noticed. */
const FAULTY_ROUNDS = 15
const KILLS = full ? 8 : 2
const TIMEOUT_MS = 15 * 60_000

/** Without a gateway between: some fifteen reads for each write are left, where there would be a hundred and writes would come seldom. */
const REST_MS = full ? 0 : 3

/** Writes and reads, then says what was promised and not kept. */
async function play(system: System, rounds: number, restMs = 0) {
  const recorder = new Recorder()
  const random = randomNumbers(seed)
  const workload = new Workload({ system, recorder, random, rounds, writers: WRITERS, readers: READERS, restMs })
  await workload.run()
  await workload.settle()
  return { recorder, violations: violationsOf(recorder) }
}

describe(`${WRITERS} writers and ${READERS} readers of one branch (seed ${seed})`, () => {
  it('see one order of all writes, whole pages, whole commits and no lost update, in the engine', {
    timeout: TIMEOUT_MS,
  }, async (t) => {
    const store = await openTestStore()
    try {
      const branch = branchOf('stream@master')
      await store.versioning.createBranch(branch)
      const { recorder, violations } = await play(engineSystem(store.versioning, branch), ROUNDS, REST_MS)
      t.diagnostic(`${recorder.steps.length} steps on shared keys`)
      assert.deepEqual(violations, [], `seed ${seed}`)
      assert.ok(recorder.steps.length > ROUNDS * WRITERS)
    } finally {
      await store.close()
    }
  })

  describe('over HTTP', () => {
    let server: TestServer
    let client: Client
    let buckets = 0

    before(async () => {
      server = await startTestServer()
      client = createClient(server.origin, testKey)
    })
    after(async () => {
      client.close()
      await server.close()
    })

    async function bucket(): Promise<System> {
      const name = `master.stream${++buckets}`
      assert.equal((await client.send('PUT', `/${name}`)).status, 200)
      return httpSystem(() => client, name)
    }

    it('see the same', { timeout: TIMEOUT_MS }, async (t) => {
      const { recorder, violations } = await play(await bucket(), ROUNDS)
      t.diagnostic(`${recorder.steps.length} steps on shared keys`)
      assert.deepEqual(violations, [], `seed ${seed}`)
    })
  })

  describe('are believed, since they', () => {
    let store: TestStore
    let branches = 0

    before(async () => {
      store = await openTestStore()
    })
    after(() => store.close())

    async function branch(): Promise<System> {
      const at = branchOf(`stream${++branches}@master`)
      await store.versioning.createBranch(at)
      return engineSystem(store.versioning, at)
    }

    const faults: readonly { fault: Fault; found: RegExp }[] = [
      { fault: 'stale read', found: /no order of its \d+ steps/ },
      { fault: 'lost write', found: /no order of its \d+ steps/ },
      { fault: 'torn page', found: /a torn page of stairs/ },
      { fault: 'half a transaction', found: /half of a set in/ },
      { fault: 'two swaps win', found: /counter \d is|no order of its \d+ steps/ },
      { fault: 'head goes back', found: /the head went back/ },
      { fault: 'commit changes', found: /was .* and is/ },
    ]
    for (const { fault, found } of faults) {
      it(`notice ${fault}`, { timeout: TIMEOUT_MS }, async () => {
        const { violations } = await play(faultySystem(await branch(), fault), FAULTY_ROUNDS, REST_MS)
        assert.match(violations.join('\n'), found, `seed ${seed}: nothing was noticed, so this suite proves nothing`)
      })
    }
  })

  it(`see the same through ${KILLS} kills; what was not answered may have happened or not`, {
    timeout: TIMEOUT_MS,
  }, async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'sluice-concurrency-'))
    const credentials = testCredentials()
    const environment = { SLUICE_BATCH_IDLE_MS: '200', SLUICE_LOG_LEVEL: 'warn' }
    const random = randomNumbers(seed)
    const recorder = new Recorder()
    let server: Server = await startServer({ folder, credentials, environment })
    let client = createClient(server.s3Url, credentials)
    try {
      assert.equal((await client.send('PUT', '/master.stream')).status, 200)
      const system = httpSystem(() => client, 'master.stream')
      const options = {
        system,
        recorder,
        random,
        rounds: 1_000_000,
        writers: WRITERS,
        readers: READERS,
        mayBreak: true,
      }
      const workload = new Workload(options)
      for (let kill = 0; kill < KILLS; kill++) {
        const controller = new AbortController()
        const running = workload.run(controller.signal)
        const wanted = recorder.steps.length + 150 + random() * 100
        while (recorder.steps.length < wanted) await sleep(5)
        controller.abort()
        await server.kill()
        await running
        client.close()
        server = await startServer({ folder, credentials, environment })
        client = createClient(server.s3Url, credentials)
      }
      await workload.settle()
      const unknown = recorder.steps.filter(({ to }) => to === Number.POSITIVE_INFINITY).length
      t.diagnostic(`${recorder.steps.length} steps on shared keys, ${unknown} of them without an answer`)
      assert.deepEqual(violationsOf(recorder), [], `seed ${seed}`)
    } finally {
      client.close()
      if (!server.ended) await server.kill()
      await rm(folder, { recursive: true, force: true })
    }
  })
})
