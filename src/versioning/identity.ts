import { access, constants, mkdir, open, readdir, readFile, rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type Database,
  DomainError,
  errnoOf,
  errorMessage,
  type MigrationSet,
  NewerStore,
  peekSqlite,
  randomHexId,
} from '../kernel/index.ts'
import { EMPTY_TREE, nodeMigrations } from './tree/index.ts'

/**
 * A store is three things in one folder: meta.sqlite, nodes.sqlite and packs/. Each has the id of the store, so that parts of two stores,
 * or a part alone, are never taken for one. The id is written to the packs first and to the metadata last: where the metadata has it,
 * the others must.
 */
const META = 'meta.sqlite'
const NODES = 'nodes.sqlite'
const PACKS = 'packs'
const PACKS_MARK = 'store.json'
const PACKS_FORMAT = 1
/** While it is there, a restore into this folder has not come to its end. */
export const RESTORE_MARK = 'restore.json'

/** The folder holds no whole store: a part is missing, belongs to another store, or can't be used; nothing was changed. */
class BrokenStore extends DomainError {
  readonly code = 'BrokenStore'
}

interface PacksMark {
  readonly store: string
  readonly format: number
}

/**
 * Looks at a data folder before anything in it is opened, and refuses what must not be: a part of a store without the rest, parts of
 * two stores, a store of a newer release, a restore that was cut off, files that are another user's. Changes nothing. A folder without a store passes.
 * `known`: what this release knows of the metadata. Throws BrokenStore, NewerStore.
 */
export async function checkStoreFolder(folder: string, known: readonly MigrationSet[]): Promise<void> {
  if (await isThere(join(folder, RESTORE_MARK))) {
    throw new BrokenStore(
      `the restore into ${folder} has not come to its end: empty the folder, and run sluice backup restore again`,
      { folder },
    )
  }
  const metaThere = await isThere(join(folder, META))
  const nodesThere = await isThere(join(folder, NODES))
  const mark = await readMark(folder)
  const packsThere = mark !== undefined || (await holdsPacks(folder))
  if (!metaThere) {
    if (!nodesThere && !packsThere) return
    throw new BrokenStore(
      `${folder} has ${nodesThere ? NODES : PACKS} but no ${META}: it is a part of a store. Copy the whole folder, or restore a backup; ` +
        'nothing was changed',
      { folder },
    )
  }
  await checkUsable(folder, nodesThere ? [META, NODES] : [META])
  const meta = await peek(join(folder, META), known)
  if (mark !== undefined && mark.format > PACKS_FORMAT) throw new NewerStore('packs', mark.format, PACKS_FORMAT)
  if (!nodesThere) {
    if (meta.id === undefined && !meta.hasTrees) return
    throw missing(folder, NODES)
  }
  const nodes = await peek(join(folder, NODES), [nodeMigrations])
  if (meta.packs > 0 && !packsThere) throw missing(folder, PACKS)
  if (meta.id === undefined) {
    if (meta.fresh && (nodes.hasNodes || (await holdsPacks(folder)))) {
      throw new BrokenStore(
        `${folder} has an empty ${META} beside the nodes and packs of a store: restore a backup; nothing was changed`,
        { folder },
      )
    }
    // The packs get the id first: else it is that of another store.
    if (nodes.id !== undefined && nodes.id !== mark?.store) throw mixed(folder, NODES)
    return
  }
  if (mark === undefined) throw missing(folder, `${PACKS}/${PACKS_MARK}`)
  if (nodes.id !== meta.id) throw mixed(folder, NODES)
  if (mark.store !== meta.id) throw mixed(folder, PACKS)
}

/** The id of the store, made once and written to all its parts; call when all are open. */
export async function storeIdentity(folder: string, db: Database, nodesDb: Database): Promise<string> {
  const known = await readId(db)
  if (known !== undefined) return known
  const id = (await readMark(folder))?.store ?? randomHexId()
  await writeIdentity(folder, nodesDb, id)
  await setId(db, id)
  return id
}

/** Makes a copy of a store a store of its own. */
export async function renewIdentity(folder: string, db: Database, nodesDb: Database): Promise<string> {
  const id = randomHexId()
  await writeIdentity(folder, nodesDb, id)
  await setId(db, id)
  return id
}

async function writeIdentity(folder: string, nodesDb: Database, id: string): Promise<void> {
  const mark: PacksMark = { store: id, format: PACKS_FORMAT }
  await mkdir(join(folder, PACKS), { recursive: true, mode: 0o700 })
  await writeWhole(join(folder, PACKS), PACKS_MARK, `${JSON.stringify(mark)}\n`)
  await setId(nodesDb, id)
}

const setIdSql =
  "INSERT INTO store (key, value) VALUES ('id', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"

const setId = (db: Database, id: string) => db.write((tx) => tx.run(setIdSql, [Buffer.from(id)]))

async function readId(db: Pick<Database, 'get'>): Promise<string | undefined> {
  const row = await db.get<{ value: Buffer }>("SELECT value FROM store WHERE key = 'id'")
  return row?.value.toString()
}

/** Durable, and whole or not at all. */
async function writeWhole(folder: string, name: string, text: string): Promise<void> {
  const temporary = join(folder, `${name}.tmp`)
  const handle = await open(temporary, 'w', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, join(folder, name))
  await syncFolder(folder)
}

/** What was made or removed in the folder is so after a loss of power. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

interface Peeked {
  readonly id: string | undefined
  /** Nothing was ever kept in it: the first thing is the salt. */
  readonly fresh: boolean
  readonly hasTrees: boolean
  readonly hasNodes: boolean
  readonly packs: number
}

/** Throws NewerStore. A file without tables (a first start that was cut off) is an empty store. */
async function peek(file: string, sets: readonly MigrationSet[]): Promise<Peeked> {
  return peekSqlite(file, async (all) => {
    const tables = new Set(
      (await all<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")).map(({ name }) => name),
    )
    if (tables.has('schema_version')) {
      for (const { floor, version } of await all<{ floor: string; version: number }>(
        'SELECT floor, version FROM schema_version',
      )) {
        const set = sets.find((one) => one.floor === floor)
        const newest = set?.migrations.at(-1)?.version ?? 0
        if (version > newest) throw new NewerStore(floor, version, newest)
      }
    }
    const [row] = tables.has('store') ? await all<{ value: Buffer }>("SELECT value FROM store WHERE key = 'id'") : []
    const has = async (table: string, where: string, params: readonly string[] = []) =>
      tables.has(table) && (await all(`SELECT 1 FROM ${table} WHERE ${where} LIMIT 1`, params)).length > 0
    return {
      id: row?.value.toString(),
      fresh: !(await has('store', "key = 'salt'")),
      hasNodes: await has('node', 'true'),
      hasTrees: await has('branches', 'root <> ?', [EMPTY_TREE]),
      packs: (await has('chunk', 'true')) ? 1 : 0,
    }
  })
}

async function readMark(folder: string): Promise<PacksMark | undefined> {
  const file = join(folder, PACKS, PACKS_MARK)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined
    throw error
  }
  try {
    const mark = JSON.parse(text) as PacksMark
    if (typeof mark.store === 'string' && typeof mark.format === 'number') return mark
  } catch (error) {
    throw new BrokenStore(`${file} can't be read: ${errorMessage(error)}`, { folder }, error)
  }
  throw new BrokenStore(`${file} does not say which store the packs belong to`, { folder })
}

/** An empty folder may be where another disk is to be mounted. */
async function holdsPacks(folder: string): Promise<boolean> {
  try {
    return (await readdir(join(folder, PACKS))).some((name) => /^[0-9a-f]{2}$/.test(name))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

async function checkUsable(folder: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    const file = join(folder, name)
    try {
      await access(file, constants.R_OK | constants.W_OK)
    } catch (error) {
      throw new BrokenStore(
        `${file} can't be written by this user: start Sluice as the user who owns the data folder, or give it to this one`,
        { folder },
        error,
      )
    }
  }
  // The administrator may write everything; what he makes beside it, the owner could not write any more.
  const { uid } = await stat(join(folder, META))
  if (process.getuid?.() === 0 && uid !== 0) {
    throw new BrokenStore(
      `${folder} belongs to the user with number ${uid}, and Sluice was started as root: start it as that user, or change the owner ` +
        'of the folder and all that is in it',
      { folder },
    )
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

function missing(folder: string, what: string): BrokenStore {
  return new BrokenStore(
    `${folder} has ${META} but not the ${what} that belongs to it: copy the whole folder, or restore a backup; nothing was changed`,
    { folder, missing: what },
  )
}

function mixed(folder: string, what: string): BrokenStore {
  return new BrokenStore(
    `${what} in ${folder} belongs to another store than ${META}: parts of two stores were copied into one folder; nothing was changed`,
    { folder, mixed: what },
  )
}
