import { createHash, hash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, stat } from 'node:fs/promises'
import { CHUNK_BYTES } from '../../kernel/index.ts'
import type { ChunkPlace, StagedContent } from '../content-store.ts'
import type { DatumOutput, OutputFile } from '../derived.ts'
import type { CommitId, Entry, Origin } from '../model/index.ts'
import { EMPTY_TREE, encodeEntry, encodeLeaf, type LeafItem } from '../tree/index.ts'
import type { HistoryContext } from './context.ts'

/** The version of entries that are not part of any commit yet. */
const NO_VERSION = { commit: '0'.repeat(32) as CommitId, seq: 0 }
/** Output files of at most one chunk that are stored at once: together they share the flushes of their pack. */
const SMALL_AT_ONCE = 64
/** Larger ones keep several chunks in flight each. */
const LARGE_AT_ONCE = 2

interface StoredFile {
  readonly item: LeafItem
  readonly staged: StagedContent
}

/** Stores what user code left behind as the tree of one datum: content published, nodes written. */
export async function storeOutput(
  context: HistoryContext,
  files: readonly OutputFile[],
  origin: Origin,
): Promise<DatumOutput> {
  const items: LeafItem[] = []
  const chunks: ChunkPlace[] = []
  const relies: Buffer[] = []
  let sizeBytes = 0
  const keep = ({ item, staged }: StoredFile) => {
    items.push(item)
    for (const chunk of staged.chunks) chunks.push(chunk)
    for (const sha256 of staged.relies) relies.push(sha256)
    sizeBytes += item.size
  }
  const large: OutputFile[] = []
  await eachOf(files, SMALL_AT_ONCE, async (file) => {
    const stored = await storeSmall(context, file, origin)
    if (stored) keep(stored)
    else large.push(file)
  })
  await eachOf(large, LARGE_AT_ONCE, async (file) => keep(await storeLarge(context, file, origin)))
  if (chunks.length + relies.length > 0) await context.db.write((tx) => context.content.publish(tx, chunks, relies))
  const root = items.length === 0 ? EMPTY_TREE : await context.treeWork.build(items)
  return { root, files: files.length, sizeBytes }
}

/** Undefined if it is too large to be read at once. */
async function storeSmall(context: HistoryContext, file: OutputFile, origin: Origin): Promise<StoredFile | undefined> {
  const handle = await open(file.diskPath, 'r')
  try {
    if ((await handle.stat()).size > CHUNK_BYTES) return undefined
    const bytes = await handle.readFile()
    const staged = await context.content.putBytes(bytes)
    return stored(context, file, origin, staged, hash('md5', bytes))
  } finally {
    await handle.close()
  }
}

async function storeLarge(context: HistoryContext, file: OutputFile, origin: Origin): Promise<StoredFile> {
  const md5 = createHash('md5')
  const writer = context.content.writer({ expectedBytes: (await stat(file.diskPath)).size })
  try {
    for await (const piece of createReadStream(file.diskPath, { highWaterMark: CHUNK_BYTES })) {
      md5.update(piece as Buffer)
      await writer.write(piece as Buffer)
    }
  } catch (error) {
    await writer.abort()
    throw error
  }
  return stored(context, file, origin, await writer.finish(), md5.digest('hex'))
}

function stored(
  context: HistoryContext,
  file: OutputFile,
  origin: Origin,
  staged: StagedContent,
  etag: string,
): StoredFile {
  const entry: Entry = {
    size: staged.size,
    etag,
    content: staged.content,
    modifiedMs: context.clock.now(),
    attributes: { metadata: {} },
    origin,
  }
  const value = encodeLeaf(NO_VERSION, encodeEntry(entry))
  return { item: { key: Buffer.from(file.path), size: staged.size, value }, staged }
}

/** Runs `work` for each, so many at once. */
async function eachOf<Item>(
  items: readonly Item[],
  atOnce: number,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < items.length) await work(items[next++]!)
  }
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, lane))
}
