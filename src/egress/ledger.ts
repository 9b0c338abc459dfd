import { locationOf, rootOf, type Target } from '../cloud/index.ts'
import type { Database, Transaction } from '../kernel/index.ts'
import type { TreeHash } from '../versioning/index.ts'
import { Folders } from './folders.ts'
import { LEDGER_BATCH } from './limits.ts'
import { compareUtf8, type Known } from './plan.ts'

/** A file on its way to, or at, the target. */
export interface LedgerEntry {
  readonly path: string
  readonly fingerprint: string
  readonly size: number
  /** The one that is expected before the push, the store's own after it; null where it can't be known. */
  readonly etag: string | null
  /** Hex, of the whole content; null where it is not known. */
  readonly md5: string | null
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
  readonly size: number
  readonly etag: string | null
  readonly md5: string | null
  readonly sent: number
  readonly owned: number
  readonly prefix: number | null
}

/** Stands for the tree of a target where each commit has a folder of its own. */
export const FOLDERS = 'folders'

/** Of what is not at the target as it should be: no file has it, so that the next push sends it. */
const DOUBTED = ''

const COLUMNS = 'pipeline, fingerprint, size, etag, md5, sent, owned, prefix'

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
  /** Layout `commit`: the folders of commits. */
  readonly folders: Folders

  private constructor(db: Database, location: number, pipeline: string, folder: string) {
    this.#db = db
    this.#location = location
    this.#pipeline = pipeline
    this.#folder = folder
    this.#prefix = rootOf({ folder })
    this.folders = new Folders(db, location, pipeline, folder)
  }

  static async open(db: Database, target: Target, pipeline: string): Promise<Ledger> {
    const name = locationOf(target)
    const location = await db.write(async (tx) => {
      await tx.run('INSERT INTO egress_location (name) VALUES (?) ON CONFLICT (name) DO NOTHING', [name])
      return (await tx.get<{ id: number }>('SELECT id FROM egress_location WHERE name = ?', [name]))!.id
    })
    return new Ledger(db, location, pipeline, target.folder)
  }

  /**
   * Notes that `root` is on its way, published as `how` says (nothing: as it is). Returns what the target was in step with before,
   * if that was published in the same way and the ledger differs from it at most by an earlier try of this very root.
   */
  async begin(tx: Transaction, root: string, how = ''): Promise<InStep | undefined> {
    const suffix = how === '' ? '' : ` ${how}`
    const where = [this.#location, this.#folder, this.#pipeline]
    await tx.run(
      `INSERT INTO egress_target (location, folder, pipeline, pending_root) VALUES (?, ?, ?, ?)
       ON CONFLICT (location, folder, pipeline) DO UPDATE SET pending_root = excluded.pending_root,
         root = CASE WHEN pending_root IS NULL OR pending_root = excluded.pending_root THEN root END`,
      [...where, root + suffix],
    )
    const row = await tx.get<{ root: string | null; files: number }>(
      'SELECT root, files FROM egress_target WHERE location = ? AND folder = ? AND pipeline = ?',
      where,
    )
    const [before, ...otherwise] = row?.root?.split(' ') ?? []
    if (!row || before === undefined || otherwise.join(' ') !== how) return undefined
    return { root: before as TreeHash, files: row.files }
  }

  /** The target is in step with the tree that was on its way. */
  async end(tx: Transaction, files: number): Promise<void> {
    await tx.run(
      `UPDATE egress_target SET root = pending_root, pending_root = NULL, files = ?
       WHERE location = ? AND folder = ? AND pipeline = ?`,
      [files, this.#location, this.#folder, this.#pipeline],
    )
  }

  /** The trees that the folder may hold files of: the one it was in step with last, and the one on its way. */
  async roots(): Promise<readonly TreeHash[]> {
    const row = await this.#db.get<{ root: string | null; pending_root: string | null }>(
      'SELECT root, pending_root FROM egress_target WHERE location = ? AND folder = ? AND pipeline = ?',
      [this.#location, this.#folder, this.#pipeline],
    )
    const roots = [row?.root, row?.pending_root].map((root) => root?.split(' ', 1)[0])
    return roots.filter((root) => root !== undefined && root !== FOLDERS) as TreeHash[]
  }

  /**
   * All that this pipeline has put there through this folder; below one in it, `inside` with a slash at its end. In UTF-8 byte
   * order. Rows may be changed meanwhile.
   */
  async *all(inside = ''): AsyncGenerator<Known> {
    for await (const { ours, ...known } of this.everything(inside)) if (ours) yield known
  }

  /** The same with what is not of this target: of other pipelines, or of other targets. */
  async *everything(inside = ''): AsyncGenerator<Known & { readonly ours: boolean }> {
    const prefix = this.#prefix + inside
    // '0' is the character after '/': the end of all that begins with the folder.
    const end = prefix === '' ? '' : `${prefix.slice(0, -1)}0`
    for (let after = prefix; ; ) {
      const rows = await this.#db.all<ObjectRow>(
        `SELECT key, ${COLUMNS} FROM egress_object
         WHERE location = ? AND key > ? ${end === '' ? '' : 'AND key < ?'} ORDER BY key LIMIT ?`,
        [this.#location, after, ...(end === '' ? [] : [end]), LEDGER_BATCH],
      )
      for (const row of rows) {
        yield { ...this.#known(row), ours: this.#isOurs(row) }
      }
      const last = rows.at(-1)
      if (!last) return
      after = last.key
    }
  }

  async find(paths: readonly string[]): Promise<ReadonlyMap<string, Known>> {
    const rows = await this.#rowsOf(this.#db, paths)
    return new Map(
      rows.filter((row) => this.#isOurs(row)).map((row) => [row.key.slice(this.#prefix.length), this.#known(row)]),
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
      `INSERT INTO egress_object (location, key, pipeline, prefix, fingerprint, size, etag, md5, sent, owned)
       SELECT ?, value ->> 0, ?, ?, value ->> 1, value ->> 2, value ->> 3, value ->> 4, 0, 0 FROM json_each(?) WHERE true
       ON CONFLICT (location, key) DO UPDATE SET prefix = excluded.prefix, fingerprint = excluded.fingerprint,
         size = excluded.size, etag = excluded.etag, md5 = excluded.md5, sent = 0`,
      [this.#location, this.#pipeline, this.#prefix.length, this.#json(entries)],
    )
    // Keys of another target of this pipeline's, which lies around this one or in it: it is not in step with its tree any more.
    const taken = rows
      .filter((row) => !this.#isOurs(row))
      .map(({ key, prefix }) => key.slice(0, Math.max(0, (prefix ?? 0) - 1)))
    if (taken.length > 0) await this.#outOfStep(tx, [...new Set(taken)])
    return []
  }

  async sent(tx: Transaction, entries: readonly LedgerEntry[]): Promise<void> {
    await tx.run(
      // Joined in this order, each row is looked up by its key; UPDATE … FROM would read the whole location for each batch.
      `INSERT INTO egress_object (location, key, pipeline, fingerprint, size, etag, sent, owned)
       SELECT object.location, object.key, object.pipeline, object.fingerprint, object.size, new.value ->> 3, 1, 1
       FROM json_each(?) AS new
       CROSS JOIN egress_object AS object ON object.location = ? AND object.key = new.value ->> 0
       WHERE object.pipeline = ? AND object.fingerprint = new.value ->> 1
       ON CONFLICT (location, key) DO UPDATE SET sent = 1, owned = 1, etag = excluded.etag`,
      [this.#json(entries), this.#location, this.#pipeline],
    )
  }

  async forget(tx: Transaction, paths: readonly string[]): Promise<void> {
    await tx.run(
      `DELETE FROM egress_object WHERE location = ? AND pipeline = ? AND key IN (SELECT value FROM json_each(?))`,
      [this.#location, this.#pipeline, this.#keys(paths)],
    )
  }

  /**
   * These are not there as they should be: the next push sends them, whatever it finds. The target is in step with nothing until
   * then.
   */
  async doubt(tx: Transaction, paths: readonly string[]): Promise<void> {
    await tx.run(
      `UPDATE egress_object SET sent = 0, fingerprint = '${DOUBTED}' WHERE location = ? AND pipeline = ? AND key IN (SELECT value FROM json_each(?))`,
      [this.#location, this.#pipeline, this.#keys(paths)],
    )
    await this.folders.doubt(tx, new Set(paths.map((path) => path.split('/', 1)[0]!)))
    await this.#outOfStep(tx, [this.#folder])
  }

  async #outOfStep(tx: Transaction, folders: readonly string[]): Promise<void> {
    await tx.run(
      `UPDATE egress_target SET root = NULL
       WHERE location = ? AND pipeline = ? AND folder IN (SELECT value FROM json_each(?))`,
      [this.#location, this.#pipeline, JSON.stringify(folders)],
    )
  }

  #isOurs({ pipeline, prefix }: ObjectRow): boolean {
    return pipeline === this.#pipeline && (prefix === null || prefix === this.#prefix.length)
  }

  /** Another pipeline's, which is gone, has no fingerprint: what it was begun with says whose it was. */
  async findUpload(path: string): Promise<KnownUpload | undefined> {
    const row = await this.#db.get<{ pipeline: string; upload_id: string; fingerprint: string; part_bytes: number }>(
      'SELECT pipeline, upload_id, fingerprint, part_bytes FROM egress_upload WHERE location = ? AND key = ?',
      [this.#location, this.#prefix + path],
    )
    if (!row) return undefined
    const fingerprint = row.pipeline === this.#pipeline ? row.fingerprint : ''
    return { uploadId: row.upload_id, fingerprint, partBytes: row.part_bytes }
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
      `SELECT object.key, ${COLUMNS} FROM json_each(?) AS wanted
       CROSS JOIN egress_object AS object ON object.location = ? AND object.key = wanted.value`,
      [this.#keys(paths), this.#location],
    )
  }

  #keys(paths: readonly string[]): string {
    return JSON.stringify(paths.map((path) => this.#prefix + path))
  }

  #json(entries: readonly LedgerEntry[]): string {
    return JSON.stringify(
      entries.map(({ path, fingerprint, size, etag, md5 }) => [this.#prefix + path, fingerprint, size, etag, md5]),
    )
  }

  #known(row: ObjectRow): Known {
    return {
      path: row.key.slice(this.#prefix.length),
      fingerprint: row.fingerprint,
      size: row.size,
      sent: row.sent === 1,
      owned: row.owned === 1,
      etag: row.etag ?? undefined,
      md5: row.md5 ?? undefined,
      ...(row.fingerprint === DOUBTED ? { doubted: true } : {}),
    }
  }
}

/**
 * Forgets all that a pipeline has pushed; the objects stay where they are and belong to nobody. Not which uploads have not ended:
 * the push that was cut off, or whoever writes that key next, removes their parts.
 */
export async function releasePipeline(tx: Transaction, pipeline: string): Promise<void> {
  for (const table of ['egress_object', 'egress_target', 'egress_folder']) {
    await tx.run(`DELETE FROM ${table} WHERE pipeline = ?`, [pipeline])
  }
}
