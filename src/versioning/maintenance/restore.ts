import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ObjectStore } from '../../cloud/index.ts'
import { InvalidInput, type Log, lockFolder, openSqlite } from '../../kernel/index.ts'
import type { BackupInfo } from '../backups.ts'
import { RESTORE_MARK, renewIdentity, syncFolder } from '../identity.ts'
import { infoOf } from './backup-create.ts'
import { BLOCK_BYTES, blockKey, type Manifest, META_FILE, NODES_FILE, segmentKey } from './backup-format.ts'
import { BackupPlace } from './backup-place.ts'

/** Pieces on their way at once. */
const AT_ONCE = 4

export interface RestoreInput {
  readonly place: ObjectStore
  /** Made where it is missing; refused unless it is empty. */
  readonly dataFolder: string
  /** The newest where it is left out. */
  readonly backup?: string
  readonly log: Log
  readonly signal?: AbortSignal
}

export type RestoreEvent =
  | { readonly kind: 'progress'; readonly bytesDone: number; readonly bytesTotal: number }
  | { readonly kind: 'done'; readonly backup: BackupInfo; readonly store: string }

/**
 * Makes a data folder of a backup. Every byte is compared with its hash. Until all is there the folder has a mark which says that it is
 * no store, and the server refuses it. The store gets an id of its own, so that its backups never mix with those it came from. Throws
 * InvalidInput, BackupNotFound, BackupPlaceRefused, Corrupt, StoreLocked, StoreError.
 */
export async function* restoreBackup(input: RestoreInput): AsyncGenerator<RestoreEvent> {
  const { dataFolder, log } = input
  const place = new BackupPlace(input.place, input.signal)
  if ((await place.owner()) === undefined) throw new InvalidInput(`there are no backups in ${place.url}`)
  const manifest = await place.manifest(await place.find(input.backup))
  await mkdir(dataFolder, { recursive: true, mode: 0o700 })
  const there = await readdir(dataFolder)
  if (there.length > 0) {
    throw new InvalidInput(
      `${dataFolder} is not empty (${there.slice(0, 3).join(', ')}): restore into an empty folder`,
      {
        folder: dataFolder,
      },
    )
  }
  const lock = await lockFolder(dataFolder)
  try {
    await writeMark(dataFolder, manifest, place.url)
    yield* copyAll(place, manifest, dataFolder, input.signal)
    const db = await openSqlite({ file: join(dataFolder, META_FILE), log })
    const nodesDb = await openSqlite({ file: join(dataFolder, NODES_FILE), log })
    const store = await renewIdentity(dataFolder, db, nodesDb).finally(async () => {
      await nodesDb.close()
      await db.close()
    })
    // All names are on disk before the mark goes: a loss of power never leaves a part that passes for a store.
    await syncFolder(dataFolder)
    await rm(join(dataFolder, RESTORE_MARK))
    await syncFolder(dataFolder)
    yield { kind: 'done', backup: infoOf(manifest), store }
  } finally {
    await lock.release()
  }
}

async function writeMark(folder: string, manifest: Manifest, from: string): Promise<void> {
  const text = JSON.stringify({
    restoring: manifest.id,
    from,
    why: 'this folder is no store until the restore has ended',
  })
  await writeFileWhole(join(folder, RESTORE_MARK), async (handle) => {
    await handle.writeFile(`${text}\n`)
  })
  await syncFolder(folder)
  await syncFolder(dirname(folder))
}

async function* copyAll(
  place: BackupPlace,
  manifest: Manifest,
  folder: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<RestoreEvent> {
  const bytesTotal = infoOf(manifest).bytes
  let bytesDone = 0
  for (const { path, pieces } of filesOf(manifest)) {
    const target = join(folder, path)
    await mkdir(dirname(target), { recursive: true, mode: 0o700 })
    const handle = await open(target, 'wx', 0o600)
    try {
      for (let at = 0; at < pieces.length; at += AT_ONCE) {
        signal?.throwIfAborted()
        await Promise.all(
          pieces.slice(at, at + AT_ONCE).map(async (piece) => {
            await writeAt(handle, await place.readWhole(piece), piece.start)
            bytesDone += piece.size
          }),
        )
        yield { kind: 'progress', bytesDone, bytesTotal }
      }
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
  await mkdir(join(folder, 'packs'), { recursive: true, mode: 0o700 })
  for (const name of await readdir(join(folder, 'packs'))) await syncFolder(join(folder, 'packs', name))
  await syncFolder(join(folder, 'packs'))
}

interface PieceAt {
  readonly key: string
  readonly start: number
  readonly size: number
  readonly sha256: string
}

function* filesOf(manifest: Manifest): Generator<{ readonly path: string; readonly pieces: readonly PieceAt[] }> {
  for (const { name, size, blocks } of manifest.files) {
    const pieces = blocks.map((sha256, index) => {
      const start = index * BLOCK_BYTES
      return { key: blockKey(sha256), start, size: Math.min(BLOCK_BYTES, size - start), sha256 }
    })
    yield { path: name, pieces }
  }
  for (const { name, segments } of manifest.packs) {
    const pieces: PieceAt[] = []
    let start = 0
    for (const [end, sha256] of segments) {
      pieces.push({ key: segmentKey(name, start, end, sha256), start, size: end - start, sha256 })
      start = end
    }
    yield { path: join('packs', name.slice(0, 2), `${name}.pack`), pieces }
  }
}

async function writeAt(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at, position + at)
    at += bytesWritten
  }
}

async function writeFileWhole(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    await write(handle)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
