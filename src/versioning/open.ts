import { randomBytes } from 'node:crypto'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type BatchConfig,
  type Clock,
  type Config,
  type Database,
  type Log,
  MIB,
  migrate,
  openSqlite,
  randomHexId,
} from '../kernel/index.ts'
import { type FileLayer, openContent } from './content/index.ts'
import { VersioningEngine } from './engine.ts'
import { ChangeSignal, Forgetting, Leases, RemovalGate, RepoRoles, startTreeWork } from './history/index.ts'
import { storeIdentity } from './identity.ts'
import {
  endLetGo,
  type ReferenceSource,
  SNAPSHOT_FOLDER,
  StoreBackups,
  StoredRetention,
  StoreMaintenance,
} from './maintenance/index.ts'
import type { CommitId } from './model/index.ts'
import { endNodeSweep, nodeMigrations, openNodeStore } from './tree/index.ts'
import type { Versioning } from './versioning.ts'

const UNREACHABLE_MS = 14 * 86_400_000
/** Nodes that were read have a cache of their own: this is for the index over their hashes. */
const NODES_CACHE_BYTES = 33 * MIB

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
  /** What floors above refer to, so that it is kept. */
  readonly holders?: readonly ReferenceSource[]
  /** Garbage is collected by itself so long after the start, or after the last time. Left out, or 0: only when it is asked for. */
  readonly gcEveryMs?: number
  /** How long a commit is kept that no branch and no tag leads to any more; 14 days where it is left out. */
  readonly unreachableMs?: number
}

/**
 * Opens the versioning engine over a data folder that is this process's own, and goes on with what was unfinished. Throws Corrupt,
 * NewerStore, StorageFull.
 */
export async function openVersioning(options: VersioningOptions): Promise<Versioning> {
  const { db, databaseFile, dataFolder, clock, log, onFatal } = options
  await mkdir(dataFolder, { recursive: true })
  // Of a backup that a crash cut off: it may be as large as the databases.
  await rm(join(dataFolder, SNAPSHOT_FOLDER), { recursive: true, force: true })
  const salt = await storeSalt(db)
  const nodesFile = join(dataFolder, 'nodes.sqlite')
  const nodesDb = await openSqlite({ file: nodesFile, log, onFatal, cacheBytes: NODES_CACHE_BYTES })
  await migrate(nodesDb, [nodeMigrations])
  await endNodeSweep(nodesDb)
  await endLetGo(db)
  const content = await openContent({
    folder: join(dataFolder, 'packs'),
    db,
    log,
    onFatal,
    ...(options.files ? { files: options.files } : {}),
  })
  const gate = new RemovalGate()
  const leases = new Leases()
  const forgetting = new Forgetting()
  const treeWork = startTreeWork({ databaseFile, nodesFile, salt }, onFatal)
  const store = await storeIdentity(dataFolder, db, nodesDb)
  const engine = new VersioningEngine(
    {
      context: {
        db,
        content,
        nodes: openNodeStore(nodesDb),
        treeWork,
        treeSettings: { salt },
        clock,
        log,
        batch: options.batch,
        versioned: options.versioning !== 'unset',
        signal: new ChangeSignal(),
        roles: new RepoRoles(db),
        leases,
        gate,
        forgetting,
        newCommitId: () => randomHexId() as CommitId,
      },
      imports: { nodesFile, salt, folder: join(dataFolder, 'imports'), onFatal },
      backups: new StoreBackups({ db, dataFolder, databaseFile, nodesFile, store, gate, clock, log }),
      retention: new StoredRetention({
        db,
        clock,
        graceMs: options.unreachableMs ?? UNREACHABLE_MS,
        sources: options.holders ?? [],
      }),
      maintenance: new StoreMaintenance({
        db,
        databaseFile,
        nodesFile,
        nodesDb,
        packsFolder: join(dataFolder, 'packs'),
        collecting: content.collecting,
        treeWork,
        leases,
        gate,
        forgetting,
        clock,
        log,
        sources: options.holders ?? [],
        unreachableMs: options.unreachableMs ?? UNREACHABLE_MS,
        everyMs: options.gcEveryMs ?? 0,
        onFatal,
      }),
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
