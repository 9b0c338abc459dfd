import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { globSync } from 'node:fs'
import { cp, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { openSqlite, type SqlValue, silentLog } from '../../kernel/index.ts'
import type { Fault } from '../fsck.ts'
import { parsePath } from '../index.ts'
import { assertSound, faultsOf, fsckEvents } from './fsck.ts'
import { branchOf, getText, openTestStore, putText, sealCommit, type TestStore } from './store.ts'

const at = branchOf('images@master')

/** A store with two commits: `old` is in the first only, `small` and the large file in both. */
export interface Filled {
  readonly store: TestStore
  readonly first: string
  readonly second: string
}

/** Fills a store to be damaged. */
export async function fill(): Promise<Filled> {
  const store = await openTestStore()
  const { versioning } = store
  await versioning.createBranch(at)
  await Promise.all(
    Array.from({ length: 300 }, (_, i) => putText(versioning, at, `many/${String(i).padStart(4, '0')}`, `text ${i}`)),
  )
  await putText(versioning, at, 'old', 'o'.repeat(900))
  await putText(versioning, at, 'small', 's'.repeat(1000))
  const writer = versioning.content.writer()
  await writer.write(randomBytes(3_000_000))
  await putText(versioning, at, 'large', '', { staged: await writer.finish() })
  const first = (await sealCommit(versioning, at)).id
  await versioning.delete(at, parsePath('old'))
  await putText(versioning, at, 'twice', 't'.repeat(700))
  await putText(versioning, at, 'twice', 'T'.repeat(800))
  const second = (await sealCommit(versioning, at)).id
  return { store, first, second }
}

/** The SHA-256 of a file's content. */
export async function sha256Of(store: TestStore, path: string, commit?: string): Promise<string> {
  const target = commit ? ({ kind: 'commit', repo: at.repo, commit } as never) : at
  const { content } = await store.versioning.stat(target, parsePath(path))
  assert.ok(content.kind !== 'inline')
  return content.sha256.toString('hex')
}

/** Writes into the metadata past everything that keeps it in order. */
export const sql = ({ db }: TestStore, text: string, ...params: SqlValue[]) => db.write((tx) => tx.run(text, params))

/** The same for the file of the nodes; changes one row. */
export async function nodesSql({ folder }: TestStore, text: string, ...params: SqlValue[]): Promise<void> {
  const nodes = await openSqlite({ file: join(folder, 'nodes.sqlite'), log: silentLog })
  assert.equal(await nodes.write((tx) => tx.run(text, params)), 1)
  await nodes.close()
}

/** The files of a store's packs. */
export const packs = ({ folder }: TestStore) =>
  globSync('packs/*/*.pack', { cwd: folder }).map((file) => join(folder, file))

/** Where a piece of content lies. */
export async function placeOf(
  store: TestStore,
  sha256: string,
): Promise<{ file: string; offset: number; length: number }> {
  const row = await store.db.get<{ name: string; offset: number; length: number }>(
    'SELECT p.name, c."offset", c.length FROM chunk AS c JOIN pack AS p ON p.id = c.pack WHERE c.sha256 = unhex(?)',
    [sha256],
  )
  assert.ok(row)
  return { ...row, file: packs(store).find((file) => file.includes(row.name))! }
}

/** Changes one byte of a file. */
export async function overwrite(file: string, position: number, change: (byte: number) => number): Promise<void> {
  const handle = await open(file, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, position)
  byte[0] = change(byte[0]!)
  await handle.write(byte, 0, 1, position)
  await handle.close()
}

/** One way in which a store can be damaged, and what is to be told of it. */
export interface Damage {
  readonly what: string
  readonly make: (filled: Filled) => Promise<unknown>
  readonly kind: Fault['kind']
  readonly says: RegExp
  readonly paths?: readonly string[]
  /** Commits by their place. */
  readonly commits?: readonly ('first' | 'second')[]
  readonly deep?: true
  /** Whether it can be made right again. */
  readonly mended: boolean
}

/** Each damage is done to a copy of one store that was found in order: it is found, told, and mended where it can be. */
export function findsDamage(title: string, damages: readonly Damage[]): void {
  describe(title, () => {
    let whole: string
    let commits: Omit<Filled, 'store'>
    before(async () => {
      const { store, ...rest } = await fill()
      whole = store.folder
      commits = rest
      await assertSound(store)
      await assertSound(store, { deep: true })
      await store.leave()
    })
    after(() => rm(whole, { recursive: true, force: true }))

    for (const damage of damages) {
      it(`finds it when ${damage.what}, and ${damage.mended ? 'mends it' : 'says that it stays so'}`, async () => {
        const folder = await mkdtemp(join(tmpdir(), 'sluice-damaged-'))
        await cp(whole, folder, { recursive: true })
        const filled = { store: await openTestStore({ folder }), ...commits }
        try {
          await isFound(filled, damage)
        } finally {
          await filled.store.close()
        }
      })
    }
  })
}

async function isFound(filled: Filled, damage: Damage): Promise<void> {
  const { store } = filled
  const deep = damage.deep === true
  await damage.make(filled)
  if (deep) await assertSound(store)
  const faults = await faultsOf(store, { deep })
  const found = faults.find(({ kind, message }) => kind === damage.kind && damage.says.test(message))
  assert.ok(found, JSON.stringify(faults, null, 1))
  if (damage.paths)
    assert.deepEqual(
      found.touched?.paths.map(({ path }) => path),
      damage.paths,
    )
  for (const name of damage.commits ?? []) {
    assert.ok(
      found.touched?.holders.some(({ commit }) => commit === filled[name]),
      JSON.stringify(found.touched),
    )
  }
  const events = await fsckEvents(store, { deep: true, repair: true })
  const verdict = events.at(-1)
  assert.ok(verdict?.kind === 'verdict')
  assert.equal(verdict.verdict, damage.mended ? 'clean' : 'damaged', JSON.stringify(events.slice(-8), null, 1))
  if (!damage.mended) return
  assert.ok(verdict.mended > 0)
  await store.reopen()
  assert.equal(await getText(store.versioning, at, 'small'), 's'.repeat(1000))
  await assertSound(store, { deep: true })
}
