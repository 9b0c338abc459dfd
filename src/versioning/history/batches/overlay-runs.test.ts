import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { extendRuns, type Runs, RunsCursor, type StagedRow } from './overlay-runs.ts'

const row = (seq: number, path: string): StagedRow => ({
  seq,
  path,
  commit_id: '',
  entry: null,
  of_commit: null,
  of_seq: null,
})

/** Path and number of what a cursor gives from a key on. */
async function read(runs: Runs, from: string): Promise<[string, number][]> {
  const found: [string, number][] = []
  const cursor = new RunsCursor(runs, (key, { seq }) => {
    found.push([key.toString(), seq])
    return { key, item: null }
  })
  await cursor.seek(Buffer.from(from))
  while (cursor.nextNow()) {
    // `found` keeps what was passed over.
  }
  return found
}

describe('staged changes in runs', () => {
  it('show the newest change of each path above what is folded, in byte order, from any key on', async () => {
    // Few, so that a path is often changed again; U+FF5E and U+1F600 are ordered differently in UTF-16.
    const path = fc
      .array(fc.constantFrom('a', 'b', '～', '😀'), { minLength: 1, maxLength: 3 })
      .map((parts) => parts.join(''))
    const step = fc.record({ paths: fc.array(path, { maxLength: 40, size: 'max' }), fold: fc.nat({ max: 40 }) })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), path, async (steps, from) => {
        let runs: Runs = []
        const all: StagedRow[] = []
        let folded = 0
        for (const { paths, fold } of steps) {
          const fresh = paths.map((name, index) => row(all.length + index + 1, name))
          all.push(...fresh)
          const wasFolded = folded
          folded = Math.min(all.length, folded + fold)
          runs = extendRuns(
            runs,
            fresh.filter(({ seq }) => seq > folded),
            folded,
            wasFolded,
          )
          const newest = new Map(all.filter(({ seq }) => seq > folded).map(({ path, seq }) => [path, seq]))
          const expected = [...newest]
            .filter(([name]) => Buffer.compare(Buffer.from(name), Buffer.from(from)) >= 0)
            .sort((a, b) => Buffer.compare(Buffer.from(a[0]), Buffer.from(b[0])))
          assert.deepEqual(await read(runs, from), expected)
        }
      }),
    )
  })

  it('are few, and a change is copied a few times only, however often somebody looks', () => {
    let runs: Runs = []
    let copied = 0
    const total = 20_000
    for (let seq = 1; seq <= total; seq++) {
      const before = new Set(runs)
      runs = extendRuns(runs, [row(seq, `key-${(seq * 7919) % total}`)], 0, 0)
      for (const run of runs) if (!before.has(run)) copied += run.keys.length
    }
    assert.equal(
      runs.reduce((sum, { keys }) => sum + keys.length, 0),
      total,
    )
    assert.ok(runs.length <= Math.log2(total) + 1, `${runs.length} runs`)
    assert.ok(copied <= total * (Math.log2(total) + 1), `${copied} copies`)
  })
})
