import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import type { CommitId } from '../../model/index.ts'
import { openTestStore, type TestStore } from '../../testing/store.ts'
import { bestCommonAncestors } from './merge-base.ts'

let store: TestStore

before(async () => {
  store = await openTestStore()
})
after(() => store.close())

const idOf = (number: number) => String(number).padStart(32, '0') as CommitId

interface Made {
  readonly branch: number
  readonly parents: readonly number[]
}

/** Rows of commits as the engine makes them: numbered from 1 in the order they were made. */
async function insert(commits: readonly Made[], repo: string): Promise<void> {
  const ordinals = new Map<number, number>()
  const rows = commits.map(({ branch, parents }, index) => {
    const ordinal = (ordinals.get(branch) ?? 0) + 1
    ordinals.set(branch, ordinal)
    const [parent, other] = parents
    return [index + 1, idOf(index + 1), branch, ordinal, parent && idOf(parent), other && idOf(other)]
  })
  await store.db.write(async (tx) => {
    await tx.run('DELETE FROM commits')
    await tx.run(
      `INSERT INTO commits (number, id, branch_id, ordinal, parent, merge_parent, repo, branch, kind, state, root, folded_seq, from_seq,
                            last_seq, started_ms, finished_ms, files, bytes, message)
       SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ?, 'b', 'batch', 'finished', '', 0, 0, 0, 0, 0, 0, 0, ''
       FROM json_each(?)`,
      [repo, JSON.stringify(rows)],
    )
  })
}

function ancestorsOf(commits: readonly Made[], start: number): Set<number> {
  const found = new Set<number>()
  const waiting = [start]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    if (found.has(next)) continue
    found.add(next)
    waiting.push(...commits[next - 1]!.parents)
  }
  return found
}

/** By the definition: common ancestors that no other common ancestor descends from. */
function plainBest(commits: readonly Made[], left: number, right: number): number[] {
  const theirs = ancestorsOf(commits, right)
  const common = [...ancestorsOf(commits, left)].filter((commit) => theirs.has(commit))
  const behind = new Set(
    common.flatMap((commit) => [...ancestorsOf(commits, commit)].filter((other) => other !== commit)),
  )
  return common.filter((commit) => !behind.has(commit)).sort((a, b) => b - a)
}

describe('the best common ancestors', () => {
  it('are those of the definition, in any graph', async () => {
    const some = fc.array(fc.tuple(fc.nat(3), fc.array(fc.nat(1_000_000), { maxLength: 2 })), {
      minLength: 1,
      maxLength: 40,
    })
    await fc.assert(
      fc.asyncProperty(some, fc.nat(), fc.nat(), async (shape, one, other) => {
        const commits: Made[] = shape.map(([branch, wishes], index) => ({
          branch: branch + 1,
          // Only commits that were made before; the first have none.
          parents: [...new Set(wishes.map((wish) => (wish % (index + 1)) + 0).filter((parent) => parent > 0))],
        }))
        await insert(commits, 'graph')
        const [left, right] = [(one % commits.length) + 1, (other % commits.length) + 1]
        const found = await bestCommonAncestors(store.db, [idOf(left)], [idOf(right)])
        assert.deepEqual(found, plainBest(commits, left, right).map(idOf))
      }),
      { numRuns: 150 },
    )
  })

  it('are found over a hundred thousand commits, without those behind them', async () => {
    const main: Made[] = Array.from({ length: 1_000 }, (_, i) => ({ branch: 1, parents: i === 0 ? [] : [i] }))
    const side: Made[] = Array.from({ length: 100_000 }, (_, i) => ({
      branch: 2,
      parents: [i === 0 ? 900 : 1_000 + i],
    }))
    await insert([...main, ...side], 'long')
    let rows = 0
    const counting = {
      ...store.db,
      all: async <T>(...args: Parameters<typeof store.db.all>) => {
        const found = await store.db.all<T>(...args)
        rows += found.length
        return found
      },
    } as unknown as typeof store.db
    const found = await bestCommonAncestors(counting, [idOf(1_000)], [idOf(101_000)])
    assert.deepEqual(found, [idOf(900)])
    assert.ok(rows < 110_000, `${rows} rows were read`)
    rows = 0
    assert.deepEqual(await bestCommonAncestors(counting, [idOf(101_000)], [idOf(100_990)]), [idOf(100_990)])
    assert.ok(rows < 5_000, `${rows} rows were read`)
  })
})
