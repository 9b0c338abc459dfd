import type { ObjectStore } from '../../cloud/index.ts'
import { type Clock, type Database, type Log, randomHexId } from '../../kernel/index.ts'
import type {
  BackupEvent,
  BackupInfo,
  BackupOptions,
  Backups,
  RemovedBackups,
  VerifyBackupEvent,
  VerifyBackupOptions,
} from '../backups.ts'
import type { RemovalGate } from '../history/index.ts'
import { createBackup, infoOf } from './backup-create.ts'
import { BackupPlaceRefused, BackupRunning, type Manifest } from './backup-format.ts'
import { BackupPlace } from './backup-place.ts'
import { removeBackups } from './backup-remove.ts'
import { verifyBackups } from './backup-verify.ts'
import { recordBackup } from './upkeep-record.ts'

/** Backups made at one place that are remembered: one of them is still there unless all were removed. */
const MAX_REMEMBERED = 100

/** What backups are made of. */
export interface BackupParts {
  readonly db: Database
  readonly dataFolder: string
  readonly databaseFile: string
  readonly nodesFile: string
  /** The id of the store. */
  readonly store: string
  readonly gate: RemovalGate
  readonly clock: Clock
  readonly log: Log
}

/** Backups of one store, one at a time. */
export class StoreBackups implements Backups {
  readonly #parts: BackupParts
  #busy = false

  constructor(parts: BackupParts) {
    this.#parts = parts
  }

  async *create(objects: ObjectStore, options: BackupOptions = {}): AsyncGenerator<BackupEvent> {
    const done = this.#begin()
    const signal = options.signal ?? new AbortController().signal
    try {
      const release = await this.#parts.gate.hold()
      try {
        yield* this.#create(new BackupPlace(objects, signal), options, signal)
      } finally {
        release()
      }
    } finally {
      done()
    }
  }

  async *#create(place: BackupPlace, options: BackupOptions, signal: AbortSignal): AsyncGenerator<BackupEvent> {
    const { store, dataFolder, databaseFile, nodesFile, clock } = this.#parts
    const found = await place.owner()
    if (found !== undefined && found.store !== store && options.takeOver !== true) {
      throw new BackupPlaceRefused(
        `${place.url} holds backups of another store. If this one was restored from them, say --take-over once; else take another place`,
        { store: found.store },
      )
    }
    const id = found?.place ?? randomHexId()
    if (found?.store !== store) await place.claim({ store, place: id })
    const known = await this.#known(place, id)
    const { manifest, bytesSent } = yield* createBackup(place, {
      dataFolder,
      databaseFile,
      nodesFile,
      store,
      nowMs: clock.now(),
      keys: options.withoutKeys !== true,
      known,
      signal,
    })
    await this.#remember(id, manifest.id)
    this.#parts.log.info({ place: place.url, backup: manifest.id, bytesSent }, 'a backup was made')
    await recordBackup(this.#parts)
    yield { kind: 'done', backup: infoOf(manifest), bytesSent }
  }

  async list(objects: ObjectStore): Promise<readonly BackupInfo[]> {
    return listPlace(objects)
  }

  verify(...[objects, options = {}]: Parameters<Backups['verify']>): ReturnType<Backups['verify']> {
    return verifyPlace(objects, options)
  }

  async remove(...[objects, which]: Parameters<Backups['remove']>): Promise<RemovedBackups> {
    const done = this.#begin()
    try {
      const place = new BackupPlace(objects)
      const found = await place.owner()
      if (found !== undefined && found.store !== this.#parts.store) {
        throw new BackupPlaceRefused(`${place.url} holds backups of another store, which may be making one`, {
          store: found.store,
        })
      }
      return await removeBackups(place, which)
    } finally {
      done()
    }
  }

  #begin(): () => void {
    if (this.#busy) throw new BackupRunning()
    this.#busy = true
    return () => {
      this.#busy = false
    }
  }

  /** The newest backup there that this store made itself, whatever another one that was restored from it did there since. */
  async #known(place: BackupPlace, id: string): Promise<Manifest | undefined> {
    const own = new Set(await this.#remembered(id))
    const newest = (await place.backups()).findLast((one) => own.has(one.id))
    return newest && place.manifest(newest)
  }

  async #remembered(place: string): Promise<readonly string[]> {
    const row = await this.#parts.db.get<{ value: Buffer }>('SELECT value FROM store WHERE key = ?', [keyOf(place)])
    return row ? (JSON.parse(row.value.toString('utf8')) as string[]) : []
  }

  async #remember(place: string, id: string): Promise<void> {
    const ids = [...(await this.#remembered(place)), id].slice(-MAX_REMEMBERED)
    const value = Buffer.from(JSON.stringify(ids))
    await this.#parts.db.write((tx) =>
      tx.run('INSERT INTO store (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value', [
        keyOf(place),
        value,
      ]),
    )
  }
}

const keyOf = (place: string) => `backups:${place}`

/** As `Backups.list`, also of a place whose store is not there any more. */
export async function listPlace(objects: ObjectStore): Promise<readonly BackupInfo[]> {
  const place = new BackupPlace(objects)
  await place.owner()
  const infos: BackupInfo[] = []
  for (const one of await place.backups()) infos.push(infoOf(await place.manifest(one)))
  return infos
}

/** As `Backups.verify`, also of a place whose store is not there any more. */
export async function* verifyPlace(
  objects: ObjectStore,
  options: VerifyBackupOptions = {},
): AsyncGenerator<VerifyBackupEvent> {
  const place = new BackupPlace(objects, options.signal)
  await place.owner()
  yield* verifyBackups(place, options)
}
