import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type BatchConfig,
  type Clock,
  type Config,
  type Database,
  type Log,
  migrate,
  openSqlite,
  randomHexId,
} from '../kernel/index.ts'
import { type FileLayer, openContent } from './content/index.ts'
import { VersioningEngine } from './engine.ts'
import { ChangeSignal, RepoRoles, startTreeWork } from './history/index.ts'
import type { CommitId } from './model/index.ts'
import { nodeMigrations, openNodeStore } from './tree/index.ts'
import type { Versioning } from './versioning.ts'

/** What a store is opened on. */
export interface VersioningOptions {
  /** The metadata database, migrated with `versioningMigrations`. It is not closed with the engine. */
  readonly db: Database
  /** Its file, for the worker that folds. */
  readonly databaseFile: string
  /** Packs and tree nodes live in it. */
  readonly dataFolder: string
  readonly batch: BatchConfig
  /** How new branches start: `enabled` where it is left out. */
  readonly versioning?: Config['versioning']
  readonly clock: Clock
  readonly log: Log
  /** Called when a disk failed under acknowledged data: the process must stop, never guess. */
  readonly onFatal: (error: Error) => void
  /** The disk as packs see it; the real one where it is left out. */
  readonly files?: FileLayer
}

/**
 * Opens the versioning engine over a data folder that is this process's own, and goes on with what was unfinished. Throws Corrupt,
 * NewerStore, StorageFull.
 */
export async function openVersioning(options: VersioningOptions): Promise<Versioning> {
  const { db, databaseFile, dataFolder, clock, log, onFatal } = options
  await mkdir(dataFolder, { recursive: true })
  const salt = await storeSalt(db)
  const nodesFile = join(dataFolder, 'nodes.sqlite')
  const nodesDb = await openSqlite({ file: nodesFile, log, onFatal })
  await migrate(nodesDb, [nodeMigrations])
  const content = await openContent({
    folder: join(dataFolder, 'packs'),
    db,
    log,
    onFatal,
    ...(options.files ? { files: options.files } : {}),
  })
  const engine = new VersioningEngine(
    {
      db,
      content,
      nodes: openNodeStore(nodesDb),
      treeWork: startTreeWork({ databaseFile, nodesFile, salt }, onFatal),
      clock,
      log,
      batch: options.batch,
      versioned: options.versioning !== 'unset',
      signal: new ChangeSignal(),
      roles: new RepoRoles(db),
      newCommitId: () => randomHexId() as CommitId,
    },
    () => nodesDb.close(),
  )
  await engine.start()
  return engine
}

/** The secret that decides where trees are cut; made once per store. */
async function storeSalt(db: Database): Promise<Buffer> {
  return db.write(async (tx) => {
    await tx.run("INSERT OR IGNORE INTO store (key, value) VALUES ('salt', ?)", [randomBytes(32)])
    const row = await tx.get<{ value: Buffer }>("SELECT value FROM store WHERE key = 'salt'")
    return row!.value
  })
}
