import { after, before, describe, it } from 'node:test'
import { killable } from './testing/model/crash.ts'
import { graphOfEngine, graphSights } from './testing/model/engine-graph.ts'
import type { Operation } from './testing/model/machine.ts'
import { Play } from './testing/model/play.ts'
import { graphOfReference } from './testing/model/reference-merge.ts'
import { openTestStore, type TestStore } from './testing/store.ts'

const at = { branch: 'b0' }
const job = { branch: 'b0', transaction: 'x' }
const one = { text: 'x0', size: 10 }
const other = { text: 'x1', size: 10 }

/** What random histories found once, and nobody else; each was wrong in the engine. */
const found: readonly { readonly name: string; readonly history: readonly Operation[] }[] = [
  {
    name: 'a file that the branch wrote and deleted again is no conflict, folded or not',
    history: [
      { do: 'open', at: job },
      { do: 'put', at, path: 'a', body: one },
      { do: 'seal', at, force: true },
      { do: 'delete', at, path: 'a' },
      { do: 'put', at: job, path: 'a', body: other },
      { do: 'finish', at: job },
    ],
  },
  {
    name: 'a version that was deleted in the open batch is not in its commit',
    history: [
      { do: 'put', at, path: 'a', body: one },
      { do: 'put', at, path: 'a', body: other },
      { do: 'deleteVersions', at, path: 'a', versions: ['v2'] },
      { do: 'seal', at, force: true },
    ],
  },
  {
    name: 'a merge into a branch without a commit has the merged one for its first parent',
    history: [
      { do: 'put', at, path: 'a', body: one },
      { do: 'seal', at, force: true },
      { do: 'createBranch', branch: 'b1' },
      { do: 'merge', at: { branch: 'b1' }, from: 'c1' },
    ],
  },
]

describe('the engine answers as its reference where it once did not', () => {
  let store: TestStore
  const clock = { now: 0 }
  before(async () => {
    store = await openTestStore({ clock: { now: () => clock.now } })
  })
  after(() => store.close())

  for (const [index, { name, history }] of found.entries()) {
    it(name, async () => {
      const beyond = { reference: [graphOfReference], engine: [graphOfEngine], sights: [graphSights] }
      const play = new Play(killable(store), `f${index}`, beyond)
      await play.step({ do: 'createBranch', branch: 'b0' }, clock)
      for (const operation of history) {
        await play.step(operation, clock)
        await play.checkEverything()
      }
    })
  }
})
