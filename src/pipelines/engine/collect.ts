import { isUtf8 } from 'node:buffer'
import type { Dirent } from 'node:fs'
import { lstat, readdir, readlink } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { DomainError, errnoOf } from '../../kernel/index.ts'
import { type OutputFile, parsePath } from '../../versioning/index.ts'
import { DatumFailure } from './failure.ts'

/** What one datum may leave: far more than fits a folder that people work with. */
const MAX_FILES = 1_000_000
/** Linux follows at most 40 links. */
const MAX_LINKS = 40
const MAX_DEPTH = 512

/**
 * The files that user code left in `/pfs/out`: regular files, and links to regular files in `/pfs`. Everything else fails the datum
 * by name. The code must be dead: nothing here defends against what changes under it.
 */
export async function collectOutput(datumFolder: string, pfsRoot: string): Promise<readonly OutputFile[]> {
  const collector = new Collector(join(datumFolder, 'pfs'), pfsRoot)
  await collector.folder('', 0)
  return collector.files
}

class Collector {
  readonly files: OutputFile[] = []
  /** On this machine. */
  readonly #pfs: string
  /** As user code sees it. */
  readonly #root: string

  constructor(pfs: string, root: string) {
    this.#pfs = pfs
    this.#root = root
  }

  /** `path` is relative to `out`, without slashes at its ends. */
  async folder(path: string, depth: number): Promise<void> {
    if (depth > MAX_DEPTH) throw refused(path, `folders are nested more than ${MAX_DEPTH} deep`)
    for (const item of await this.#read(path)) {
      if (!isUtf8(item.name)) throw refused(join(path, item.name.toString('latin1')), 'its name is not UTF-8')
      const inner = path === '' ? item.name.toString() : `${path}/${item.name.toString()}`
      if (inner === '.sluice') throw refused(inner, 'that folder is reserved')
      if (item.isDirectory()) await this.folder(inner, depth + 1)
      else if (item.isFile()) this.#add(inner, join(this.#pfs, 'out', inner))
      else if (item.isSymbolicLink()) this.#add(inner, await this.#follow(inner))
      else throw refused(inner, `it is a ${kindOf(item)}; only files and folders can be results`)
    }
  }

  async #read(path: string): Promise<readonly Dirent<Buffer>[]> {
    try {
      return await readdir(join(this.#pfs, 'out', path), { withFileTypes: true, encoding: 'buffer' })
    } catch (error) {
      if (errnoOf(error) === 'EACCES') throw refused(path, 'the folder may not be read')
      throw error
    }
  }

  #add(path: string, diskPath: string): void {
    if (this.files.length >= MAX_FILES)
      throw new DatumFailure(`more than ${MAX_FILES} files in /pfs/out`, { retryable: false })
    try {
      this.files.push({ path: parsePath(path), diskPath })
    } catch (error) {
      if (error instanceof DomainError) throw refused(path, error.message)
      throw error
    }
  }

  /** The file that a link in `out` means, on this machine, with every link on the way resolved inside `/pfs`. */
  async #follow(path: string): Promise<string> {
    let rest = ['out', ...path.split('/')]
    let place: string[] = []
    for (let links = 0; rest.length > 0; ) {
      const name = rest.shift()!
      if (name === '' || name === '.') continue
      if (name === '..') {
        if (place.length === 0) throw refused(path, 'it is a link that leads out of /pfs')
        place.pop()
        continue
      }
      const at = join(this.#pfs, ...place, name)
      const info = await lstat(at).catch((error: unknown) => {
        if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw refused(path, 'it is a link to nothing')
        throw error
      })
      if (!info.isSymbolicLink()) {
        place.push(name)
        if (rest.length === 0 && !info.isFile()) throw refused(path, 'it is a link to something that is not a file')
        continue
      }
      if (++links > MAX_LINKS) throw refused(path, 'it is a link that leads in a circle')
      const target = await readlink(at)
      const inside = this.#insidePfs(target)
      if (inside === undefined) throw refused(path, `it is a link that leads out of /pfs, to ${target}`)
      if (inside.absolute) place = []
      rest = [...inside.names, ...rest]
    }
    if (place.length < 2) throw refused(path, 'it is a link to something that is not a file')
    return join(this.#pfs, ...place)
  }

  #insidePfs(target: string): { absolute: boolean; names: string[] } | undefined {
    if (!posix.isAbsolute(target)) return { absolute: false, names: target.split('/') }
    const prefix = `${this.#root}/`
    return target.startsWith(prefix) ? { absolute: true, names: target.slice(prefix.length).split('/') } : undefined
  }
}

function kindOf(item: Dirent<Buffer>): string {
  if (item.isFIFO()) return 'pipe'
  if (item.isSocket()) return 'socket'
  return item.isBlockDevice() || item.isCharacterDevice() ? 'device' : 'thing of unknown kind'
}

function refused(path: string, why: string): DatumFailure {
  return new DatumFailure(`/pfs/out/${path} can't be a result: ${why}`)
}
