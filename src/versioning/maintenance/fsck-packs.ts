import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { errnoOf } from '../../kernel/index.ts'
import { PackInspector } from '../content/index.ts'
import { type ContentCheck, packPath } from './fsck-content.ts'
import type { FsckRun } from './fsck-run.ts'

/** Rows of the index read at a time. */
const ROWS_AT_ONCE = 2000
/** Records looked at between two rests; with `deep` a rest comes after each. */
const RECORDS_AT_ONCE = 64

interface PackRow {
  readonly id: number
  readonly name: string
}

interface ChunkRow {
  readonly sha256: Buffer
  readonly offset: number
  readonly length: number
}

/** Every chunk of the index is looked up in its pack: by the header of its record, or with `deep` byte by byte. */
export async function checkPacks(run: FsckRun, contents: ContentCheck): Promise<void> {
  const known = new Set<string>()
  let after = 0
  for (;;) {
    const pack = await run.db.get<PackRow>('SELECT id, name FROM pack WHERE id > ? ORDER BY id LIMIT 1', [after])
    // Rows of a pack that is not known would be met at none.
    await checkUnknownPacks(run, contents, after, pack?.id)
    if (!pack) break
    after = pack.id
    known.add(pack.name)
    run.counts.packs++
    await checkPack(run, contents, pack)
    await run.pace()
  }
  await checkStrays(run, known)
}

async function checkUnknownPacks(
  run: FsckRun,
  contents: ContentCheck,
  after: number,
  before = Number.MAX_SAFE_INTEGER,
): Promise<void> {
  const rows = await run.db.all<ChunkRow & { pack: number }>(
    `SELECT c.sha256, c.pack, c."offset", c.length FROM chunk AS c INDEXED BY chunk_by_pack
     WHERE c.pack > ? AND c.pack < ? AND NOT EXISTS (SELECT 1 FROM pack WHERE id = c.pack) LIMIT ?`,
    [after, before, ROWS_AT_ONCE],
  )
  for (const row of rows) {
    const sha256 = row.sha256.toString('hex')
    contents.suspect(sha256, { reason: `the index names pack ${row.pack}, which there is not` })
  }
}

async function checkPack(run: FsckRun, contents: ContentCheck, row: PackRow): Promise<void> {
  const file = PackInspector.open(packPath(run.packsFolder, row.name))
  if (!file) return missingPack(run, contents, row)
  try {
    if (file.isNewer()) {
      const message = `pack ${row.name} was written by a newer release: use that one; nothing in it is checked or mended`
      run.found({ kind: 'pack', severity: 'damage', message, pack: row.name })
      return
    }
    if (!file.hasHeader() && (await isStillThere(run, row))) {
      contents.headless.add(row.name)
      const message = `pack ${row.name} does not begin as a pack does`
      run.found({ kind: 'pack', severity: 'damage', message, pack: row.name })
    }
    for await (const chunk of chunksOf(run, row.id)) {
      const started = performance.now()
      const fault = faultOf(file, chunk, run.deep)
      if (run.deep) {
        run.hashingMs += performance.now() - started
        run.counts.hashedBytes += chunk.length
      }
      run.counts.chunks++
      if (fault !== undefined && (await isStillAt(run, row.id, chunk))) {
        contents.suspect(chunk.sha256.toString('hex'), { reason: `${fault} (pack ${row.name}, at ${chunk.offset})` })
      }
      if (run.deep || run.counts.chunks % RECORDS_AT_ONCE === 0) await run.pace()
    }
  } finally {
    file.close()
  }
}

function faultOf(file: PackInspector, chunk: ChunkRow, deep: boolean): string | undefined {
  const { sha256, offset, length } = chunk
  if (!Buffer.isBuffer(sha256) || !Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || length < 0) {
    return 'its row of the index makes no sense'
  }
  return deep ? file.recordFault(chunk) : file.headerFault(chunk)
}

/** Several to a pack, some thousand at a time, in the order they lie in it. */
async function* chunksOf(run: FsckRun, pack: number): AsyncGenerator<ChunkRow> {
  let after = -1
  for (;;) {
    const rows = await run.db.all<ChunkRow>(
      'SELECT sha256, "offset", length FROM chunk WHERE pack = ? AND "offset" > ? ORDER BY "offset" LIMIT ?',
      [pack, after, ROWS_AT_ONCE],
    )
    yield* rows
    if (rows.length < ROWS_AT_ONCE) return
    after = rows.at(-1)?.offset ?? after
  }
}

async function missingPack(run: FsckRun, contents: ContentCheck, row: PackRow): Promise<void> {
  let chunks = 0
  for await (const chunk of chunksOf(run, row.id)) {
    if (!(await isStillAt(run, row.id, chunk))) continue
    chunks++
    contents.suspect(chunk.sha256.toString('hex'), { reason: `the file of pack ${row.name} is missing` })
    await run.pace()
  }
  if (chunks === 0) return
  const message = `the file of pack ${row.name} is missing: it held ${chunks} pieces of content`
  run.found({ kind: 'pack', severity: 'damage', message, pack: row.name })
}

// A pack that is rewritten moves its chunks first, and goes then.
async function isStillAt(run: FsckRun, pack: number, { sha256, offset }: ChunkRow): Promise<boolean> {
  const found = await run.db.get('SELECT 1 FROM chunk WHERE sha256 = ? AND pack = ? AND "offset" = ?', [
    sha256,
    pack,
    offset,
  ])
  return found !== undefined
}

async function isStillThere(run: FsckRun, row: PackRow): Promise<boolean> {
  const chunk = await run.db.get('SELECT 1 FROM chunk WHERE pack = ? LIMIT 1', [row.id])
  return chunk !== undefined && (await run.db.get('SELECT 1 FROM pack WHERE id = ?', [row.id])) !== undefined
}

/** Files that no row names take room, and nothing else. */
async function checkStrays(run: FsckRun, known: ReadonlySet<string>): Promise<void> {
  for (const folder of await names(run.packsFolder)) {
    for (const file of await names(join(run.packsFolder, folder))) {
      const name = file.endsWith('.pack') ? file.slice(0, -'.pack'.length) : undefined
      if (name !== undefined && known.has(name)) continue
      if (name !== undefined && (await run.db.get('SELECT 1 FROM pack WHERE name = ?', [name]))) continue
      const message = `${folder}/${file} among the packs is none of this store's`
      run.found({ kind: 'pack', severity: 'note', message })
    }
    await run.pace()
  }
}

async function names(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    const code = errnoOf(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}
