import type { Database, Transaction } from '../kernel/index.ts'

/** A commit's own folder at a target. */
export interface Folder {
  readonly commit: string
  /** Of the newest push of that commit. */
  readonly seq: number
  /** What it holds, and how that was published. */
  readonly state: string
  /** All of it is there; else a push of it has not come to its end. */
  readonly whole: boolean
  /** `latest` names it. */
  readonly isLatest: boolean
}

interface FolderRow {
  readonly commit_id: string
  readonly seq: number
  readonly state: string
  readonly whole: number
  readonly latest: number | null
}

/** The commits' folders that one pipeline has at one target. */
export class Folders {
  readonly #db: Database
  readonly #where: readonly [location: number, folder: string, pipeline: string]

  constructor(db: Database, location: number, pipeline: string, folder: string) {
    this.#db = db
    this.#where = [location, folder, pipeline]
  }

  /** The one of the newest push first. */
  async all(): Promise<readonly Folder[]> {
    const rows = await this.#db.all<FolderRow>(
      `SELECT commit_id, seq, state, whole, latest FROM egress_folder
       WHERE location = ? AND folder = ? AND pipeline = ? ORDER BY seq DESC`,
      this.#where,
    )
    return rows.map((row) => ({
      commit: row.commit_id,
      seq: row.seq,
      state: row.state,
      whole: row.whole === 1,
      isLatest: row.latest !== null,
    }))
  }

  /** The newest that is whole, but for that of one commit. */
  async newestWhole(but: string): Promise<string | undefined> {
    const row = await this.#db.get<{ commit_id: string }>(
      `SELECT commit_id FROM egress_folder
       WHERE location = ? AND folder = ? AND pipeline = ? AND whole = 1 AND commit_id <> ? ORDER BY seq DESC LIMIT 1`,
      [...this.#where, but],
    )
    return row?.commit_id
  }

  /** Notes that a folder is about to hold `state`; what was whole in the same state stays so. */
  async begin(tx: Transaction, commit: string, { seq, state }: Pick<Folder, 'seq' | 'state'>): Promise<void> {
    await tx.run(
      `INSERT INTO egress_folder (location, folder, pipeline, commit_id, seq, state, whole) VALUES (?, ?, ?, ?, ?, ?, 0)
       ON CONFLICT (location, folder, pipeline, commit_id) DO UPDATE SET seq = max(seq, excluded.seq),
         whole = CASE WHEN state = excluded.state THEN whole ELSE 0 END, state = excluded.state`,
      [...this.#where, commit, seq, state],
    )
  }

  /** All of it is there. */
  async end(tx: Transaction, commit: string): Promise<void> {
    await tx.run(
      'UPDATE egress_folder SET whole = 1 WHERE location = ? AND folder = ? AND pipeline = ? AND commit_id = ?',
      [...this.#where, commit],
    )
  }

  /** Whether no newer push has named another folder. */
  async mayName(seq: number): Promise<boolean> {
    const row = await this.#db.get<{ latest: number | null }>(
      'SELECT max(latest) AS latest FROM egress_folder WHERE location = ? AND folder = ? AND pipeline = ?',
      this.#where,
    )
    return (row?.latest ?? 0) <= seq
  }

  async name(tx: Transaction, commit: string, seq: number): Promise<void> {
    await tx.run(
      `UPDATE egress_folder SET latest = CASE commit_id WHEN ? THEN ? END
       WHERE location = ? AND folder = ? AND pipeline = ?`,
      [commit, seq, ...this.#where],
    )
  }

  async forget(tx: Transaction, commit: string): Promise<void> {
    await tx.run('DELETE FROM egress_folder WHERE location = ? AND folder = ? AND pipeline = ? AND commit_id = ?', [
      ...this.#where,
      commit,
    ])
  }

  async forgetAll(tx: Transaction): Promise<void> {
    await tx.run('DELETE FROM egress_folder WHERE location = ? AND folder = ? AND pipeline = ?', this.#where)
  }

  /** Not all of these is there after all. */
  async doubt(tx: Transaction, commits: ReadonlySet<string>): Promise<void> {
    await tx.run(
      `UPDATE egress_folder SET whole = 0 WHERE location = ? AND folder = ? AND pipeline = ?
         AND commit_id IN (SELECT value FROM json_each(?))`,
      [...this.#where, JSON.stringify([...commits])],
    )
  }
}
