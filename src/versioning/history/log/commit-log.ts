import type { Queries } from '../../../kernel/index.ts'
import type { LogQuery } from '../../looking-back.ts'
import { type Commit, type CommitId, CommitNotFound, type RepoName } from '../../model/index.ts'
import { withAuthors } from '../commits.ts'
import type { CommitRow, Tables } from '../schema.ts'
import { commitAt } from './commit-times.ts'

/** Commits in one answer at most; there is `before` for the rest. */
const MAX_COMMITS = 1000

type StoredCommit = CommitRow & { readonly number: number }

/** Where the rest of a log begins. */
type Place =
  | { readonly kind: 'line'; readonly newest: string | null }
  /** A pipeline's commits: also those that failed, which no other has as its parent. */
  | { readonly kind: 'outputs'; readonly branchId: number; readonly below: number }

/** What `Versioning.listCommits` promises. A page of a line costs what it shows, however long the history is. */
export async function listCommits(queries: Queries, repo: RepoName, query: LogQuery = {}): Promise<readonly Commit[]> {
  const limit = Math.min(query.limit ?? MAX_COMMITS, MAX_COMMITS)
  const before = query.before === undefined ? undefined : await knownCommit(queries, repo, query.before)
  const place = await placeOf(queries, repo, query, before)
  const rows =
    place === undefined
      ? await byName(queries, repo, query, before, limit)
      : await rowsFrom(queries, await until(queries, place, query), limit)
  return withAuthors(queries, since(rows, place && query.sinceMs))
}

async function knownCommit(queries: Queries, repo: RepoName, id: CommitId): Promise<StoredCommit> {
  const row = await rowOf(queries, id)
  if (row?.repo === repo) return row
  throw new CommitNotFound(
    `repo ${repo} has no commit ${id} (any more; of a transaction it goes when that is aborted): begin the list anew`,
    { repo, commit: id },
  )
}

function rowOf(queries: Queries, id: string): Promise<StoredCommit | undefined> {
  return queries.kysely<Tables>().selectFrom('commits').selectAll().where('id', '=', id).executeTakeFirst()
}

/** Undefined: the log is not one of a line. */
async function placeOf(
  queries: Queries,
  repo: RepoName,
  query: LogQuery,
  before: StoredCommit | undefined,
): Promise<Place | undefined> {
  if (query.from !== undefined) {
    return { kind: 'line', newest: before ? await parentOf(queries, before) : query.from }
  }
  if (query.branch === undefined) return undefined
  const branch = await queries.get<{
    id: number
    open_commit: string | null
    tip: string | null
    pipeline: string | null
  }>('SELECT id, open_commit, tip, pipeline FROM branches WHERE repo = ? AND name = ?', [repo, query.branch])
  if (!branch) return undefined
  const isOutput = branch.pipeline !== null && (!before || before.branch_id === branch.id)
  if (isOutput) {
    return { kind: 'outputs', branchId: branch.id, below: before?.ordinal ?? Number.MAX_SAFE_INTEGER }
  }
  if (before) return { kind: 'line', newest: await parentOf(queries, before) }
  return { kind: 'line', newest: branch.open_commit ?? branch.tip }
}

/** Of an open batch it is not fixed yet: as things are. */
async function parentOf(
  queries: Queries,
  commit: Pick<StoredCommit, 'id' | 'parent' | 'state'>,
): Promise<string | null> {
  if (commit.state !== 'open') return commit.parent
  const row = await queries.get<{ tip: string | null }>('SELECT tip FROM branches WHERE open_commit = ?', [commit.id])
  return row?.tip ?? null
}

/** The place at which the commits of before a time begin. */
async function until(queries: Queries, place: Place, { untilMs, before }: LogQuery): Promise<Place> {
  if (untilMs === undefined || before !== undefined) return place
  const newest = place.kind === 'line' ? await newestSealed(queries, place.newest) : await newestOutput(queries, place)
  const found = newest === null ? undefined : await commitAt(queries, newest as CommitId, untilMs)
  return { kind: 'line', newest: found ?? null }
}

/** The times of an open batch and of what is behind it are looked for from the newest commit that is sealed. */
async function newestSealed(queries: Queries, id: string | null): Promise<string | null> {
  const row = id === null ? undefined : await rowOf(queries, id)
  return row ? (row.state === 'open' ? parentOf(queries, row) : row.id) : null
}

async function newestOutput(queries: Queries, place: Extract<Place, { kind: 'outputs' }>): Promise<string | null> {
  const row = await queries.get<{ head: string | null }>('SELECT head FROM branches WHERE id = ?', [place.branchId])
  return row?.head ?? null
}

async function rowsFrom(queries: Queries, place: Place, limit: number): Promise<readonly StoredCommit[]> {
  if (place.kind === 'line') return place.newest === null ? [] : lineRows(queries, place.newest, limit)
  const outputs = await queries.all<StoredCommit>(
    'SELECT * FROM commits WHERE branch_id = ? AND ordinal < ? ORDER BY ordinal DESC LIMIT ?',
    [place.branchId, place.below, limit],
  )
  return outputs
}

async function lineRows(queries: Queries, newest: string, limit: number): Promise<readonly StoredCommit[]> {
  const first = await rowOf(queries, newest)
  if (!first) return []
  const parent = await parentOf(queries, first)
  if (parent === null || limit === 1) return [first].slice(0, limit)
  const rest = await queries.all<StoredCommit>(
    `WITH RECURSIVE line (depth, id, parent) AS (
       SELECT 1, id, parent FROM commits WHERE id = ?
       UNION ALL SELECT line.depth + 1, c.id, c.parent FROM line CROSS JOIN commits AS c ON c.id = line.parent WHERE line.depth < ?
     ) SELECT c.* FROM line CROSS JOIN commits AS c ON c.id = line.id ORDER BY line.depth`,
    [parent, limit - 1],
  )
  return [first, ...rest]
}

/** Along a line these times never go back: what is older than the first that is too old is too old as well. */
function since(rows: readonly StoredCommit[], sinceMs: number | undefined): readonly StoredCommit[] {
  if (sinceMs === undefined) return rows
  const end = rows.findIndex((row) => row.head_ms !== null && row.head_ms < sinceMs)
  return end < 0 ? rows : rows.slice(0, end)
}

/** All commits of a repo, or those that were made under the name of a branch that is gone. */
function byName(
  queries: Queries,
  repo: RepoName,
  { branch, sinceMs, untilMs }: LogQuery,
  before: StoredCommit | undefined,
  limit: number,
): Promise<readonly StoredCommit[]> {
  const where = ['repo = ?']
  const values: (string | number)[] = [repo]
  const and = (text: string, ...given: readonly (string | number)[]) => {
    where.push(text)
    values.push(...given)
  }
  if (branch !== undefined) and('branch = ?', branch)
  const byTime = sinceMs !== undefined || untilMs !== undefined
  if (byTime) and('head_ms IS NOT NULL')
  if (sinceMs !== undefined) and('head_ms >= ?', sinceMs)
  if (untilMs !== undefined) and('head_ms <= ?', untilMs)
  if (before && !byTime) and('number < ?', before.number)
  if (before && byTime) and('(head_ms, number) < (?, ?)', before.head_ms ?? Number.MAX_SAFE_INTEGER, before.number)
  const order = byTime ? 'head_ms DESC, number DESC' : 'number DESC'
  return queries.all<StoredCommit>(`SELECT * FROM commits WHERE ${where.join(' AND ')} ORDER BY ${order} LIMIT ?`, [
    ...values,
    limit,
  ])
}
