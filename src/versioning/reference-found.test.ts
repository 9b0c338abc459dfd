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

interface Found {
  readonly name: string
  readonly history: readonly Operation[]
  /** Nobody looks before the end: to look is to wait until commits are finished. */
  readonly hurried?: boolean
}

/** What random histories found once, or seldom, and nobody else; each was wrong in the engine, or would be with one word of it changed. */
const found: readonly Found[] = [
  {
    name: 'commits that are sealed before the one before them is finished are in one line',
    hurried: true,
    history: Array.from({ length: 12 }, (_, n): Operation[] => [
      { do: 'put', at, path: `${n % 3}`, body: n % 2 ? one : other },
      { do: 'seal', at, force: true },
    ]).flat(),
  },
  {
    name: 'what is written while garbage is collected can be read, whether it is in a commit or not',
    hurried: true,
    history: [
      { do: 'gc', alongside: true },
      ...Array.from({ length: 30 }, (_, n): Operation[] => [
        { do: 'put', at, path: `${n}`, body: { text: `${n}`, size: 3_000 } },
        { do: 'seal', at, force: true },
      ]).flat(),
    ],
  },
  {
    name: 'what only versions refer to outlives a collection, in a commit or in none',
    history: [
      ...['x0', 'x1', 'x2'].map((text): Operation => ({ do: 'put', at, path: 'a', body: { text, size: 3_000 } })),
      { do: 'gc', alongside: false },
      { do: 'seal', at, force: true },
      { do: 'gc', alongside: false },
    ],
  },
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
    name: 'a file that was written again as it was stays as the branch has it, also where the branch did not change',
    history: [
      { do: 'put', at, path: 'a', body: one },
      { do: 'seal', at, force: true },
      { do: 'createBranch', branch: 'b1', from: 'c1' },
      { do: 'put', at: { branch: 'b1' }, path: 'a', body: one },
      { do: 'put', at: { branch: 'b1' }, path: 'b', body: other },
      { do: 'seal', at: { branch: 'b1' }, force: true },
      { do: 'merge', at, from: 'c3' },
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

  for (const [index, { name, history, hurried }] of found.entries()) {
    it(name, async () => {
      const beyond = { reference: [graphOfReference], engine: [graphOfEngine], sights: [graphSights] }
      const play = new Play(killable(store), `f${index}`, beyond)
      await play.step({ do: 'createBranch', branch: 'b0' }, clock)
      for (const operation of history) {
        await play.step(operation, clock)
        if (!hurried) await play.checkEverything()
      }
      await play.checkEverything()
    })
  }
})
