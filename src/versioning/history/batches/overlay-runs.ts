import type { OverlayCursor, TreeChange } from '../../tree/index.ts'

/** A staged change as its row has it. */
export interface StagedRow {
  readonly seq: number
  readonly commit_id: string
  readonly path: string
  readonly entry: Buffer | null
  readonly of_commit: string | null
  readonly of_seq: number | null
}

/** Changes with one for each path, sorted by path. Never written to once made. */
interface Run {
  readonly keys: readonly Buffer[]
  readonly rows: readonly StagedRow[]
}

/**
 * The newest staged change of each path, in a few sorted runs: what is new is a run of its own, and is merged with the runs before it as
 * soon as these are not much longer. So a change is copied a few times in all, and not once for every listing that comes after it. Of two
 * runs the later one is the newer.
 */
export type Runs = readonly Run[]

/** With `fresh` rows (in the order of their numbers) on top, and without what is at or below `foldedSeq`, which the tree has. */
export function extendRuns(runs: Runs, fresh: readonly StagedRow[], foldedSeq: number, wasFoldedSeq: number): Runs {
  const kept = foldedSeq === wasFoldedSeq ? [...runs] : runs.map((run) => prune(run, foldedSeq)).filter(isFilled)
  const added = sortedRun(fresh)
  if (!isFilled(added)) return kept
  let last = added
  for (let before = kept.at(-1); before && before.keys.length <= 2 * last.keys.length; before = kept.at(-1)) {
    last = mergeRuns(before, last)
    kept.pop()
  }
  kept.push(last)
  return kept
}

const isFilled = (run: Run) => run.keys.length > 0

function sortedRun(rows: readonly StagedRow[]): Run {
  const newest = new Map<string, StagedRow>()
  for (const row of rows) newest.set(row.path, row)
  const sorted = [...newest.values()]
    .map((row) => ({ key: Buffer.from(row.path), row }))
    .sort((a, b) => Buffer.compare(a.key, b.key))
  return { keys: sorted.map(({ key }) => key), rows: sorted.map(({ row }) => row) }
}

function prune(run: Run, foldedSeq: number): Run {
  if (run.rows.every(({ seq }) => seq > foldedSeq)) return run
  const keys: Buffer[] = []
  const rows: StagedRow[] = []
  for (const [index, row] of run.rows.entries()) {
    if (row.seq <= foldedSeq) continue
    keys.push(run.keys[index]!)
    rows.push(row)
  }
  return { keys, rows }
}

function mergeRuns(older: Run, newer: Run): Run {
  const keys: Buffer[] = []
  const rows: StagedRow[] = []
  const take = (run: Run, index: number) => {
    keys.push(run.keys[index]!)
    rows.push(run.rows[index]!)
  }
  let at = 0
  for (let next = 0; next < newer.keys.length; next++) {
    const key = newer.keys[next]!
    let order = -1
    while (at < older.keys.length) {
      order = Buffer.compare(older.keys[at]!, key)
      if (order >= 0) break
      take(older, at++)
    }
    if (order === 0) at++
    take(newer, next)
  }
  while (at < older.keys.length) take(older, at++)
  return { keys, rows }
}

/** The changes of all runs in one order. `toChange`: how a row is handed on. */
export class RunsCursor implements OverlayCursor {
  readonly #runs: Runs
  /** Of each run: the next one. */
  readonly #at: number[]
  readonly #toChange: (key: Buffer, row: StagedRow) => TreeChange

  constructor(runs: Runs, toChange: (key: Buffer, row: StagedRow) => TreeChange) {
    this.#runs = runs
    this.#at = runs.map(() => 0)
    this.#toChange = toChange
  }

  async seek(key: Buffer): Promise<void> {
    for (const [index, { keys }] of this.#runs.entries()) this.#at[index] = lowerBound(keys, key)
  }

  async next(): Promise<TreeChange | undefined> {
    return this.nextNow()
  }

  nextNow(): TreeChange | undefined {
    const runs = this.#runs
    let first = -1
    let key: Buffer | undefined
    // From the newest on: of equal keys the first that is found wins, and the others are passed over.
    for (let index = runs.length - 1; index >= 0; index--) {
      const head = runs[index]!.keys[this.#at[index]!]
      if (head === undefined) continue
      const order = key === undefined ? -1 : Buffer.compare(head, key)
      if (order === 0) this.#at[index]!++
      if (order >= 0) continue
      key = head
      first = index
    }
    if (key === undefined) return undefined
    const row = runs[first]!.rows[this.#at[first]!++]!
    return this.#toChange(key, row)
  }
}

function lowerBound(keys: readonly Buffer[], key: Buffer): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (Buffer.compare(keys[middle]!, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}
