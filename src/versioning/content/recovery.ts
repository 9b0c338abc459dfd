import { Corrupt, type Database, errnoOf, type Log } from '../../kernel/index.ts'
import type { ChunkIndex } from './chunk-index.ts'
import { MAX_RECORD_BYTES } from './content-limits.ts'
import type { OpenFile } from './files.ts'
import type { PackFile } from './pack-file.ts'
import type { PackRow, Packs } from './packs.ts'
import { FILE_HEADER_BYTES, isFileHeader, isWhole, RECORD_HEADER_BYTES, readRecordHeader } from './record.ts'

interface Parts {
  readonly db: Database
  readonly packs: Packs
  readonly index: ChunkIndex
  readonly log: Log
  readonly packBytes: number
}

async function readFull(file: OpenFile, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length)
  let at = 0
  while (at < length) {
    const more = await file.read(bytes.subarray(at), position + at)
    if (more === 0) break
    at += more
  }
  return bytes.subarray(0, at)
}

/** Where the last whole record ends, from `start` on. */
async function endOfRecords(file: OpenFile, start: number, size: number): Promise<number> {
  let end = start
  while (end + RECORD_HEADER_BYTES <= size) {
    const bytes = await readFull(file, end, RECORD_HEADER_BYTES)
    const header = readRecordHeader(bytes)
    if (!header || header.length > MAX_RECORD_BYTES) break
    const data = await readFull(file, end + RECORD_HEADER_BYTES, header.length)
    if (data.length < header.length || !isWhole(bytes, data)) break
    end += RECORD_HEADER_BYTES + header.length
  }
  return end
}

/** How far chunks of the pack are published. */
async function publishedEnd(db: Database, pack: number): Promise<number> {
  const row = await db.get<{ end: number }>(
    'SELECT "offset" + length AS end FROM chunk WHERE pack = ? ORDER BY "offset" DESC LIMIT 1',
    [pack],
  )
  return row?.end ?? 0
}

/** Opened for writing; undefined if it is not there. */
async function openIfThere(packs: Packs, row: PackRow): Promise<OpenFile | undefined> {
  try {
    return await packs.openForWriting(row)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

function lost(parts: Parts, row: PackRow, bytes: number, published: number): void {
  const { index, log, packs } = parts
  index.markShort(row.id, bytes)
  const damage = new Corrupt(`pack ${row.name} has ${bytes} bytes, ${published} were acknowledged`)
  log.error(
    { err: damage, pack: row.name, path: packs.path(row.name), bytes, published },
    'a pack has lost acknowledged bytes: files in it can not be read; restore the pack from a backup, or upload them again',
  )
}

/**
 * Looks at one pack that was open when the process ended. What is published is never touched. Behind it whole records are kept and the
 * torn tail is cut. Returns the pack's end, or undefined if it is gone or must not be appended to.
 */
async function recoverPack(parts: Parts, row: PackRow): Promise<{ file: OpenFile; end: number } | undefined> {
  const { db, packs, log } = parts
  const published = await publishedEnd(db, row.id)
  if (published === 0 && !row.shared) {
    await packs.drop(row)
    return undefined
  }
  const file = await openIfThere(packs, row)
  const size = (await file?.size()) ?? 0
  if (size < published) {
    lost(parts, row, size, published)
    await file?.close()
    await packs.seal(row)
    return undefined
  }
  if (!file || !isFileHeader(await readFull(file, 0, FILE_HEADER_BYTES))) {
    await file?.close()
    if (published === 0) {
      await packs.drop(row)
    } else {
      log.error({ pack: row.name }, 'the header of a pack is damaged; its chunks are checked when they are read')
      await packs.seal(row)
    }
    return undefined
  }
  const end = await endOfRecords(file, Math.max(published, FILE_HEADER_BYTES), size)
  if (end < size) {
    log.info({ pack: row.name, cutBytes: size - end }, 'cut the torn end of a pack')
    await file.truncate(end)
  }
  // What survived a killed process may still be only in the page cache.
  await file.datasync()
  return { file, end }
}

/** Brings the packs that were open into order. Returns the one to go on with, if there is one with room. */
export async function recover(parts: Parts, open: readonly PackRow[]): Promise<PackFile | undefined> {
  const { packs, packBytes } = parts
  let current: PackFile | undefined
  for (const row of open) {
    const found = await recoverPack(parts, row)
    if (!found) continue
    if (current || !row.shared || found.end >= packBytes) {
      await found.file.close()
      await packs.seal(row)
    } else {
      current = packs.appendTo(row, found.file, found.end)
    }
  }
  return current
}
