import { setTimeout as delay } from 'node:timers/promises'
import type { Database, Queries, Transaction } from '../../kernel/index.ts'
import type { BranchName, CommitId, RepoName } from '../model/index.ts'
import type { ExpiredCommit, RetentionPolicy } from '../retention.ts'
import type { ReferenceSource } from './references.ts'

const DAY_MS = 86_400_000
/** Commits read by one statement: some milliseconds. */
const ROWS_AT_ONCE = 5_000
/** Between two of them: whoever is served reads in between. */
const REST_MS = 5
/** Rows written by one transaction: writers wait for no more. */
const WRITES_AT_ONCE = 1_000

export interface ExpiryOptions {
  readonly nowMs: number
  /** How long a commit is kept that no branch and no tag leads to, from when that was first seen. */
  readonly graceMs: number
  /** What floors above hold. */
  readonly sources?: readonly ReferenceSource[]
  /** Only of this repo, and as if it had these rules. */
  readonly only?: { readonly repo: string; readonly policy: RetentionPolicy | undefined }
}

/** By `number` of their rows: a bit for each commit there ever was. */
class CommitBits {
  readonly #bits: Uint8Array
  constructor(numbers: number) {
    this.#bits = new Uint8Array((numbers >>> 3) + 1)
  }
  has(number: number): boolean {
    return ((this.#bits[number >>> 3] ?? 0) & (1 << (number & 7))) !== 0
  }
  add(number: number): void {
    const at = number >>> 3
    this.#bits[at] = (this.#bits[at] ?? 0) | (1 << (number & 7))
  }
}

/** What must stay whatever the rules say, as SQL that yields ids of commits. */
function heldSql(sources: readonly ReferenceSource[]): string {
  const unfinished = 'SELECT id FROM commits WHERE finished_ms IS NULL'
  const newest =
    'SELECT head FROM branches WHERE head IS NOT NULL UNION ALL SELECT tip FROM branches WHERE tip IS NOT NULL'
  const parts = [
    newest,
    'SELECT open_commit FROM branches WHERE open_commit IS NOT NULL',
    // What a transaction began with, and what holds the versions called null.
    'SELECT base_commit FROM branches WHERE base_commit IS NOT NULL',
    'SELECT unversioned FROM branches WHERE unversioned IS NOT NULL',
    'SELECT commit_id FROM commit_tags',
    unfinished,
    'SELECT parent FROM commits WHERE finished_ms IS NULL AND parent IS NOT NULL',
    'SELECT merge_parent FROM commits WHERE finished_ms IS NULL AND merge_parent IS NOT NULL',
    'SELECT tree_of FROM commits WHERE finished_ms IS NULL AND tree_of IS NOT NULL',
    // The inputs of what is being computed, and those that the next job compares its own with.
    `SELECT upstream_id FROM provenance WHERE commit_id IN (${unfinished})`,
    `SELECT upstream_id FROM provenance WHERE commit_id IN (${newest})`,
    `SELECT origin_id FROM propagations WHERE commit_id IN (${unfinished})`,
    ...sources.flatMap((source) => source.commits ?? []),
  ]
  return `SELECT NULL AS id WHERE false UNION ALL ${parts.map((part) => `SELECT * FROM (${part})`).join(' UNION ALL ')}`
}

/**
 * The commits that may go, in slices, and remembers since when what nothing leads to has been so. Reads every commit's row once or twice;
 * holds a bit for each. What is given may be held again by the time it is removed: ask `stillExpired` in the transaction that does it.
 */
export async function* expiredCommits(db: Database, options: ExpiryOptions): AsyncGenerator<readonly ExpiredCommit[]> {
  const found = await reach(db, options.sources ?? [], options.only?.repo)
  if (options.only === undefined) await noteUnreachable(db, found, options.nowMs)
  yield* selectExpired(db, found, options)
}

/**
 * Of these, those that nothing holds now. Where something came to hold a commit that nothing led to when this was begun, that leads to others:
 * of its repo only those go that its rules give. Asked in the transaction that removes.
 */
export async function stillExpired(
  tx: Transaction,
  ids: readonly CommitId[],
  sources: readonly ReferenceSource[] = [],
): Promise<readonly CommitId[]> {
  const rows = await tx.all<{ id: CommitId }>(
    `WITH held (id) AS MATERIALIZED (${heldSql(sources)}), again (repo) AS MATERIALIZED (
       SELECT DISTINCT c.repo FROM held CROSS JOIN unreachable_commits AS u ON u.commit_id = held.id
       CROSS JOIN commits AS c ON c.id = u.commit_id)
     SELECT w.value AS id FROM json_each(?) AS w
     WHERE w.value NOT IN (SELECT id FROM held WHERE id IS NOT NULL)
       AND NOT EXISTS (SELECT 1 FROM unreachable_commits AS u CROSS JOIN commits AS c ON c.id = u.commit_id
         WHERE u.commit_id = w.value AND c.repo IN (SELECT repo FROM again))`,
    [JSON.stringify(ids)],
  )
  return rows.map(({ id }) => id)
}

/**
 * What must stay, and what that leads to, of the commits up to number `newest`: later ones are not looked at. `repo`: only what it leads to
 * there, since parents are of the same repo.
 */
async function reach(queries: Queries, sources: readonly ReferenceSource[], repo: string | undefined): Promise<Reach> {
  const row = await queries.get<{ number: number | null }>('SELECT max(number) AS number FROM commits')
  const newest = row?.number ?? 0
  const held = new CommitBits(newest)
  const reached = new CommitBits(newest)
  const rows = await queries.all<{ number: number }>(
    `SELECT c.number FROM (${heldSql(sources)}) AS held CROSS JOIN commits AS c ON c.id = held.id`,
  )
  for (const { number } of rows) {
    held.add(number)
    reached.add(number)
  }
  while (await spread(queries, reached, repo)) {
    // A parent that stands behind its child in the table was passed by: once more.
  }
  return { newest, held, reached }
}

interface Reach {
  readonly newest: number
  readonly held: CommitBits
  readonly reached: CommitBits
}

/** One pass from the newest row to the oldest. True if a commit was reached that the pass had gone by. */
async function spread(queries: Queries, reached: CommitBits, repo: string | undefined): Promise<boolean> {
  let again = false
  let before = Number.MAX_SAFE_INTEGER
  for (;;) {
    const rows = await queries.all<{ number: number; parent: number | null; merged: number | null }>(
      `SELECT c.number, p.number AS parent, m.number AS merged FROM commits AS c
       LEFT JOIN commits AS p ON p.id = c.parent LEFT JOIN commits AS m ON m.id = c.merge_parent
       WHERE c.number < ? ${repo === undefined ? '' : 'AND c.repo = ?'} ORDER BY c.number DESC LIMIT ${ROWS_AT_ONCE}`,
      repo === undefined ? [before] : [before, repo],
    )
    await delay(REST_MS)
    for (const { number, parent, merged } of rows) {
      if (!reached.has(number)) continue
      for (const next of [parent, merged]) {
        if (next === null || reached.has(next)) continue
        reached.add(next)
        if (next > number) again = true
      }
    }
    const last = rows.at(-1)
    if (!last || rows.length < ROWS_AT_ONCE) return again
    before = last.number
  }
}

interface Row {
  readonly number: number
  readonly id: string
  readonly repo: string
  readonly branch: string
  readonly branch_id: number
  readonly ordinal: number
  readonly finished_ms: number
  readonly since_ms: number | null
}

/** Finished and failed commits in the order of their rows, page by page. */
async function* finishedCommits(queries: Queries, repo: string | undefined): AsyncGenerator<readonly Row[]> {
  let after = 0
  for (;;) {
    const rows = await queries.all<Row>(
      `SELECT c.number, c.id, c.repo, c.branch, c.branch_id, c.ordinal, c.finished_ms, u.since_ms FROM commits AS c
       LEFT JOIN unreachable_commits AS u ON u.commit_id = c.id
       WHERE c.number > ? AND c.finished_ms IS NOT NULL ${repo === undefined ? '' : 'AND c.repo = ?'}
       ORDER BY c.number LIMIT ${ROWS_AT_ONCE}`,
      repo === undefined ? [after] : [after, repo],
    )
    if (rows.length > 0) yield rows
    const last = rows.at(-1)
    if (!last || rows.length < ROWS_AT_ONCE) return
    await delay(REST_MS)
    after = last.number
  }
}

/** The time runs from when it was first seen that nothing leads there; what is led to again begins anew. */
async function noteUnreachable(db: Database, { newest, reached }: Reach, nowMs: number): Promise<void> {
  for await (const rows of finishedCommits(db, undefined)) {
    const lost = rows.filter(({ number, since_ms }) => since_ms === null && number <= newest && !reached.has(number))
    for (let at = 0; at < lost.length; at += WRITES_AT_ONCE) {
      const ids = JSON.stringify(lost.slice(at, at + WRITES_AT_ONCE).map(({ id }) => id))
      await db.write((tx) =>
        tx.run('INSERT OR IGNORE INTO unreachable_commits (commit_id, since_ms) SELECT value, ? FROM json_each(?)', [
          nowMs,
          ids,
        ]),
      )
    }
    const found = rows.filter(({ number, since_ms }) => since_ms !== null && reached.has(number))
    for (let at = 0; at < found.length; at += WRITES_AT_ONCE) {
      const ids = JSON.stringify(found.slice(at, at + WRITES_AT_ONCE).map(({ id }) => id))
      await db.write((tx) =>
        tx.run('DELETE FROM unreachable_commits WHERE commit_id IN (SELECT value FROM json_each(?))', [ids]),
      )
    }
  }
  for (let removed = WRITES_AT_ONCE; removed === WRITES_AT_ONCE; ) {
    removed = await db.write((tx) =>
      tx.run(`DELETE FROM unreachable_commits WHERE commit_id IN (
        SELECT commit_id FROM unreachable_commits WHERE commit_id NOT IN (SELECT id FROM commits) LIMIT ${WRITES_AT_ONCE})`),
    )
  }
}

async function* selectExpired(
  queries: Queries,
  { newest, held, reached }: Reach,
  { nowMs, graceMs, only }: ExpiryOptions,
): AsyncGenerator<readonly ExpiredCommit[]> {
  const policies = await readPolicies(queries)
  if (only) only.policy === undefined ? policies.delete(only.repo) : policies.set(only.repo, only.policy)
  const thresholds = new Thresholds(queries)
  for await (const rows of finishedCommits(queries, only?.repo)) {
    const expired: ExpiredCommit[] = []
    for (const row of rows) {
      if (row.number > newest || held.has(row.number)) continue
      const policy = policies.get(row.repo)
      const young = policy?.keepDays !== undefined && row.finished_ms >= nowMs - policy.keepDays * DAY_MS
      if (young) continue
      const lost = !reached.has(row.number) && row.since_ms !== null && row.since_ms <= nowMs - graceMs
      const why = lost ? 'unreachable' : policy && (await thresholds.isPast(row, policy)) ? 'retention' : undefined
      if (why === undefined) continue
      const { repo, branch, id, finished_ms: finishedMs } = row
      expired.push({ repo: repo as RepoName, branch: branch as BranchName, commit: id as CommitId, finishedMs, why })
    }
    if (expired.length > 0) yield expired
  }
}

async function readPolicies(queries: Queries): Promise<Map<string, RetentionPolicy>> {
  const rows = await queries.all<{ name: string; retention: string }>(
    'SELECT name, retention FROM repos WHERE retention IS NOT NULL',
  )
  return new Map(rows.map(({ name, retention }) => [name, JSON.parse(retention) as RetentionPolicy]))
}

/** From which ordinal on the newest so many commits of a branch are. */
class Thresholds {
  readonly #queries: Queries
  readonly #known = new Map<number, number>()

  constructor(queries: Queries) {
    this.#queries = queries
  }

  async isPast({ branch_id, ordinal }: Row, { keepCommits }: RetentionPolicy): Promise<boolean> {
    if (keepCommits === undefined) return true
    let from = this.#known.get(branch_id)
    if (from === undefined) {
      const row = await this.#queries.get<{ ordinal: number }>(
        `SELECT ordinal FROM commits WHERE branch_id = ? AND finished_ms IS NOT NULL ORDER BY ordinal DESC LIMIT 1 OFFSET ?`,
        [branch_id, keepCommits - 1],
      )
      from = row?.ordinal ?? 0
      this.#known.set(branch_id, from)
    }
    return ordinal < from
  }
}
