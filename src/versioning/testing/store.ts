import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type BatchConfig,
  type Clock,
  type Database,
  migrate,
  openSqlite,
  silentLog,
  systemClock,
} from '../../kernel/index.ts'
import {
  type BranchAddress,
  type BranchName,
  type ChangeResult,
  type Commit,
  type FileLayer,
  type FileWrite,
  openVersioning,
  parseBranchName,
  parsePath,
  parseRepoName,
  type Target,
  type Versioning,
  versioningMigrations,
} from '../index.ts'

/** A real store in a folder of its own, for tests. */
export interface TestStore {
  readonly folder: string
  readonly db: Database
  readonly versioning: Versioning
  /**
   * Closes it and opens it again, as a restart does; with `realDisk`, without the `files` it was opened with. `between`: what happens to the
   * folder meanwhile.
   */
  reopen(options?: { realDisk?: boolean; between?: () => Promise<void> }): Promise<void>
  /** Closes it and leaves its folder, to be copied or opened again. */
  leave(): Promise<void>
  /** Closes it and removes its folder. */
  close(): Promise<void>
}

export interface TestStoreOptions {
  readonly batch?: Partial<BatchConfig>
  readonly clock?: Clock
  readonly files?: FileLayer
  /** New branches start without versioning, as with SLUICE_VERSIONING=unset. */
  readonly unversioned?: boolean
  /** A data folder that is there, in place of a new one; it is removed with the store all the same. */
  readonly folder?: string
}

/** Batches of this store are only sealed when asked for, unless the options say otherwise. */
export async function openTestStore(options: TestStoreOptions = {}): Promise<TestStore> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), 'sluice-store-')))
  const databaseFile = join(folder, 'meta.sqlite')
  let files = options.files
  const open = async () => {
    const db = await openSqlite({ file: databaseFile, log: silentLog, guarded: true })
    await migrate(db, [versioningMigrations])
    const versioning = await openVersioning({
      db,
      databaseFile,
      dataFolder: folder,
      batch: { idleMs: 3_600_000, maxAgeMs: 3_600_000, maxChanges: 1_000_000, ...options.batch },
      clock: options.clock ?? systemClock,
      log: silentLog,
      onFatal: (error) => {
        throw error
      },
      ...(files ? { files } : {}),
      ...(options.unversioned ? { versioning: 'unset' } : {}),
    })
    return { db, versioning }
  }
  const store = { folder, ...(await open()) }
  const shut = async () => {
    // After a crash of the disk below, closing fails as everything does.
    await store.versioning.close().catch((error: unknown) => {
      if (!options.files) throw error
    })
    await store.db.close()
  }
  return Object.assign(store, {
    reopen: async ({ realDisk = false, between }: Parameters<TestStore['reopen']>[0] = {}) => {
      await shut()
      await between?.()
      if (realDisk) files = undefined
      Object.assign(store, await open())
    },
    leave: shut,
    close: async () => {
      await shut()
      await rm(folder, { recursive: true, force: true })
    },
  })
}

/** `images@master` as an address. */
export function branchOf(text: string): BranchAddress & Extract<Target, { kind: 'branch' }> {
  const [repo, branch] = text.split('@')
  const name: BranchName = parseBranchName(branch ?? 'master')
  return { kind: 'branch', repo: parseRepoName(repo!), branch: name }
}

/** PUTs a text. */
export async function putText(
  versioning: Versioning,
  at: BranchAddress,
  path: string,
  text: string,
  more: Partial<FileWrite> = {},
): Promise<ChangeResult> {
  const bytes = Buffer.from(text)
  return versioning.put(at, {
    path: parsePath(path),
    staged: await versioning.content.putBytes(bytes),
    etag: createHash('md5').update(bytes).digest('hex'),
    attributes: { metadata: {} },
    ...more,
  })
}

/** Makes the open batch a commit, and waits until it is finished. */
export async function sealCommit(versioning: Versioning, at: BranchAddress): Promise<Commit> {
  const sealed = await versioning.seal(at)
  return versioning.waitForCommit(sealed!.commit)
}

/** GETs a text. */
export async function getText(versioning: Versioning, at: Target, path: string): Promise<string> {
  const entry = await versioning.stat(at, parsePath(path))
  return (await versioning.content.readBytes(entry.content)).toString()
}

/** All keys of a target, over pages of a few. */
export async function listAll(versioning: Versioning, at: Target, pageSize = 3): Promise<string[]> {
  const keys: string[] = []
  let after: string | undefined
  do {
    const page = await versioning.list(at, { limit: pageSize, ...(after === undefined ? {} : { after }) })
    keys.push(...page.entries.map((entry) => entry.path))
    after = page.next
  } while (after !== undefined)
  return keys
}
