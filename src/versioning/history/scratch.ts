import type { Queries, Transaction } from '../../kernel/index.ts'
import { type CommitState, type FileEntry, NO_VERSION, type Path, scratchArea, type Target } from '../model/index.ts'
import { decodeEntry, encodeLeaf, type OverlayCursor, type TreeChange } from '../tree/index.ts'
import { type Current, currentOf } from './conditions.ts'
import { SHOWN_COMMIT } from './describe.ts'

/** Rows read at once by a listing: it starts small, since most listings seek past a scratch folder, and doubles. */
const FIRST_PAGE = 64
const MAX_PAGE = 1024

interface ScratchWrite {
  readonly area: string
  /** When it was written: what was renamed keeps an older time of its own. */
  readonly atMs: number
  /** Hex. */
  readonly encoded: string
}

/**
 * The scratch files among the changes of one group: rows of their own, beside the branch's changes. They take no number, and belong to
 * no commit.
 */
export class ScratchGroup {
  readonly #branchId: number
  readonly #writes = new Map<string, ScratchWrite | null>()
  /** The scratch paths that the branch itself holds too: a tree may come from elsewhere. Deleting one deletes both. */
  readonly #alsoInBranch = new Set<string>()

  private constructor(branchId: number) {
    this.#branchId = branchId
  }

  /**
   * For the requests of a group; undefined if there is no scratch path among them. What the scratch area holds wins over the branch in
   * `current`, which is what conditions see.
   */
  static async open(
    tx: Transaction,
    branchId: number,
    requests: readonly { readonly path: Path }[],
    current: Map<string, Current | null>,
  ): Promise<ScratchGroup | undefined> {
    const paths = requests.map(({ path }) => path).filter((path) => scratchArea(path) !== undefined)
    if (paths.length === 0) return undefined
    const group = new ScratchGroup(branchId)
    for (const path of paths) if (current.get(path)) group.#alsoInBranch.add(path)
    const rows = await tx.all<{ path: string; entry: Buffer }>(
      `SELECT s.path, s.entry FROM json_each(?) AS wanted
       CROSS JOIN scratch AS s ON s.branch_id = ? AND s.path = wanted.value`,
      [JSON.stringify(paths), branchId],
    )
    for (const row of rows) current.set(row.path, currentOf(decodeEntry(row.entry), NO_VERSION))
    return group
  }

  /** Whether the request changes the scratch area alone, and not the branch. */
  takes(request: { readonly path: Path; readonly entry: unknown }): boolean {
    if (scratchArea(request.path) === undefined) return false
    return request.entry !== null || !this.#alsoInBranch.has(request.path)
  }

  /** Null deletes. Paths outside scratch folders are passed by. */
  add(path: Path, nowMs: number, encoded: string | null): void {
    const area = scratchArea(path)
    if (area === undefined) return
    this.#writes.set(path, encoded === null ? null : { area, atMs: nowMs, encoded })
    if (encoded === null) this.#alsoInBranch.delete(path)
  }

  /** The areas that were written to. */
  get areas(): ReadonlySet<string> {
    return new Set([...this.#writes.values()].flatMap((write) => (write ? [write.area] : [])))
  }

  /** Returns the areas in which nothing is left. */
  async write(tx: Transaction): Promise<readonly string[]> {
    const puts: [string, string, number, string][] = []
    const deletes: string[] = []
    for (const [path, write] of this.#writes) {
      if (write) puts.push([path, write.area, write.atMs, write.encoded])
      else deletes.push(path)
    }
    if (puts.length > 0) {
      await tx.run(
        `INSERT OR REPLACE INTO scratch (branch_id, path, area, at_ms, entry)
         SELECT ?, value ->> 0, value ->> 1, value ->> 2, unhex(value ->> 3) FROM json_each(?)`,
        [this.#branchId, JSON.stringify(puts)],
      )
    }
    if (deletes.length === 0) return []
    await tx.run('DELETE FROM scratch WHERE branch_id = ? AND path IN (SELECT value FROM json_each(?))', [
      this.#branchId,
      JSON.stringify(deletes),
    ])
    const areas = new Set(deletes.map((path) => scratchArea(path as Path)))
    const emptied = await tx.all<{ area: string }>(
      `SELECT value AS area FROM json_each(?)
       WHERE NOT EXISTS (SELECT 1 FROM scratch WHERE branch_id = ? AND area = value)`,
      [JSON.stringify([...areas]), this.#branchId],
    )
    return emptied.map(({ area }) => area)
  }
}

interface FoundRow {
  readonly branch: string
  readonly id: string | null
  readonly state: CommitState | null
  readonly pipeline: string | null
  readonly entry: Buffer
}

/** The scratch file of this path with what describes its branch, or undefined. */
export async function findScratch(
  queries: Queries,
  target: Extract<Target, { kind: 'branch' }>,
  path: Path,
): Promise<{ row: Omit<FoundRow, 'entry'>; entry: FileEntry } | undefined> {
  const row = await queries.get<FoundRow>(
    `SELECT b.name AS branch, c.id, c.state, b.pipeline, s.entry
     FROM branches AS b CROSS JOIN scratch AS s ON s.branch_id = b.id AND s.path = ?
     LEFT JOIN commits AS c ON c.id = ${SHOWN_COMMIT}
     WHERE b.repo = ? AND b.name = ?`,
    [path, target.repo, target.branch],
  )
  return row && { row, entry: scratchFile(path, row.entry) }
}

function scratchFile(path: Path, entry: Buffer): FileEntry {
  return { ...decodeEntry(entry), path, version: NO_VERSION }
}

/** The scratch files of a branch, for a listing to lay over its tree. */
export class ScratchCursor implements OverlayCursor {
  readonly #queries: Queries
  readonly #branchId: number
  #rows: readonly { readonly path: Buffer; readonly entry: Buffer }[] = []
  #at = 0
  #from: Buffer = Buffer.alloc(0)
  #inclusive = true
  #page = FIRST_PAGE
  #ended = false

  constructor(queries: Queries, branchId: number) {
    this.#queries = queries
    this.#branchId = branchId
  }

  async seek(key: Buffer): Promise<void> {
    const at = this.#rows.findIndex((row) => row.path.compare(key) >= 0)
    // Within what was read: a listing that skips folder after folder must not ask for each.
    if (at >= 0 && this.#rows[0]!.path.compare(key) <= 0) {
      this.#at = at
      return
    }
    this.#rows = []
    this.#at = 0
    this.#from = key
    this.#inclusive = true
    this.#ended = false
    this.#page = FIRST_PAGE
  }

  async next(): Promise<TreeChange | undefined> {
    if (this.#at >= this.#rows.length && !this.#ended) await this.#read()
    return this.nextNow()
  }

  nextNow(): TreeChange | undefined {
    const row = this.#rows[this.#at]
    if (!row) return undefined
    this.#at++
    const { size } = decodeEntry(row.entry)
    return { key: row.path, item: { key: row.path, size, value: encodeLeaf(NO_VERSION, row.entry) } }
  }

  async #read(): Promise<void> {
    // A key to seek need not be UTF-8: it goes in as bytes, and is compared as such.
    this.#rows = await this.#queries.all(
      `SELECT CAST(path AS BLOB) AS path, entry FROM scratch
       WHERE branch_id = ? AND path ${this.#inclusive ? '>=' : '>'} CAST(? AS TEXT) ORDER BY path LIMIT ?`,
      [this.#branchId, this.#from, this.#page],
    )
    this.#at = 0
    this.#ended = this.#rows.length < this.#page
    this.#page = Math.min(MAX_PAGE, this.#page * 2)
    const last = this.#rows.at(-1)
    if (!last) return
    this.#from = last.path
    this.#inclusive = false
  }
}
