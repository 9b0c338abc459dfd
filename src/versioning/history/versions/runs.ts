import type { Queries, Transaction } from '../../../kernel/index.ts'

/** Where a path's versions are in a branch's changes. */
interface Place {
  /** The branch that they were deleted in. */
  readonly branchId: number
  /** The branch whose changes they are: that, or one that it was made from. */
  readonly segmentId: number
  readonly path: string
  /** The number of the change. */
  readonly place: number
}

interface Run {
  readonly high: number
  readonly low: number
}

/**
 * Versions of a path that follow one another and were all deleted by their ids, as one row: a listing of the live branch jumps over them
 * with one look-up, however many they are. A run that is not there costs time and nothing else: `hidden_versions` is what counts.
 */
export async function noteHidden(tx: Transaction, at: Place): Promise<void> {
  const { branchId, segmentId, path, place } = at
  const above = await neighbour(tx, at, 'above')
  const below = await neighbour(tx, at, 'below')
  const upper = above === undefined ? undefined : await runAt(tx, { ...at, place: above })
  const lower = below === undefined ? undefined : await runAt(tx, { ...at, place: below })
  for (const run of [upper, lower]) {
    if (!run) continue
    await tx.run('DELETE FROM hidden_runs WHERE branch_id = ? AND segment_id = ? AND path = ? AND high = ?', [
      branchId,
      segmentId,
      path,
      run.high,
    ])
  }
  await tx.run('INSERT OR REPLACE INTO hidden_runs (branch_id, segment_id, path, high, low) VALUES (?, ?, ?, ?, ?)', [
    branchId,
    segmentId,
    path,
    upper?.high ?? place,
    lower?.low ?? place,
  ])
}

async function neighbour(tx: Transaction, at: Place, side: 'above' | 'below'): Promise<number | undefined> {
  const [than, order] = side === 'above' ? ['>', 'ASC'] : ['<', 'DESC']
  const row = await tx.get<{ seq: number }>(
    `SELECT seq FROM changes INDEXED BY changes_by_path
     WHERE branch_id = ? AND path = ? AND seq ${than} ? AND listed = 1 ORDER BY seq ${order} LIMIT 1`,
    [at.segmentId, at.path, at.place],
  )
  return row?.seq
}

/** The run that a place is in. */
export async function runAt(queries: Queries, { branchId, segmentId, path, place }: Place): Promise<Run | undefined> {
  const run = await queries.get<Run>(
    `SELECT high, low FROM hidden_runs WHERE branch_id = ? AND segment_id = ? AND path = ? AND high >= ?
     ORDER BY high LIMIT 1`,
    [branchId, segmentId, path, place],
  )
  return run && run.low <= place ? run : undefined
}
