import { access } from 'node:fs/promises'
import { join } from 'node:path'
import {
  Corrupt,
  type Database,
  InvalidInput,
  type Log,
  lockFolder,
  type MigrationSet,
  mendPages,
  openSqlite,
  PageGuard,
  type PageReport,
} from '../../kernel/index.ts'
import { refuseNewerPacks } from '../content/index.ts'
import type { FsckCounts, FsckEvent, FsckOptions } from '../fsck.ts'
import { checkStoreFolder } from '../identity.ts'
import { META_FILE, NODES_FILE } from './backup-format.ts'
import { runFsck } from './fsck.ts'
import type { ReferenceSource } from './references.ts'

/** A store that no server runs on. */
export interface StoppedStore {
  readonly dataFolder: string
  /** What this release knows of the metadata. */
  readonly known: readonly MigrationSet[]
  readonly sources: readonly ReferenceSource[]
  readonly log: Log
}

const nothing: FsckCounts = {
  pages: 0,
  branches: 0,
  commits: 0,
  versions: 0,
  trees: 0,
  nodes: 0,
  files: 0,
  packs: 0,
  chunks: 0,
  hashedBytes: 0,
}

/**
 * Checks a store that is not running, whose folder is locked meanwhile. Without `repair` nothing in it is changed but what SQLite does
 * when it opens a database. Throws StoreLocked, BrokenStore, NewerStore, InvalidInput.
 */
export async function* checkStopped(store: StoppedStore, options: FsckOptions): AsyncGenerator<FsckEvent> {
  const { dataFolder, known, log } = store
  const file = join(dataFolder, META_FILE)
  await access(file).catch((cause: unknown) => {
    throw new InvalidInput(`there is no store in ${dataFolder}: it has no ${META_FILE}`, { cause: String(cause) })
  })
  const lock = await lockFolder(dataFolder)
  try {
    // Before anything opens it: SQLite takes a damaged log for one that ends there, and cuts it off.
    const { report, mended } = await inspect(file, options.repair === true)
    for (const message of mended) yield { kind: 'mended', message }
    if (report.wal) return yield* giveUp(report, `its log is damaged at frame ${report.wal.frame + 1}`)
    const refused = await refusalOf(dataFolder, known)
    if (refused) return yield* giveUp(report, refused)
    const db = await openSqlite({ file, log, guarded: 'tolerant' })
    try {
      await refuseOlder(db, known)
      await refuseNewerPacks(db, join(dataFolder, 'packs'))
      const place = {
        db,
        databaseFile: file,
        nodesFile: join(dataFolder, NODES_FILE),
        packsFolder: join(dataFolder, 'packs'),
        sources: store.sources,
        strays: true,
      }
      for await (const event of runFsck(place, { share: 1, ...options })) {
        yield event.kind === 'verdict' ? { ...event, mended: event.mended + mended.length } : event
      }
    } finally {
      await db.close()
    }
  } finally {
    await lock.release()
  }
}

async function inspect(
  file: string,
  repair: boolean,
): Promise<{ readonly report: PageReport; readonly mended: readonly string[] }> {
  const before = await PageGuard.inspect(file)
  if (!repair || (before.damaged.length === 0 && !before.wal)) return { report: before, mended: [] }
  const left = await mendPages(file, before)
  const mended = before.damaged
    .filter((page) => !left.damaged.includes(page))
    .map(({ page, bit }) => `page ${page} of ${META_FILE}: bit ${bit} was turned over, and is turned back`)
  if (before.wal && !left.wal) mended.push(`the log of ${META_FILE}: a bit was turned over, and is turned back`)
  return { report: left, mended }
}

/** A folder whose metadata is too damaged to be looked at is not refused, but found damaged. */
async function refusalOf(dataFolder: string, known: readonly MigrationSet[]): Promise<string | undefined> {
  try {
    await checkStoreFolder(dataFolder, known)
    return undefined
  } catch (error) {
    if (error instanceof Corrupt) return 'SQLite can not read it'
    throw error
  }
}

/** What can be said without opening the database. */
async function* giveUp(report: PageReport, why: string): AsyncGenerator<FsckEvent> {
  const rest = 'nothing else can be checked before that is mended (--repair), or a backup is restored'
  yield { kind: 'phase', phase: 'database' }
  yield {
    kind: 'fault',
    fault: { kind: 'database', severity: 'damage', message: `${META_FILE}: ${why}; ${rest}` },
  }
  for (const { page } of report.damaged) {
    const message = `page ${page} of ${META_FILE} is not what was written`
    yield { kind: 'fault', fault: { kind: 'pages', severity: 'damage', message } }
  }
  const faults = 1 + report.damaged.length
  const counts = { ...nothing, pages: report.checked }
  yield { kind: 'verdict', verdict: 'damaged', counts, faults, untold: 0, mended: 0, elapsedMs: 0 }
}

async function refuseOlder(db: Database, known: readonly MigrationSet[]): Promise<void> {
  const rows = await db.all<{ floor: string; version: number }>('SELECT floor, version FROM schema_version')
  const found = new Map(rows.map(({ floor, version }) => [floor, version]))
  for (const { floor, migrations } of known) {
    if ((found.get(floor) ?? 0) === (migrations.at(-1)?.version ?? 0)) continue
    throw new InvalidInput(
      `nothing was checked: the store was last used by an older release (its ${floor} format is version ${found.get(floor) ?? 0}, ` +
        `this release's ${migrations.at(-1)?.version ?? 0}). Check it with that release; or start this one on it once, which brings it ` +
        'up to date (and no older release opens it then: copy the folder first), and check it after that',
      { floor },
    )
  }
}
