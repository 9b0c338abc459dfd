import type { S3Target } from '../cloud/index.ts'
import type { Database, Transaction } from '../kernel/index.ts'
import type { TreeHash } from '../versioning/index.ts'
import { LEDGER_BATCH } from './limits.ts'
import { compareUtf8, type Known } from './plan.ts'

/** A file on its way to, or at, the target. */
export interface LedgerEntry {
  readonly path: string
  readonly fingerprint: string
  readonly size: number
  /** The one that is expected before the push, the store's own after it; null where it can't be known. */
  readonly etag: string | null
}

export interface KnownUpload {
  readonly uploadId: string
  readonly fingerprint: string
  readonly partBytes: number
}

/** What the target held when it was last in step, and how many files that were. */
export interface InStep {
  readonly root: TreeHash
  readonly files: number
}

interface ObjectRow {
  readonly key: string
  readonly pipeline: string
  readonly fingerprint: string
  readonly etag: string | null
  readonly sent: number
  readonly owned: number
}

/**
 * What one pipeline has pushed to one target folder, by whole keys of the bucket: a key belongs to the pipeline that wrote it
 * first, also where two targets overlap, so that no push overwrites or deletes what another one made.
 */
export class Ledger {
  readonly #db: Database
  readonly #location: number
  readonly #pipeline: string
  readonly #folder: string
  /** The folder with its slash, or nothing. */
  readonly #prefix: string

  private constructor(db: Database, location: number, pipeline: string, folder: string) {
    this.#db = db
    this.#location = location
    this.#pipeline = pipeline
    this.#folder = folder
    this.#prefix = folder === '' ? '' : `${folder}/`
  }

  static async open(db: Database, target: S3Target, pipeline: string): Promise<Ledger> {
    const name = `${target.endpoint ?? 's3:/'}/${target.bucket}`
    const location = await db.write(async (tx) => {
      await tx.run('INSERT INTO egress_location (name) VALUES (?) ON CONFLICT (name) DO NOTHING', [name])
      return (await tx.get<{ id: number }>('SELECT id FROM egress_location WHERE name = ?', [name]))!.id
    })
    return new Ledger(db, location, pipeline, target.folder)
  }

  /**
   * Notes that `root` is on its way. Returns what the target was in step with before, if the ledger differs from that at most by
   * an earlier try of this very root.
   */
  async begin(tx: Transaction, root: TreeHash): Promise<InStep | undefined> {
    const where = [this.#location, this.#folder, this.#pipeline]
    await tx.run(
      `INSERT INTO egress_target (location, folder, pipeline, pending_root) VALUES (?, ?, ?, ?)
       ON CONFLICT (location, folder, pipeline) DO UPDATE SET pending_root = excluded.pending_root,
         root = CASE WHEN pending_root IS NULL OR pending_root = excluded.pending_root THEN root END`,
      [...where, root],
    )
    const row = await tx.get<{ root: string | null; files: number }>(
      'SELECT root, files FROM egress_target WHERE location = ? AND folder = ? AND pipeline = ?',
      where,
    )
    return row?.root == null ? undefined : { root: row.root as TreeHash, files: row.files }
  }

  /** The target is in step with the tree that was on its way. */
  async end(tx: Transaction, files: number): Promise<void> {
    await tx.run(
      `UPDATE egress_target SET root = pending_root, pending_root = NULL, files = ?
       WHERE location = ? AND folder = ? AND pipeline = ?`,
      [files, this.#location, this.#folder, this.#pipeline],
    )
  }

  /** All that this pipeline has below its folder, in UTF-8 byte order. Rows may be changed meanwhile. */
  async *all(): AsyncGenerator<Known> {
    // '0' is the character after '/': the end of all that begins with the folder.
    const end = this.#prefix === '' ? '' : `${this.#folder}0`
    for (let after = this.#prefix; ; ) {
      const rows = await this.#db.all<ObjectRow>(
        `SELECT key, pipeline, fingerprint, etag, sent, owned FROM egress_object
         WHERE location = ? AND key > ? ${end === '' ? '' : 'AND key < ?'} ORDER BY key LIMIT ?`,
        [this.#location, after, ...(end === '' ? [] : [end]), LEDGER_BATCH],
      )
      for (const row of rows) if (row.pipeline === this.#pipeline) yield this.#known(row)
      const last = rows.at(-1)
      if (!last) return
      after = last.key
    }
  }

  async find(paths: readonly string[]): Promise<ReadonlyMap<string, Known>> {
    const rows = await this.#rowsOf(this.#db, paths)
    return new Map(
      rows
        .filter((row) => row.pipeline === this.#pipeline)
        .map((row) => [row.key.slice(this.#prefix.length), this.#known(row)]),
    )
  }

  /**
   * Notes what is about to be sent, before it is: whatever comes next, the ledger then knows every key that may be there. Returns
   * the paths that belong to other pipelines (and notes nothing if there are any).
   */
  async intend(
    tx: Transaction,
    entries: readonly LedgerEntry[],
  ): Promise<readonly { path: string; pipeline: string }[]> {
    const rows = await this.#rowsOf(
      tx,
      entries.map(({ path }) => path),
    )
    const others = rows.filter((row) => row.pipeline !== this.#pipeline)
    if (others.length > 0) {
      return others
        .map(({ key, pipeline }) => ({ path: key.slice(this.#prefix.length), pipeline }))
        .sort((a, b) => compareUtf8(a.path, b.path))
    }
    await tx.run(
      `INSERT INTO egress_object (location, key, pipeline, fingerprint, size, etag, sent, owned)
       SELECT ?, value ->> 0, ?, value ->> 1, value ->> 2, value ->> 3, 0, 0 FROM json_each(?) WHERE true
       ON CONFLICT (location, key) DO UPDATE
         SET fingerprint = excluded.fingerprint, size = excluded.size, etag = excluded.etag, sent = 0`,
      [this.#location, this.#pipeline, this.#json(entries)],
    )
    return []
  }

  async sent(tx: Transaction, entries: readonly LedgerEntry[]): Promise<void> {
    await tx.run(
      `UPDATE egress_object SET sent = 1, owned = 1, etag = new.value ->> 3
       FROM json_each(?) AS new
       WHERE location = ? AND egress_object.key = new.value ->> 0 AND pipeline = ? AND fingerprint = new.value ->> 1`,
      [this.#json(entries), this.#location, this.#pipeline],
    )
  }

  async forget(tx: Transaction, paths: readonly string[]): Promise<void> {
    await tx.run(
      `DELETE FROM egress_object WHERE location = ? AND pipeline = ? AND key IN (SELECT value FROM json_each(?))`,
      [this.#location, this.#pipeline, this.#keys(paths)],
    )
  }

  async findUpload(path: string): Promise<KnownUpload | undefined> {
    const row = await this.#db.get<{ upload_id: string; fingerprint: string; part_bytes: number }>(
      'SELECT upload_id, fingerprint, part_bytes FROM egress_upload WHERE location = ? AND key = ?',
      [this.#location, this.#prefix + path],
    )
    return row && { uploadId: row.upload_id, fingerprint: row.fingerprint, partBytes: row.part_bytes }
  }

  async keepUpload(tx: Transaction, path: string, upload: KnownUpload): Promise<void> {
    await tx.run(
      `INSERT INTO egress_upload (location, key, pipeline, fingerprint, upload_id, part_bytes) VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (location, key) DO UPDATE SET pipeline = excluded.pipeline, fingerprint = excluded.fingerprint,
         upload_id = excluded.upload_id, part_bytes = excluded.part_bytes`,
      [this.#location, this.#prefix + path, this.#pipeline, upload.fingerprint, upload.uploadId, upload.partBytes],
    )
  }

  async forgetUpload(tx: Transaction, path: string): Promise<void> {
    await tx.run('DELETE FROM egress_upload WHERE location = ? AND key = ?', [this.#location, this.#prefix + path])
  }

  /** Uploads of this pipeline and folder that were begun and not ended; the first of them. */
  async openUploads(): Promise<readonly { path: string; uploadId: string }[]> {
    const rows = await this.#db.all<{ key: string; upload_id: string }>(
      'SELECT key, upload_id FROM egress_upload WHERE location = ? AND pipeline = ? AND key > ? ORDER BY key LIMIT ?',
      [this.#location, this.#pipeline, this.#prefix, LEDGER_BATCH],
    )
    return rows
      .filter(({ key }) => key.startsWith(this.#prefix))
      .map((row) => ({ path: row.key.slice(this.#prefix.length), uploadId: row.upload_id }))
  }

  async #rowsOf(on: Pick<Database, 'all'>, paths: readonly string[]): Promise<ObjectRow[]> {
    return on.all<ObjectRow>(
      `SELECT object.key, pipeline, fingerprint, etag, sent, owned FROM json_each(?) AS wanted
       CROSS JOIN egress_object AS object ON object.location = ? AND object.key = wanted.value`,
      [this.#keys(paths), this.#location],
    )
  }

  #keys(paths: readonly string[]): string {
    return JSON.stringify(paths.map((path) => this.#prefix + path))
  }

  #json(entries: readonly LedgerEntry[]): string {
    return JSON.stringify(
      entries.map(({ path, fingerprint, size, etag }) => [this.#prefix + path, fingerprint, size, etag]),
    )
  }

  #known(row: ObjectRow): Known {
    return {
      path: row.key.slice(this.#prefix.length),
      fingerprint: row.fingerprint,
      sent: row.sent === 1,
      owned: row.owned === 1,
      etag: row.etag ?? undefined,
    }
  }
}

/** Forgets all that a pipeline has pushed; the objects stay where they are and belong to nobody. */
export async function releasePipeline(tx: Transaction, pipeline: string): Promise<void> {
  for (const table of ['egress_object', 'egress_target', 'egress_upload']) {
    await tx.run(`DELETE FROM ${table} WHERE pipeline = ?`, [pipeline])
  }
}
