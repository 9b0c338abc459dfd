import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { cpSync, globSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type Database, migrate, openSqlite, silentLog, systemClock } from '../kernel/index.ts'
import {
  openVersioning,
  parsePath,
  parseRepoName,
  type Target,
  type Versioning,
  versioningMigrations,
} from './index.ts'
import { checkStopped } from './maintenance/index.ts'
import { branchOf, putText, sealCommit } from './testing/store.ts'

/** Of each kind of file; each takes two starts of the store. `FAULTS=full` makes it ten thousand over all. */
const FLIPS = process.env['FAULTS'] === 'full' ? 5_000 : 10
const at = branchOf('images@master')
const other = branchOf('texts@main')

interface Opened {
  readonly db: Database
  readonly versioning: Versioning
}

async function openStore(folder: string): Promise<Opened> {
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

async function closeStore({ db, versioning }: Opened): Promise<void> {
  await versioning.close()
  await db.close()
}

async function fill({ versioning }: Opened): Promise<void> {
  await versioning.createBranch(at)
  await versioning.createBranch(other)
  for (let i = 0; i < 60; i++) await putText(versioning, at, `a/${i}`, `text ${i}`)
  for (let i = 0; i < 12; i++) await putText(versioning, at, `b/${i}`, randomBytes(600 + i).toString('hex'))
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

/** Everything that can be read, in one digest; what can't be read is `damaged`. A part that can't be read says nothing of the others. */
async function readAll({ versioning }: Opened): Promise<ReadonlyMap<string, string>> {
  const seen = new Map<string, string>()
  const note = async (name: string, read: () => Promise<unknown>) => {
    try {
      seen.set(name, JSON.stringify(await read()))
    } catch {
      seen.set(name, 'damaged')
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
async function isFound(folder: string): Promise<boolean> {
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

describe('a bit that flips in a store that is not running', () => {
  let folder: string
  let whole: string
  let crashed: string
  let expected: ReadonlyMap<string, string>

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-flips-'))
    whole = join(folder, 'whole')
    crashed = join(folder, 'crashed')
    await mkdir(whole)
    const store = await openStore(whole)
    await fill(store)
    // What a crash leaves: everything acknowledged, most of it in the log only.
    cpSync(whole, crashed, { recursive: true, filter: (file) => !file.endsWith('-shm') })
    await closeStore(store)
    const again = await openStore(whole)
    expected = await readAll(again)
    await closeStore(again)
  })

  after(() => rm(folder, { recursive: true, force: true }))

  for (const [what, from, files] of [
    ['in a database or a pack', () => whole, ['meta.sqlite', 'nodes.sqlite', 'packs/*/*.pack']],
    ['in the log that a crash left', () => crashed, ['meta.sqlite-wal']],
  ] as const) {
    it(`${what} is found or harms nothing, and nothing else is ever served (${FLIPS} bits)`, async () => {
      const copy = join(folder, 'copy')
      const outcomes = { found: 0, harmless: 0 }
      for (let i = 0; i < FLIPS; i++) {
        rmSync(copy, { recursive: true, force: true })
        cpSync(from(), copy, { recursive: true })
        // A file by its size, so that every bit of the store is as likely as any other; small files more often than that.
        const all = files.flatMap((pattern) => globSync(pattern, { cwd: copy }))
        const file = join(copy, all[i % all.length]!)
        const bit = Math.floor(Math.random() * statSync(file).size * 8)
        const bytes = readFileSync(file)
        bytes[bit >> 3] = bytes[bit >> 3]! ^ (1 << (bit & 7))
        writeFileSync(file, bytes)
        const where = `bit ${bit} of ${file}`
        const found = await isFound(copy)
        outcomes[found ? 'found' : 'harmless']++
        let store: Opened
        try {
          store = await openStore(copy)
        } catch {
          assert.ok(found, `${where}: refused, and not found`)
          continue
        }
        const seen = await readAll(store)
        await closeStore(store)
        for (const [name, value] of seen) {
          if (value === 'damaged') assert.ok(found, `${where}: ${name} can't be read, and fsck finds nothing`)
          else assert.equal(value, expected.get(name), `${where}: ${name} is served with other bytes`)
        }
        if (!found) assert.equal(seen.size, expected.size, `${where}: something is missing, and fsck finds nothing`)
      }
      assert.ok(outcomes.found > FLIPS / 3, JSON.stringify(outcomes))
    })
  }
})
