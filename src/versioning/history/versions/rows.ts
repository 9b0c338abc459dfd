import type { Queries } from '../../../kernel/index.ts'
import type { CommitId, VersionId } from '../../model/index.ts'
import { hiddenSql, ROW_COMMIT, ROW_SEQ, type Segment, segmentsJson, type VersionChain } from './chain.ts'
import { runAt } from './runs.ts'

/** Rows read at once: it starts small, since a listing with a delimiter seeks past most of them, and doubles. */
const FIRST_PAGE = 32
const MAX_PAGE = 1024
/** So many deleted versions are passed one by one before a jump is tried. */
const JUMP_FROM = 8

/** A change row that is a version. */
export interface VersionRow {
  /** Its place in the segment. */
  readonly place: number
  readonly version: VersionId
  readonly atMs: number
  /** Null: a delete marker. */
  readonly entry: Buffer | null
}

// The planner would rather walk a whole branch by number: every statement here says which index it goes by.
interface StoredRow {
  readonly key: Buffer
  readonly place: number
  readonly commit_id: string
  readonly seq: number
  readonly at_ms: number
  readonly entry: Buffer | null
  readonly hidden: number
}

/** Columns of a StoredRow; the first parameter is the chain's segments. */
function columns(chain: VersionChain): string {
  return `CAST(c.path AS BLOB) AS key, c.seq AS place, ${ROW_COMMIT} AS commit_id, ${ROW_SEQ} AS seq, c.at_ms, c.entry,
          ${hiddenColumn(chain)} AS hidden`
}

/** Most branches have no deleted version: then nothing is looked up, and the parameter is not null. */
function hiddenColumn(chain: VersionChain): string {
  return chain.someHidden ? hiddenSql('?1', { path: 'c.path', commit: ROW_COMMIT, seq: ROW_SEQ }) : '?1 IS NULL'
}

function rowOf(row: StoredRow): VersionRow {
  const version = { commit: row.commit_id as CommitId, seq: row.seq }
  return { place: row.place, version, atMs: row.at_ms, entry: row.entry }
}

/** The versions in one segment, by path and then the newest first; never more than a page of them is read at once. */
export class VersionRows {
  readonly #queries: Queries
  readonly #chain: VersionChain
  readonly #segment: Segment
  readonly #segments: string
  readonly #onePath: boolean
  #rows: readonly StoredRow[] = []
  #at = 0
  /** Behind what was read: paths from `key` on, or with `below` the rest of `key` and then the paths after it. */
  #key: Buffer = Buffer.alloc(0)
  #below: number | undefined
  #page = FIRST_PAGE
  #ended = false
  /** Deleted versions since the last that was shown. */
  #passed = 0

  /** `only`: of this path alone, one by one. */
  constructor(queries: Queries, chain: VersionChain, segment: Segment, only?: Buffer) {
    this.#queries = queries
    this.#chain = chain
    this.#segment = segment
    this.#segments = segmentsJson(chain.segments)
    this.#onePath = only !== undefined
    if (!only) return
    this.#key = only
    this.#below = Number.MAX_SAFE_INTEGER
    this.#page = 1
  }

  /** To the first version of the first path that is not before `key`; or to the versions of `key` below a place. Only forward. */
  seek(key: Buffer, below?: number): void {
    while (this.#at < this.#rows.length && this.#isBefore(this.#rows[this.#at]!, key, below)) this.#at++
    if (this.#at < this.#rows.length || this.#ended) return
    const order = this.#key.compare(key)
    if (order > 0 || (order === 0 && this.#below !== undefined && this.#below <= (below ?? this.#below))) return
    this.#rows = []
    this.#at = 0
    this.#key = key
    this.#below = below
    this.#page = Math.min(this.#page, FIRST_PAGE)
    this.#ended = false
  }

  #isBefore(row: StoredRow, key: Buffer, below: number | undefined): boolean {
    const order = row.key.compare(key)
    return order < 0 || (order === 0 && below !== undefined && row.place >= below)
  }

  /** The path of the next version, or undefined at the end. */
  async key(): Promise<Buffer | undefined> {
    for (;;) {
      const row = this.#rows[this.#at]
      if (row && !row.hidden) {
        this.#passed = 0
        return row.key
      }
      if (row) await this.#pass(row)
      else if (this.#ended) return undefined
      else await this.#read()
    }
  }

  /** Over a deleted version, and where there are many, over all that follow. */
  async #pass(row: StoredRow): Promise<void> {
    this.#at++
    const { view } = this.#chain
    if (!view || ++this.#passed % JUMP_FROM !== 0) return
    const path = row.key.toString()
    const run = await runAt(this.#queries, {
      branchId: view.branchId,
      segmentId: this.#segment.branchId,
      path,
      place: row.place,
    })
    if (run) this.seek(row.key, run.low)
  }

  /** The next version, and past it; only after `key` has said that there is one. */
  take(): VersionRow {
    return rowOf(this.#rows[this.#at++]!)
  }

  async #read(): Promise<void> {
    const limit = this.#page
    const rest = this.#below === undefined ? [] : await this.#readPath(this.#below, limit)
    const more = rest.length < limit && !this.#onePath ? await this.#readPaths(limit - rest.length) : []
    this.#rows = [...rest, ...more]
    this.#at = 0
    this.#ended = this.#rows.length < limit
    this.#page = Math.min(MAX_PAGE, limit * 2)
    const last = this.#rows.at(-1)
    if (!last) return
    this.#key = last.key
    this.#below = last.place
  }

  #readPath(below: number, limit: number): Promise<StoredRow[]> {
    const { branchId, from } = this.#segment
    return this.#queries.all<StoredRow>(
      `SELECT ${columns(this.#chain)} FROM changes AS c INDEXED BY changes_by_path
       WHERE c.branch_id = ?2 AND c.path = CAST(?3 AS TEXT) AND c.seq > ?4 AND c.seq < ?5 AND c.listed = 1
       ORDER BY c.seq DESC LIMIT ?6`,
      [this.#segments, branchId, this.#key, from, Math.min(below, this.#segment.to + 1), limit],
    )
  }

  #readPaths(limit: number): Promise<StoredRow[]> {
    const { branchId, from, to } = this.#segment
    return this.#queries.all<StoredRow>(
      `SELECT ${columns(this.#chain)} FROM changes AS c INDEXED BY changes_by_path
       WHERE c.branch_id = ?2 AND c.path ${this.#below === undefined ? '>=' : '>'} CAST(?3 AS TEXT)
         AND c.seq > ?4 AND c.seq <= ?5 AND c.listed = 1
       ORDER BY c.path, c.seq DESC LIMIT ?6`,
      [this.#segments, branchId, this.#key, from, to, limit],
    )
  }
}

/** The newest change of a path that is a version and was not deleted, over all segments. */
export async function newestRow(
  queries: Queries,
  chain: VersionChain,
  path: string,
): Promise<{ readonly row: VersionRow; readonly segment: number } | undefined> {
  const key = Buffer.from(path)
  for (const [segment, of] of chain.segments.entries()) {
    const rows = new VersionRows(queries, chain, of, key)
    if (await rows.key()) return { row: rows.take(), segment }
  }
  return undefined
}

/** The row of one version of a path, with the segment it is in; `hidden` if it was deleted. */
export async function findRow(
  queries: Queries,
  chain: VersionChain,
  path: string,
  version: VersionId,
): Promise<{ readonly row: VersionRow; readonly segment: number; readonly hidden: boolean } | undefined> {
  const commit = await queries.get<{ branch_id: number }>('SELECT branch_id FROM commits WHERE id = ?', [
    version.commit,
  ])
  if (!commit) return undefined
  // A branch that was pointed at an older commit of its own has several segments.
  for (const [segment, of] of chain.segments.entries()) {
    if (of.branchId !== commit.branch_id) continue
    const row = await rowIn(queries, chain, of, path, version)
    if (row) return { row: rowOf(row), segment, hidden: row.hidden === 1 }
  }
  return undefined
}

async function rowIn(
  queries: Queries,
  chain: VersionChain,
  found: Segment,
  path: string,
  version: VersionId,
): Promise<StoredRow | undefined> {
  const parameters = [
    segmentsJson(chain.segments),
    found.branchId,
    version.seq,
    version.commit,
    path,
    found.from,
    found.to,
  ]
  return (
    (await queries.get<StoredRow>(
      `SELECT ${columns(chain)} FROM changes AS c
       WHERE c.branch_id = ?2 AND c.seq = ?3 AND c.commit_id = ?4 AND c.path = ?5 AND c.of_commit IS NULL AND c.listed = 1
         AND c.seq > ?6 AND c.seq <= ?7`,
      parameters,
    )) ??
    (await queries.get<StoredRow>(
      `SELECT ${columns(chain)} FROM changes AS c INDEXED BY changes_by_other_id
       WHERE c.branch_id = ?2 AND c.of_commit = ?4 AND c.of_seq = ?3 AND c.of_commit IS NOT NULL AND c.listed = 1
         AND c.path = ?5 AND c.seq > ?6 AND c.seq <= ?7`,
      parameters,
    ))
  )
}
