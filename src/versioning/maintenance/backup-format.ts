import { webcrypto } from 'node:crypto'
import { Corrupt, DomainError, MIB } from '../../kernel/index.ts'

/**
 * The format of a place that holds backups. Whatever an object holds, its name has the SHA-256 of it; nothing is ever written over.
 *
 *   place.json                                     { "sluiceBackups": 1, "store": the id of the store whose backups these are }
 *   packs/<pack>/<start>-<end>-<sha256>            bytes [start, end) of a pack, which no later backup sends again
 *   blocks/<sha256>                                a piece of a database as it was at one moment, or a file of keys
 *   backups/<id>-<sha256>.json                     a backup: what it consists of; written last, and without it the rest is nothing
 *
 * An id is the backup's number at this place and when it was begun; numbers order backups, clocks do not.
 */
export const FORMAT = 1

export const PLACE_KEY = 'place.json'
export const PACKS = 'packs/'
export const BLOCKS = 'blocks/'
export const BACKUPS = 'backups/'

/** Pieces of packs: each is in memory while it is sent. */
export const SEGMENT_BYTES = 16 * MIB
/** Pieces of databases: small, so that few of them are other ones after some changes. */
export const BLOCK_BYTES = MIB
/** A manifest names some 65,000 segments for each TiB, in 80 bytes each. */
export const MAX_MANIFEST_BYTES = 512 * MIB

/** What one backup consists of. Hashes are hex SHA-256. */
export interface Manifest {
  readonly format: typeof FORMAT
  readonly id: string
  readonly store: string
  readonly createdMs: number
  /** The databases, and the files of keys unless they were left out. */
  readonly files: readonly { readonly name: string; readonly size: number; readonly blocks: readonly string[] }[]
  readonly packs: readonly {
    readonly name: string
    readonly size: number
    /** In order, without gaps: where each ends, and its hash. */
    readonly segments: readonly (readonly [end: number, sha256: string])[]
  }[]
}

/** Beside the databases; without them a store opens, but its users' keys and its secrets do not. */
export const KEY_FILES = ['root-key.json', 'secrets.key'] as const
export const META_FILE = 'meta.sqlite'
export const NODES_FILE = 'nodes.sqlite'

/** There is no such backup at the place (`data.backup`). */
export class BackupNotFound extends DomainError {
  readonly code = 'BackupNotFound'
}
/** The place can't be used: it holds something else, backups of another store, or of a newer release. */
export class BackupPlaceRefused extends DomainError {
  readonly code = 'BackupPlaceRefused'
}
/** A backup is being made, or removed; one at a time. */
export class BackupRunning extends DomainError {
  readonly code = 'BackupRunning'
  constructor() {
    super('a backup of this store is being made or removed: ask again when it has ended')
  }
}

/** By another thread. The bytes must stay as they are until it resolves. */
export async function sha256Hex(bytes: Buffer): Promise<string> {
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes as Buffer<ArrayBuffer>)).toString('hex')
}

export const blockKey = (sha256: string) => `${BLOCKS}${sha256}`
export const segmentKey = (pack: string, start: number, end: number, sha256: string) =>
  `${PACKS}${pack}/${start}-${end}-${sha256}`
export const manifestKey = (id: string, sha256: string) => `${BACKUPS}${id}-${sha256}.json`

/** What the name of a manifest says; undefined for a name that is none. */
export function readManifestKey(key: string): { readonly id: string; readonly sha256: string } | undefined {
  const [, id, sha256] = /^backups\/(\d{6,}-\d{8}t\d{6}z)-([0-9a-f]{64})\.json$/.exec(key) ?? []
  return id === undefined || sha256 === undefined ? undefined : { id, sha256 }
}

/** `000012-20261113t094501z`: lower-case letters, so that every file system and store keeps it apart. */
export function newBackupId(number: number, nowMs: number): string {
  const time = new Date(nowMs)
    .toISOString()
    .replace(/\.\d+Z$/, 'z')
    .replaceAll(/[-:]/g, '')
    .toLowerCase()
  return `${String(number).padStart(6, '0')}-${time}`
}

export const numberOf = (id: string) => Number.parseInt(id, 10)

/** Every object that the backup needs, with its size. */
export function* objectsOf(manifest: Manifest): Generator<{ key: string; size: number; sha256: string }> {
  for (const file of manifest.files) {
    for (const [index, sha256] of file.blocks.entries()) {
      yield { key: blockKey(sha256), size: Math.min(BLOCK_BYTES, file.size - index * BLOCK_BYTES), sha256 }
    }
  }
  for (const pack of manifest.packs) {
    let start = 0
    for (const [end, sha256] of pack.segments) {
      yield { key: segmentKey(pack.name, start, end, sha256), size: end - start, sha256 }
      start = end
    }
  }
}

/** Throws Corrupt for what is no manifest of this format; names in it become files, so nothing is taken for granted. */
export async function parseManifest(bytes: Buffer, sha256: string): Promise<Manifest> {
  if ((await sha256Hex(bytes)) !== sha256) throw new Corrupt('the list of a backup is not what was written')
  const manifest = JSON.parse(bytes.toString('utf8')) as Manifest
  if (manifest.format !== FORMAT) {
    throw new BackupPlaceRefused(
      `the backup has format ${String(manifest.format)}, this release knows ${FORMAT}: use the newer release that made it`,
    )
  }
  const names = manifest.files.map(({ name }) => name)
  const sound =
    [META_FILE, NODES_FILE].every((name) => names.includes(name)) &&
    isUnique(names) &&
    isUnique(manifest.packs.map(({ name }) => name)) &&
    manifest.files.every(isSoundFile) &&
    manifest.packs.every(isSoundPack)
  if (!sound) throw new Corrupt('the list of a backup names what can not be in one')
  return manifest
}

const isUnique = (names: readonly string[]) => new Set(names).size === names.length

function isSoundFile({ name, size, blocks }: Manifest['files'][number]): boolean {
  const known: readonly string[] = [META_FILE, NODES_FILE, ...KEY_FILES]
  const isSize = Number.isSafeInteger(size) && size >= 0
  return known.includes(name) && isSize && blocks.length === Math.ceil(size / BLOCK_BYTES) && blocks.every(isHash)
}

function isSoundPack({ name, size, segments }: Manifest['packs'][number]): boolean {
  let at = 0
  for (const [end, sha256] of segments) {
    if (!Number.isSafeInteger(end) || end <= at || end - at > SEGMENT_BYTES || !isHash(sha256)) return false
    at = end
  }
  return /^[0-9a-f]{32}$/.test(name) && at === size
}

const isHash = (text: unknown) => typeof text === 'string' && /^[0-9a-f]{64}$/.test(text)
