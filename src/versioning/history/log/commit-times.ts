import { InvalidInput, type Queries, type Transaction } from '../../../kernel/index.ts'
import type { CommitId } from '../../model/index.ts'
import { linesFrom } from './lines.ts'

const DAY_MS = 86_400_000
const timePattern = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?(Z|[+-]\d\d:?\d\d)?)?$/

/**
 * A time as people write it: `2026-11-13` is the whole of that day, up to its end in UTC; `2026-11-13T10:00`, with seconds and
 * milliseconds if wanted, is that moment, in UTC unless an offset (`+01:00`) says otherwise. `edge`: which end of a day is meant, where a
 * day is written. Throws InvalidInput.
 */
export function parseTime(text: string, edge: 'start' | 'end' = 'end'): number {
  const [, day, minutes, seconds = '00', millis = '0', zone = 'Z'] = timePattern.exec(text) ?? []
  const midnight = day === undefined ? Number.NaN : Date.parse(`${day}T00:00:00.000Z`)
  // JavaScript takes the 30th of February for the 2nd of March.
  const isDay = !Number.isNaN(midnight) && new Date(midnight).toISOString().startsWith(day!)
  if (isDay && minutes === undefined) return edge === 'start' ? midnight : midnight + DAY_MS - 1
  const offset = zone.length === 5 ? `${zone.slice(0, 3)}:${zone.slice(3)}` : zone
  const moment = isDay ? Date.parse(`${day}T${minutes}:${seconds}.${millis.padEnd(3, '0')}${offset}`) : Number.NaN
  if (!Number.isNaN(moment)) return moment
  throw new InvalidInput(
    `${JSON.stringify(text)} is not a time: write a day as 2026-11-13, or a moment as 2026-11-13T10:00Z`,
    { time: text },
  )
}

/**
 * Notes when a commit became the head of its branch; to be called before the head moves. Along a branch these times never go back,
 * whatever the clock does: a clock that was set back counts as having stood still. Nothing for a pipeline's older commit that ends
 * after a newer one: it never is the head.
 */
export async function noteHeadTime(tx: Transaction, commit: string, nowMs: number): Promise<void> {
  await tx.run(
    `UPDATE commits SET head_ms = max(?2,
       coalesce((SELECT max(p.head_ms) FROM commits AS p INDEXED BY commits_by_head_time WHERE p.branch_id = commits.branch_id AND p.head_ms IS NOT NULL), 0),
       coalesce((SELECT p.head_ms FROM branches AS b JOIN commits AS p ON p.id = b.head WHERE b.id = commits.branch_id), 0))
     WHERE id = ?1 AND (kind <> 'derived' OR ordinal > coalesce(
       (SELECT p.ordinal FROM branches AS b JOIN commits AS p ON p.id = b.head AND p.branch_id = b.id WHERE b.id = commits.branch_id), 0))`,
    [commit, nowMs],
  )
}

/**
 * The newest commit, in the order of the first-parent history of `from`, that had become its branch's head by then. Undefined if none
 * had. By an index: O(log n) for each branch behind.
 */
export async function commitAt(queries: Queries, from: CommitId, timeMs: number): Promise<CommitId | undefined> {
  for (const line of await linesFrom(queries, from)) {
    const row = await queries.get<{ id: string; from_seq: number }>(
      `SELECT id, from_seq FROM commits INDEXED BY commits_by_head_time
       WHERE branch_id = ? AND head_ms IS NOT NULL AND head_ms <= ? AND ordinal <= ? ORDER BY head_ms DESC, ordinal DESC LIMIT 1`,
      [line.branchId, timeMs, line.ordinal],
    )
    // Before the branch was pointed elsewhere it was on another line.
    if (row && row.from_seq >= line.from) return row.id as CommitId
  }
  return undefined
}
