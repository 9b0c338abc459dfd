import { dirname, join } from 'node:path'
import { type Database, errnoOf, errorMessage, faultPoint, type Log } from '../../kernel/index.ts'
import type { FileLayer } from './files.ts'
import type { Health } from './health.ts'
import { PackFile, type PackInfo } from './pack-file.ts'

export interface PackRow extends PackInfo {
  readonly state: 'open' | 'sealed'
  readonly shared: 0 | 1
  /** 1: its file is being removed. */
  readonly going: 0 | 1
}

/** The file of a pack. */
export function packPath(folder: string, name: string): string {
  return join(folder, name.slice(0, 2), `${name}.pack`)
}

/** The packs of a store: rows and files, made and dropped together. A file never exists without its row. */
export class Packs {
  readonly #folder: string
  readonly #db: Database
  readonly #files: FileLayer
  readonly #log: Log
  readonly #health: Health
  readonly #newName: () => string
  readonly #names = new Map<number, string>()
  /** When this process sealed a pack (ms, of a clock that never goes back): whoever staged something in it may not have used it yet. */
  readonly #sealed = new Map<number, number>()
  /** Subfolders (at most 256) whose own entry is known to be on the disk. */
  readonly #durableFolders = new Set<string>()

  constructor(options: {
    folder: string
    db: Database
    files: FileLayer
    log: Log
    health: Health
    newName: () => string
  }) {
    this.#folder = options.folder
    this.#db = options.db
    this.#files = options.files
    this.#log = options.log
    this.#health = options.health
    this.#newName = options.newName
  }

  /** Reads the names of all packs (some 4,000 to a TiB) and returns those that were being written. */
  async load(): Promise<readonly PackRow[]> {
    await this.#files.makeFolder(this.#folder)
    // Also where it was there: a process that was killed may have made it, and not come to this.
    await this.#files.syncFolder(dirname(this.#folder))
    const rows = await this.#db.all<PackRow>('SELECT id, name, state, shared, going FROM pack ORDER BY id')
    for (const row of rows) this.#names.set(row.id, row.name)
    for (const row of rows) if (row.going) await this.drop(row)
    return rows.filter((row) => row.state === 'open')
  }

  nameOf(id: number): string | undefined {
    return this.#names.get(id)
  }

  path(name: string): string {
    return packPath(this.#folder, name)
  }

  async create(kind: 'shared' | 'own'): Promise<PackFile> {
    this.#health.check()
    try {
      const name = this.#newName()
      const id = await this.#insert(name, kind)
      try {
        return new PackFile({ id, name }, await this.#makeFile(this.path(name)), this.#health)
      } catch (error) {
        await this.drop({ id, name })
        throw error
      }
    } catch (error) {
      throw this.#health.createFailed(error)
    }
  }

  async #insert(name: string, kind: 'shared' | 'own'): Promise<number> {
    const row = await this.#db.write((tx) =>
      tx.get<{ id: number }>("INSERT INTO pack (name, state, shared) VALUES (?, 'open', ?) RETURNING id", [
        name,
        kind === 'shared' ? 1 : 0,
      ]),
    )
    if (!row) throw new Error('the database gave no id for a new pack')
    this.#names.set(row.id, name)
    return row.id
  }

  async #makeFile(path: string) {
    await this.#files.makeFolder(dirname(path))
    faultPoint('pack.create')
    const file = await this.#files.open(path, 'create')
    try {
      faultPoint('pack.folder')
      await this.#syncFolderOf(path)
    } catch (error) {
      await file.close()
      throw error
    }
    return file
  }

  async #syncFolderOf(path: string): Promise<void> {
    const folder = dirname(path)
    if (!this.#durableFolders.has(folder)) {
      await this.#files.syncFolder(this.#folder)
      this.#durableFolders.add(folder)
    }
    await this.#files.syncFolder(folder)
  }

  openForWriting(info: PackInfo) {
    return this.#files.open(this.path(info.name), 'write')
  }

  openForReading(info: PackInfo) {
    return this.#files.open(this.path(info.name), 'read')
  }

  appendTo(info: PackInfo, file: Awaited<ReturnType<Packs['openForWriting']>>, end: number): PackFile {
    return new PackFile(info, file, this.#health, end)
  }

  /** Nothing is appended to it any more. A failure only means that the next start looks at it again. */
  async seal(info: PackInfo): Promise<void> {
    try {
      this.#sealed.set(info.id, performance.now())
      await this.#db.write((tx) => tx.run("UPDATE pack SET state = 'sealed' WHERE id = ?", [info.id]))
    } catch (error) {
      this.#log.warn({ pack: info.name, reason: errorMessage(error) }, 'could not mark a pack as sealed')
    }
  }

  /** Those that are not appended to any more, by id. */
  sealedAfter(after: number, limit: number): Promise<readonly PackInfo[]> {
    return this.#db.all<PackInfo>("SELECT id, name FROM pack WHERE id > ? AND state = 'sealed' ORDER BY id LIMIT ?", [
      after,
      limit,
    ])
  }

  /** Whether it was sealed so long ago, or by a process before this one. `timeMs` as of `performance.now()`. */
  wasSealedBefore(id: number, timeMs: number): boolean {
    return (this.#sealed.get(id) ?? Number.NEGATIVE_INFINITY) <= timeMs
  }

  /** Undefined if it is not there. */
  async fileBytes(info: PackInfo): Promise<number | undefined> {
    try {
      const file = await this.openForReading(info)
      try {
        return await file.size()
      } finally {
        await file.close()
      }
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  /** From here on nothing can be published in it. False if something is. `within`: in the same transaction, before it commits. */
  markGoing(id: number, within: () => void): Promise<boolean> {
    return this.#db.write(async (tx) => {
      const changed = await tx.run(
        "UPDATE pack SET going = 1 WHERE id = ?1 AND state = 'sealed' AND NOT EXISTS (SELECT 1 FROM chunk WHERE pack = ?1)",
        [id],
      )
      if (changed > 0) within()
      return changed > 0
    })
  }

  /**
   * Removes a pack without published chunks, the file first. A failure only means that the next start removes it. Returns whether it is
   * gone.
   */
  async drop(info: PackInfo): Promise<boolean> {
    try {
      await this.#removeFile(this.path(info.name))
      faultPoint('pack.removed')
      await this.#db.write((tx) => tx.run('DELETE FROM pack WHERE id = ?', [info.id]))
      this.#names.delete(info.id)
      this.#sealed.delete(info.id)
      return true
    } catch (error) {
      this.#log.warn({ pack: info.name, reason: errorMessage(error) }, 'could not remove an unused pack')
      return false
    }
  }

  async #removeFile(path: string): Promise<void> {
    try {
      faultPoint('pack.remove')
      await this.#files.remove(path)
      await this.#files.syncFolder(dirname(path))
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }
}
