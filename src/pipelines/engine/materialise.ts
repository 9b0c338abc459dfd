import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { chmod, link, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { CHUNK_BYTES, errnoOf } from '../../kernel/index.ts'
import type { ContentStore } from '../../versioning/index.ts'
import { contentIdentity, type Datum, type DatumInput, type Match, type MatchedFile } from '../plan/index.ts'
import { DatumFailure } from './failure.ts'

/** Files of one datum that are written at once: each may hold one piece of content in memory. */
const FILES_AT_ONCE = 8
/** Linux: a name in a folder. */
const MAX_NAME_BYTES = 255

/**
 * Input files that several datums of a job need (the sides of a cross) are written once and linked. Only for runners that show
 * inputs read-only: else one datum could change what another one reads.
 */
export class SharedFiles {
  readonly #folder: string
  readonly #uses = new Map<Match, number>()
  readonly #written = new Map<string, Promise<string>>()

  constructor(folder: string, datums: readonly Datum[]) {
    this.#folder = folder
    for (const datum of datums)
      for (const { match } of datum.inputs) this.#uses.set(match, (this.#uses.get(match) ?? 0) + 1)
  }

  isShared(match: Match): boolean {
    return (this.#uses.get(match) ?? 0) > 1
  }

  /** The path of a file with this content. */
  path(content: ContentStore, file: MatchedFile): Promise<string> {
    const key = createHash('sha256').update(contentIdentity(file.content)).digest('hex')
    const known = this.#written.get(key)
    if (known) return known
    const written = this.#write(content, file, join(this.#folder, key))
    this.#written.set(key, written)
    // Whoever waits for it is told; the next one tries again.
    written.catch(() => this.#written.delete(key))
    return written
  }

  async #write(content: ContentStore, file: MatchedFile, path: string): Promise<string> {
    await mkdir(this.#folder, { recursive: true })
    await writeContent(content, file, path)
    return path
  }
}

/**
 * Lays a datum out as `<datumFolder>/pfs/<input>/<path>`, with an empty `out` beside. Throws DatumFailure that names a key which
 * can't be a file.
 */
export async function materialise(
  content: ContentStore,
  datum: Datum,
  datumFolder: string,
  options: { shared: SharedFiles | undefined; signal: AbortSignal },
): Promise<void> {
  const pfs = join(datumFolder, 'pfs')
  await mkdir(join(pfs, 'out'), { recursive: true })
  for (const input of datum.inputs) {
    const folder = join(pfs, input.name)
    await mkdir(folder, { recursive: true })
    const folders = new Set([folder])
    const shared = options.shared?.isShared(input.match) ? options.shared : undefined
    await eachAtOnce(input.match.files, FILES_AT_ONCE, async (file) => {
      options.signal.throwIfAborted()
      await placeFile(content, input, file, { folder, folders, shared })
    })
  }
}

async function placeFile(
  content: ContentStore,
  input: DatumInput,
  file: MatchedFile,
  place: { folder: string; folders: Set<string>; shared: SharedFiles | undefined },
): Promise<void> {
  checkKey(input, file.path)
  const path = join(place.folder, file.path)
  try {
    if (!place.folders.has(dirname(path))) {
      await mkdir(dirname(path), { recursive: true })
      place.folders.add(dirname(path))
    }
    if (input.emptyFiles) await writeFile(path, '', { flag: 'wx' })
    else if (place.shared && file.size > 0) await link(await place.shared.path(content, file), path)
    else await writeContent(content, file, path)
  } catch (error) {
    // A store of keys can hold both `a` and `a/b`; a folder can't.
    if (['EEXIST', 'ENOTDIR', 'EISDIR'].includes(errnoOf(error) ?? '')) {
      throw new DatumFailure(
        `${input.repo} holds both a file and files below it: ${file.path} can't be laid out in /pfs/${input.name}`,
        {
          retryable: false,
        },
      )
    }
    throw error
  }
}

function checkKey(input: DatumInput, key: string): void {
  for (const name of key.split('/')) {
    const wrong =
      name === '' || name === '.' || name === '..'
        ? `it has the segment ${JSON.stringify(name)}`
        : Buffer.byteLength(name) > MAX_NAME_BYTES
          ? `a segment of it is longer than ${MAX_NAME_BYTES} bytes`
          : undefined
    if (wrong)
      throw new DatumFailure(`${input.repo} holds the key ${JSON.stringify(key)}, which can't be a file: ${wrong}`, {
        retryable: false,
      })
  }
}

async function writeContent(content: ContentStore, file: MatchedFile, path: string): Promise<void> {
  if (file.size <= CHUNK_BYTES) {
    await writeFile(path, file.size === 0 ? '' : await content.readBytes(file.content), { flag: 'wx', mode: 0o444 })
    return
  }
  await pipeline(content.read(file.content), createWriteStream(path, { flags: 'wx' }))
  await chmod(path, 0o444)
}

/** Runs `work` over the items, so many at once; the first failure ends it, after what is under way. */
export async function eachAtOnce<T>(
  items: readonly T[],
  limit: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0
  let failed = false
  const lane = async () => {
    while (!failed && next < items.length) {
      try {
        await work(items[next++]!)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, lane))
  for (const lane of lanes) if (lane.status === 'rejected') throw lane.reason
}
