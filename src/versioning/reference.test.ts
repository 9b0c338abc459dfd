import assert from 'node:assert/strict'
import { after, before, describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import { assertSound } from './testing/fsck.ts'
import { killable } from './testing/model/crash.ts'
import { graphOfEngine, graphSights } from './testing/model/engine-graph.ts'
import { graphWeights, histories, plainWeights, type Weights } from './testing/model/histories.ts'
import { type Beyond, Play } from './testing/model/play.ts'
import { graphOfReference } from './testing/model/reference-merge.ts'
import { openTestStore, type TestStore } from './testing/store.ts'

const full = process.env['FAULTS'] === 'full'
/** Also of the search for a shorter history that fails. */
const LIMIT_MS = full ? 35 * 60_000 : 90_000
/** Set both to have a run again, or to go on for longer. */
const RUNS = Number(process.env['MODEL_RUNS'] ?? (full ? 60 : 15))
const SEED = Number(process.env['MODEL_SEED'] ?? Date.now() % 2 ** 31)
const LENGTH = full ? 120 : 60

describe('the engine, beside its reference', () => {
  let store: TestStore
  const clock = { now: 0 }
  let repos = 0

  before(async () => {
    store = await openTestStore({ clock: { now: () => clock.now } })
  })
  after(async () => {
    await assertSound(store, { deep: true })
    await store.close()
  })

  /** Random histories on both; throws with the shortest that was found to differ. */
  async function compare(t: TestContext, weights: Weights, beyond: Beyond = {}): Promise<void> {
    const under = killable(store)
    const tally = new Map<string, number>()
    const property = fc.asyncProperty(histories(weights, LENGTH), async (draws) => {
      await new Play(under, `r${++repos}`, { ...beyond, tally }).run(draws, clock)
    })
    const details = await fc.check(property, { numRuns: RUNS, seed: SEED, interruptAfterTimeLimit: LIMIT_MS })
    t.diagnostic(
      [...tally]
        .sort()
        .map(([name, times]) => `${name} ${times}`)
        .join(', '),
    )
    if (!details.failed) return
    const { errorInstance: error, numRuns } = details
    assert.fail(`MODEL_SEED=${SEED}, run ${numRuns}: ${error instanceof Error ? error.message : error}`)
  }

  const named = `${RUNS} random histories (MODEL_SEED=${SEED})`

  it(`answers as the reference in ${named}`, { timeout: 40 * 60_000 }, (t) => compare(t, plainWeights))

  it(`merges and reverts as the reference in ${named}`, { timeout: 40 * 60_000 }, (t) =>
    compare(t, graphWeights, { reference: [graphOfReference], engine: [graphOfEngine], sights: [graphSights] }),
  )
})
