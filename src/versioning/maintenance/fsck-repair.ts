import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Corrupt, type Transaction } from '../../kernel/index.ts'
import { PackInspector } from '../content/index.ts'
import { stagedChange } from '../history/index.ts'
import type { TreeHash } from '../model/index.ts'
import { apply, EMPTY_TREE, openNodeStore } from '../tree/index.ts'
import { type ContentCheck, packPath } from './fsck-content.ts'
import type { FsckRun } from './fsck-run.ts'

/** Of one commit that is folded anew; a larger one's nodes come back from a backup. */
const MAX_CHANGES = 200_000

/** What the check found that can be mended. */
export interface Mendable {
  /** Commits, the oldest first, in whose trees nodes are damaged that were not in an older one's. */
  readonly commits: readonly string[]
  readonly sums: readonly MendedSums[]
}

/** The counts of a commit as its tree has them. */
export interface MendedSums {
  readonly commit: string
  readonly files: number
  readonly bytes: number
}

/** A whole record of a content that could not be read. */
export interface MendedPlace {
  readonly sha256: string
  readonly pack: string
  readonly offset: number
  readonly length: number
}

/** What the thread of the check has found, and the main thread writes: it has the writer of the metadata. */
export interface Mending {
  readonly sums: readonly MendedSums[]
  readonly places: readonly MendedPlace[]
  /** Contents that are referred to. */
  readonly wanted: readonly string[]
}

/** Mends what is not metadata, and finds what the metadata should say. */
export async function mend(run: FsckRun, contents: ContentCheck, found: Mendable): Promise<Mending> {
  run.begin('repair')
  await mendBits(run, contents)
  for (const name of contents.headless) {
    const file = PackInspector.open(packPath(run.packsFolder, name))
    file?.mendHeader()
    file?.close()
    if (file) run.mended(`the header of pack ${name} is written anew`)
  }
  const places = await findPlaces(run, contents)
  for (const commit of found.commits) await foldAnew(run, commit)
  const wanted = [...contents.suspects].flatMap(([sha256, { claim }]) => (claim ? [sha256] : []))
  return { sums: found.sums, places, wanted }
}

/** A record in which one bit was turned over is made right again in its place: its SHA-256 proves that it is. */
async function mendBits(run: FsckRun, contents: ContentCheck): Promise<void> {
  for (const [sha256, { claim }] of contents.suspects) {
    if (claim) continue
    await run.pace()
    const row = await run.db.get<{ sha256: Buffer; name: string; offset: number; length: number }>(
      'SELECT c.sha256, p.name, c."offset", c.length FROM chunk AS c JOIN pack AS p ON p.id = c.pack WHERE c.sha256 = unhex(?)',
      [sha256],
    )
    const file = row && PackInspector.open(packPath(run.packsFolder, row.name))
    if (!row || !file) continue
    try {
      const flip = file.mend(row)
      if (flip === undefined) continue
      contents.suspects.delete(sha256)
      run.mended(`chunk ${sha256}: bit ${flip.bit} of byte ${flip.byte} of pack ${row.name} is turned back`)
    } finally {
      file.close()
    }
  }
}

/** Another whole record of what can't be read, in any pack. */
async function findPlaces(run: FsckRun, contents: ContentCheck): Promise<readonly MendedPlace[]> {
  const places = new Map<string, MendedPlace>()
  if (contents.suspects.size === 0) return []
  for (const name of await packNames(run)) {
    const file = PackInspector.open(packPath(run.packsFolder, name))
    if (!file) continue
    try {
      for (const { sha256, offset, length } of file.records()) {
        const hash = sha256.toString('hex')
        if (contents.suspects.has(hash)) places.set(hash, { sha256: hash, pack: name, offset, length })
        run.counts.hashedBytes += length
        await run.pace()
      }
    } finally {
      file.close()
    }
  }
  return [...places.values()]
}

async function packNames(run: FsckRun): Promise<readonly string[]> {
  const rows = await run.db.all<{ name: string }>('SELECT name FROM pack WHERE going = 0 ORDER BY id')
  const names = rows.map(({ name }) => name)
  if (!run.strays) return names
  const known = new Set(names)
  for (const folder of await readdir(run.packsFolder, { withFileTypes: true })) {
    if (!folder.isDirectory()) continue
    for (const file of await readdir(join(run.packsFolder, folder.name))) {
      const name = /^([0-9a-f]{32})\.pack$/.exec(file)?.[1]
      if (name?.startsWith(folder.name) && !known.has(name)) names.push(name)
    }
  }
  return names
}

/** A commit whose changes are kept is folded once more: the same entries make the same nodes, and what is missing is written. */
async function foldAnew(run: FsckRun, commit: string): Promise<void> {
  const row = await run.db.get<{
    branch_id: number
    root: string
    base: string | null
    from_seq: number
    last_seq: number
  }>(
    `SELECT c.branch_id, c.root, p.root AS base, c.from_seq, c.last_seq FROM commits AS c LEFT JOIN commits AS p ON p.id = c.parent
     WHERE c.id = ? AND c.kind = 'batch' AND c.state = 'finished' AND (c.parent IS NULL OR p.id IS NOT NULL)`,
    [commit],
  )
  if (!row || row.last_seq - row.from_seq > MAX_CHANGES) return
  const rows = await run.db.all<Parameters<typeof stagedChange>[1] & { path: string }>(
    'SELECT seq, commit_id, path, entry, of_commit, of_seq FROM changes WHERE branch_id = ? AND seq > ? AND seq <= ? ORDER BY seq',
    [row.branch_id, row.from_seq, row.last_seq],
  )
  const newest = new Map(rows.map((change) => [change.path, change]))
  const changes = [...newest.values()]
    .map((change) => stagedChange(Buffer.from(change.path), change))
    .sort((a, b) => Buffer.compare(a.key, b.key))
  await run.pace()
  try {
    const base = (row.base ?? EMPTY_TREE) as TreeHash
    const root = await apply(openNodeStore(run.nodesDb, { cacheBytes: 0 }), run.settings, base, changes)
    if (root === row.root) run.mended(`the tree of commit ${commit} is folded anew from its changes`)
  } catch (error) {
    // What it starts from is damaged as well, or a change is.
    if (!(error instanceof Corrupt)) throw error
  }
}

/** Writes what the metadata should say. Returns what was mended, in sentences. */
export async function writeMended(tx: Transaction, mending: Mending, strays: boolean): Promise<readonly string[]> {
  const said: string[] = []
  for (const { commit, files, bytes } of mending.sums) {
    const changed = await tx.run("UPDATE commits SET files = ?, bytes = ? WHERE id = ? AND state = 'finished'", [
      files,
      bytes,
      commit,
    ])
    if (changed > 0) said.push(`commit ${commit}: ${files} files of ${bytes} bytes`)
  }
  for (const { sha256, pack, offset, length } of mending.places) {
    if (strays) {
      await tx.run("INSERT INTO pack (name, state, shared) VALUES (?, 'sealed', 1) ON CONFLICT (name) DO NOTHING", [
        pack,
      ])
    }
    const changed = await tx.run(
      `INSERT INTO chunk (sha256, pack, "offset", length) SELECT unhex(?), id, ?, ? FROM pack WHERE name = ? AND going = 0
       ON CONFLICT (sha256) DO UPDATE SET pack = excluded.pack, "offset" = excluded."offset", length = excluded.length`,
      [sha256, offset, length, pack],
    )
    if (changed > 0) said.push(`content ${sha256}: found in pack ${pack}, at ${offset}`)
  }
  for (const sha256 of mending.wanted) {
    const changed = await tx.run('DELETE FROM doomed_chunk WHERE sha256 = unhex(?)', [sha256])
    if (changed > 0) said.push(`content ${sha256}: is not marked as unused any more`)
  }
  return said
}
