import { mkdir, open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Corrupt, errnoOf, faultPoint, peekSqlite, snapshotSqlite } from '../../kernel/index.ts'
import type { BackupInfo, BackupProgress } from '../backups.ts'
import {
  BLOCK_BYTES,
  BLOCKS,
  blockKey,
  FORMAT,
  KEY_FILES,
  type Manifest,
  META_FILE,
  manifestKey,
  NODES_FILE,
  newBackupId,
  numberOf,
  objectsOf,
  PACKS,
  SEGMENT_BYTES,
  segmentKey,
  sha256Hex,
} from './backup-format.ts'
import type { BackupPlace } from './backup-place.ts'

/** Pieces on their way at once: hides the latency of an object store, and holds this times 16 MiB. */
const AT_ONCE = 4
/** Copies of the databases are here while they are sent; what a crash leaves goes with the next backup. */
export const SNAPSHOT_FOLDER = 'backup.tmp'

export function infoOf(manifest: Manifest): BackupInfo {
  const sum = (sizes: readonly { readonly size: number }[]) => sizes.reduce((total, { size }) => total + size, 0)
  return {
    id: manifest.id,
    createdMs: manifest.createdMs,
    store: manifest.store,
    bytes: sum(manifest.files) + sum(manifest.packs),
    packs: manifest.packs.length,
    keys: manifest.files.some(({ name }) => name === 'secrets.key'),
  }
}

/** What a backup is made of. */
export interface BackupInput {
  readonly dataFolder: string
  readonly databaseFile: string
  readonly nodesFile: string
  readonly store: string
  readonly nowMs: number
  /** Whether the files of keys go in. */
  readonly keys: boolean
  /** A backup that this very store made: what it names is not read again. */
  readonly known: Manifest | undefined
  readonly signal: AbortSignal
}

/** Bytes of a file that the backup is to have, and under which name. */
interface Piece {
  readonly file: string
  readonly start: number
  readonly end: number
  readonly keyOf: (sha256: string) => string
  /** Where it is known without reading. */
  readonly sha256: string | undefined
  readonly done: (sha256: string) => void
}

/**
 * Copies a store to a place as it is at one moment, while it is used. Whoever calls it sees to it that nothing is removed from the store
 * meanwhile. The metadata comes first: all that it refers to was durable then, and is still there when nodes and packs are read.
 */
export async function* createBackup(
  place: BackupPlace,
  input: BackupInput,
): AsyncGenerator<BackupProgress, { readonly manifest: Manifest; readonly bytesSent: number }> {
  const folder = join(input.dataFolder, SNAPSHOT_FOLDER)
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { mode: 0o700 })
  try {
    const meta = join(folder, META_FILE)
    const nodes = join(folder, NODES_FILE)
    await snapshotSqlite(input.databaseFile, meta, input.signal)
    await snapshotSqlite(input.nodesFile, nodes, input.signal)
    const there = await heldAt(place)
    const plan = new Plan(input.known)
    await plan.addFile(META_FILE, meta)
    await plan.addFile(NODES_FILE, nodes)
    if (input.keys) for (const name of KEY_FILES) await plan.addIfThere(name, join(input.dataFolder, name))
    for (const pack of await packsOf(meta, join(input.dataFolder, 'packs'))) plan.addPack(pack)
    const bytesSent = yield* sendAll(place, plan, there, input.signal)
    const last = (await place.backups()).at(-1)
    const manifest: Manifest = {
      format: FORMAT,
      id: newBackupId(last === undefined ? 1 : numberOf(last.id) + 1, input.nowMs),
      store: input.store,
      createdMs: input.nowMs,
      ...plan.result(),
    }
    const body = Buffer.from(JSON.stringify(manifest))
    await checkAllThere(place, manifest)
    faultPoint('backup.manifest')
    await place.put(manifestKey(manifest.id, await sha256Hex(body)), body)
    return { manifest, bytesSent }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Names and sizes of what the place has. Names hold the hashes, and a store shows only whole objects. */
async function heldAt(place: BackupPlace): Promise<ReadonlyMap<string, number>> {
  const held = new Map<string, number>()
  for (const prefix of [PACKS, BLOCKS]) for await (const { key, size } of place.list(prefix)) held.set(key, size)
  return held
}

/** Another process may have removed what was found there at the beginning: a backup that names it would be none. */
async function checkAllThere(place: BackupPlace, manifest: Manifest): Promise<void> {
  const held = await heldAt(place)
  for (const { key, size } of objectsOf(manifest)) {
    if (held.get(key) !== size)
      throw new Corrupt(`${key} has gone from ${place.url} while the backup was made: make it again`)
  }
}

interface PackToSend {
  readonly name: string
  readonly path: string
  readonly size: number
}

/** The packs that the metadata knows, and how much of each belongs to it. */
async function packsOf(metaFile: string, folder: string): Promise<readonly PackToSend[]> {
  const rows = await peekSqlite(metaFile, (all) =>
    all<{ name: string; state: 'open' | 'sealed'; published: number | null }>(
      `SELECT name, state, (SELECT "offset" + length FROM chunk WHERE pack = pack.id ORDER BY "offset" DESC LIMIT 1) AS published
       FROM pack ORDER BY id`,
    ),
  )
  const packs: PackToSend[] = []
  for (const { name, state, published } of rows) {
    const path = join(folder, name.slice(0, 2), `${name}.pack`)
    const fileBytes = await sizeOf(path)
    if (published === null && (state === 'open' || fileBytes === undefined)) continue
    if (fileBytes === undefined || fileBytes < (published ?? 0)) {
      throw new Corrupt(
        `pack ${name} has ${fileBytes ?? 'no'} bytes, ${published ?? 0} were acknowledged: sluice fsck says what that touches`,
        { pack: name },
      )
    }
    // Behind what is published, an open pack holds what is being written.
    packs.push({ name, path, size: state === 'open' ? published! : fileBytes })
  }
  return packs
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    const handle = await open(path, 'r')
    try {
      return (await handle.stat()).size
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** What a backup is to consist of; hashes are filled in as pieces are read. */
class Plan {
  readonly #known = new Map<string, readonly (readonly [end: number, sha256: string])[]>()
  readonly #files: { name: string; size: number; blocks: string[] }[] = []
  readonly #packs: { name: string; size: number; segments: [end: number, sha256: string][] }[] = []
  readonly pieces: Piece[] = []

  constructor(known: Manifest | undefined) {
    for (const { name, segments } of known?.packs ?? []) this.#known.set(name, segments)
  }

  async addFile(name: string, path: string): Promise<void> {
    const size = await sizeOf(path)
    if (size === undefined) throw new Corrupt(`${name} is missing`)
    const blocks: string[] = []
    this.#files.push({ name, size, blocks })
    for (let start = 0; start < size; start += BLOCK_BYTES) {
      const index = start / BLOCK_BYTES
      this.pieces.push({
        file: path,
        start,
        end: Math.min(size, start + BLOCK_BYTES),
        keyOf: blockKey,
        sha256: undefined,
        done: (sha256) => {
          blocks[index] = sha256
        },
      })
    }
  }

  async addIfThere(name: string, path: string): Promise<void> {
    if ((await sizeOf(path)) !== undefined) await this.addFile(name, path)
  }

  /** What an earlier backup has of a pack stays as it was cut; what was appended since comes after it. */
  addPack({ name, path, size }: PackToSend): void {
    const segments: [number, string][] = []
    this.#packs.push({ name, size, segments })
    let start = 0
    const add = (end: number, sha256: string | undefined) => {
      const from = start
      const index = segments.length
      segments.push([end, ''])
      this.pieces.push({
        file: path,
        start: from,
        end,
        keyOf: (hash) => segmentKey(name, from, end, hash),
        sha256,
        done: (hash) => {
          segments[index] = [end, hash]
        },
      })
      start = end
    }
    for (const [end, sha256] of this.#known.get(name) ?? []) if (end <= size) add(end, sha256)
    while (start < size) add(Math.min(size, (Math.floor(start / SEGMENT_BYTES) + 1) * SEGMENT_BYTES), undefined)
  }

  result(): Pick<Manifest, 'files' | 'packs'> {
    return { files: this.#files, packs: this.#packs }
  }
}

/** Sends what is not there, a few pieces at a time. Returns how many bytes that were. */
async function* sendAll(
  place: BackupPlace,
  plan: Plan,
  there: ReadonlyMap<string, number>,
  signal: AbortSignal,
): AsyncGenerator<BackupProgress, number> {
  const bytesTotal = plan.pieces.reduce((sum, { start, end }) => sum + end - start, 0)
  let bytesDone = 0
  let bytesSent = 0
  const sending = new Set<string>()
  const send = async (piece: Piece): Promise<void> => {
    const size = piece.end - piece.start
    let { sha256 } = piece
    if (sha256 === undefined || there.get(piece.keyOf(sha256)) !== size) {
      const bytes = await readPiece(piece)
      sha256 = await sha256Hex(bytes)
      const key = piece.keyOf(sha256)
      if (there.get(key) !== size && !sending.has(key)) {
        sending.add(key)
        faultPoint('backup.piece')
        await place.put(key, bytes)
        bytesSent += size
      }
    }
    piece.done(sha256)
    bytesDone += size
  }
  for (let at = 0; at < plan.pieces.length; at += AT_ONCE) {
    signal.throwIfAborted()
    await Promise.all(plan.pieces.slice(at, at + AT_ONCE).map(send))
    yield { kind: 'progress', bytesDone, bytesTotal, bytesSent }
  }
  return bytesSent
}

async function readPiece({ file, start, end }: Piece): Promise<Buffer> {
  const handle = await open(file, 'r')
  try {
    const bytes = Buffer.allocUnsafeSlow(end - start)
    for (let at = 0; at < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, at, bytes.length - at, start + at)
      if (bytesRead === 0) throw new Corrupt(`${file} ends at ${start + at}, ${end} bytes were expected`)
      at += bytesRead
    }
    return bytes
  } finally {
    await handle.close()
  }
}
