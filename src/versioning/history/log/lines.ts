import type { Queries } from '../../../kernel/index.ts'

/** Branches of branches of branches: what is older than so many of them is not looked at. */
const MAX_LINES = 1000

/**
 * Commits that follow one another by their first parents and were made on one branch: those whose changes are in (from, to]. Behind the
 * oldest of them comes the line that it was made from.
 */
export interface Line {
  readonly branchId: number
  readonly from: number
  readonly to: number
  /** The place of its newest commit on the branch. */
  readonly ordinal: number
  /** The kind of the first commit of the branch. */
  readonly firstKind: string | null
}

/** The number at which the branch of commit `o` was last pointed elsewhere before that commit, as SQL; null: never. */
const MOVED_AT = '(SELECT max(m.seq) FROM branch_moves AS m WHERE m.branch_id = o.branch_id AND m.seq <= o.from_seq)'

/** The commit behind the line that commit `o` is on. */
const ORIGIN = `CASE WHEN ${MOVED_AT} IS NULL
    THEN (SELECT parent FROM commits WHERE branch_id = o.branch_id ORDER BY ordinal LIMIT 1)
    ELSE (SELECT m.to_commit FROM branch_moves AS m WHERE m.branch_id = o.branch_id AND m.seq = ${MOVED_AT}) END`

interface LineRow {
  readonly branch_id: number
  readonly from_seq: number
  readonly up_to: number | null
  readonly ordinal: number
  readonly first_kind: string | null
}

/** The lines of a commit's first-parent history, the newest first: one statement, whatever the number of commits. */
export async function linesFrom(queries: Queries, commit: string): Promise<readonly Line[]> {
  const rows = await queries.all<LineRow>(
    `WITH RECURSIVE links (depth, branch_id, from_seq, up_to, ordinal, origin) AS (
       SELECT 1, o.branch_id, coalesce(${MOVED_AT}, 0), o.last_seq, o.ordinal, ${ORIGIN} FROM commits AS o WHERE o.id = ?
       UNION ALL
       SELECT links.depth + 1, o.branch_id, coalesce(${MOVED_AT}, 0), o.last_seq, o.ordinal, ${ORIGIN}
       FROM links CROSS JOIN commits AS o ON o.id = links.origin WHERE links.depth < ?
     )
     SELECT branch_id, from_seq, up_to, ordinal,
            (SELECT kind FROM commits WHERE branch_id = links.branch_id ORDER BY ordinal LIMIT 1) AS first_kind
     FROM links ORDER BY depth`,
    [commit, MAX_LINES],
  )
  return rows.map((row) => ({
    branchId: row.branch_id,
    from: row.from_seq,
    // A pipeline's commits have no changes, and no numbers.
    to: row.up_to ?? 0,
    ordinal: row.ordinal,
    firstKind: row.first_kind,
  }))
}
