import { join } from 'node:path'
import { type Clock, InvalidInput, type Log, lockFolder, type MigrationSet, openSqlite } from '../../kernel/index.ts'
import type { Backups } from '../backups.ts'
import { RemovalGate } from '../history/index.ts'
import { checkStoreFolder } from '../identity.ts'
import { META_FILE, NODES_FILE } from './backup-format.ts'
import { StoreBackups } from './backup-service.ts'

/**
 * Backups of a store that is not running: its folder is locked until `close`. Nothing in it is changed but what it remembers of its
 * backups. Throws StoreLocked, BrokenStore, NewerStore, InvalidInput.
 */
export async function openStoppedBackups(options: {
  readonly dataFolder: string
  /** What this release knows of the metadata. */
  readonly known: readonly MigrationSet[]
  readonly log: Log
  readonly clock: Clock
}): Promise<{ readonly backups: Backups; close(): Promise<void> }> {
  const { dataFolder, known, log, clock } = options
  const databaseFile = join(dataFolder, META_FILE)
  const lock = await lockFolder(dataFolder)
  try {
    await checkStoreFolder(dataFolder, known)
    const db = await openSqlite({ file: databaseFile, log, guarded: true })
    const close = async () => {
      await db.close()
      await lock.release()
    }
    try {
      const row = await db.get<{ value: Buffer }>("SELECT value FROM store WHERE key = 'id'")
      if (!row) throw new InvalidInput(`${dataFolder} was never opened by this release: start the server on it once`)
      const nodesFile = join(dataFolder, NODES_FILE)
      const store = row.value.toString()
      const gate = new RemovalGate()
      const parts = { db, dataFolder, databaseFile, nodesFile, store, gate, clock, log }
      return { backups: new StoreBackups(parts), close }
    } catch (error) {
      await db.close()
      throw error
    }
  } catch (error) {
    await lock.release()
    throw error
  }
}
