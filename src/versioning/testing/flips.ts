import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Database, migrate, openSqlite, silentLog, systemClock } from '../../kernel/index.ts'
import type { Fault } from '../fsck.ts'
import {
  openVersioning,
  parsePath,
  parseRepoName,
  type Target,
  type Versioning,
  versioningMigrations,
} from '../index.ts'
import { checkStore } from '../maintenance/fsck-check.ts'
import { FsckRun } from '../maintenance/fsck-run.ts'
import { checkStopped } from '../maintenance/index.ts'
import { branchOf, putText, sealCommit } from './store.ts'

const at = branchOf('images@master')
const other = branchOf('texts@main')

/** Numbers that the same seed gives again. */
export class Dice {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** A whole number below `limit`. */
  below(limit: number): number {
    // Two draws: a file may have more bits than 32 can number.
    return Math.floor(((this.#draw() * 2 ** 21 + (this.#draw() >>> 11)) / 2 ** 53) * limit)
  }

  #draw(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }
}

/** Turns bits of a file over. */
export function flipBits(file: string, bits: Iterable<number>): void {
  const bytes = readFileSync(file)
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  writeFileSync(file, bytes)
}

export interface Opened {
  readonly db: Database
  readonly versioning: Versioning
}

/** As the server opens it: a store whose metadata is damaged is refused. */
export async function openStore(folder: string): Promise<Opened> {
  const databaseFile = join(folder, 'meta.sqlite')
  const db = await openSqlite({ file: databaseFile, log: silentLog, guarded: true })
  try {
    await migrate(db, [versioningMigrations])
    const versioning = await openVersioning({
      db,
      databaseFile,
      dataFolder: folder,
      batch: { idleMs: 3_600_000, maxAgeMs: 3_600_000, maxChanges: 1_000_000 },
      clock: systemClock,
      log: silentLog,
      onFatal: () => {},
    })
    return { db, versioning }
  } catch (error) {
    await db.close()
    throw error
  }
}

export async function closeStore({ db, versioning }: Opened): Promise<void> {
  await versioning.close()
  await db.close()
}

/** Small files in their rows, some hundred in packs, one in pieces; two commits and what is not committed yet. */
export async function fillStore({ versioning }: Opened): Promise<void> {
  await versioning.createBranch(at)
  await versioning.createBranch(other)
  for (let i = 0; i < 60; i++) await putText(versioning, at, `a/${i}`, `text ${i}`)
  for (let from = 0; from < 240; from += 40) {
    await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        putText(versioning, at, `b/${from + i}`, randomBytes(600 + from + i).toString('hex')),
      ),
    )
  }
  const writer = versioning.content.writer()
  await writer.write(randomBytes(1_300_000))
  await putText(versioning, at, 'large', '', { staged: await writer.finish() })
  await sealCommit(versioning, at)
  await versioning.delete(at, parsePath('a/7'))
  await putText(versioning, at, 'a/8', 'another text', { tags: [{ key: 'colour', value: 'red' }] })
  await sealCommit(versioning, at)
  await putText(versioning, at, 'a/9', 'not committed yet')
  await putText(versioning, other, 'x', 'elsewhere')
}

/** What reading something gave, in one text. */
export type Seen = ReadonlyMap<string, string>
export const DAMAGED = 'damaged'

/** Everything that can be read; what can't is `DAMAGED`. A part that can't be read says nothing of the others. */
export async function readAll({ versioning }: Opened): Promise<Seen> {
  const seen = new Map<string, string>()
  const note = async (name: string, read: () => Promise<unknown>) => {
    try {
      seen.set(name, JSON.stringify(await read()))
    } catch {
      seen.set(name, DAMAGED)
    }
  }
  await note('repos', () => versioning.listRepos())
  await note('branches', () => versioning.listBranches())
  const targets: Target[] = [at, other]
  for (const { repo } of [at, other]) {
    await note(`log of ${repo}`, async () => {
      const commits = await versioning.listCommits(parseRepoName(repo))
      for (const { id, state } of commits) if (state === 'finished') targets.push({ kind: 'commit', repo, commit: id })
      return commits
    })
  }
  for (const target of targets) {
    const name = target.kind === 'branch' ? target.branch : target.commit
    await note(`list of ${name}`, async () => (await versioning.list(target, { limit: 1000 })).entries)
    const page = await versioning.list(target, { limit: 1000 }).catch(() => ({ entries: [] }))
    for (const { path } of page.entries) {
      await note(`${name}:${path}`, async () => {
        const entry = await versioning.stat(target, path)
        const hash = createHash('sha256')
        for await (const piece of versioning.content.read(entry.content)) hash.update(piece)
        return { entry, hash: hash.digest('hex') }
      })
      if (target.kind === 'branch') {
        await note(`tags of ${name}:${path}`, async () => {
          const { version } = await versioning.stat(target, path)
          return versioning.tags.of(version)
        })
      }
    }
  }
  return seen
}

/** Whether the check of the stopped store finds it damaged. */
export async function isFound(folder: string): Promise<boolean> {
  const store = { dataFolder: folder, known: [versioningMigrations], sources: [], log: silentLog }
  try {
    for await (const event of checkStopped(store, { deep: true })) {
      if (event.kind === 'verdict') return event.verdict === 'damaged'
    }
    return false
  } catch {
    // It could not even be opened, and says so.
    return true
  }
}

/** What the deep check of a stopped store tells, in this thread: some ms where a worker takes a hundred. Its metadata must be sound. */
export async function faultsHere(folder: string): Promise<readonly Fault[]> {
  const [databaseFile, nodesFile] = [join(folder, 'meta.sqlite'), join(folder, 'nodes.sqlite')]
  const db = await openSqlite({ file: databaseFile, log: silentLog })
  try {
    const row = await db.get<{ value: Buffer }>("SELECT value FROM store WHERE key = 'salt'")
    const nodesDb = await openSqlite({ file: nodesFile, log: silentLog })
    try {
      const faults: Fault[] = []
      const run = new FsckRun(
        {
          databaseFile,
          nodesFile,
          packsFolder: join(folder, 'packs'),
          salt: row?.value ?? Buffer.alloc(0),
          deep: true,
          repair: false,
          strays: false,
          share: 1,
          sources: [],
          damagedPages: [],
          pages: 0,
        },
        { db, nodesDb, emit: (event) => event.kind === 'fault' && faults.push(event.fault) },
      )
      await checkStore(run, [])
      return faults
    } finally {
      await nodesDb.close()
    }
  } finally {
    await db.close()
  }
}
