import { createHash, hash } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { access, realpath, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, isAbsolute, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { errnoOf, MIB } from '../../kernel/index.ts'
import { canonical } from '../plan/index.ts'
import { isInside, searchPath } from '../runners/index.ts'
import type { Spec, Transform } from '../spec/index.ts'

/** A file that `cmd` or `err_cmd` names, as it was when it was looked at. */
interface CodeFile {
  readonly argument: string
  readonly path: string
  /** Changes when the file does, as far as the file system tells. */
  readonly stamp: string
  readonly size: number
}

/** The code of a pipeline on this machine, when there is no image to hold it. */
export interface Code {
  readonly files: readonly CodeFile[]
  /** What a sandbox has to show of the host for the code to run. */
  readonly readable: readonly string[]
  /** Why it can't run, each naming what is wrong. */
  readonly problems: readonly string[]
  /** What the user had better know. */
  readonly notes: readonly string[]
}

/** Larger files (a model that cmd names) are told apart by size and time instead of by content. */
const MAX_HASHED_BYTES = 256 * MIB
/** A whole folder like these is never shown because one file of it is named. */
const wideFolders = new Set([
  '/',
  '/boot',
  '/dev',
  '/etc',
  '/home',
  '/media',
  '/mnt',
  '/opt',
  '/proc',
  '/root',
  '/run',
  '/srv',
  '/sys',
  '/tmp',
  '/usr',
  '/var',
  '/var/lib',
])
/** Nothing of these is shown for the code's sake. */
const closedFolders = ['/boot', '/dev', '/etc', '/proc', '/run', '/sys', '/pfs']

/**
 * Finds the files that a transform's commands name: arguments that, resolved against working_dir, are files on this machine. A
 * command without `/` is looked up in PATH and counts by its name, so that a system upgrade does not run everything again.
 */
export async function findCode(transform: Transform, dataFolder: string): Promise<Code> {
  const base = transform.workingDir ?? '/'
  const files: CodeFile[] = []
  const readable = new Set<string>()
  const problems: string[] = []
  const notes: string[] = []
  const realData = await realpath(dataFolder).catch(() => dataFolder)
  const inPfs = isInside(base, '/pfs')
  if (isInside(base, realData))
    problems.push(`working_dir ${base} is inside the data folder, which user code never sees: keep code elsewhere`)
  else if (!inPfs && !(await isFolder(base))) problems.push(`working_dir ${base} does not exist`)

  for (const command of [transform.cmd, transform.errCmd ?? []]) {
    for (const [index, argument] of command.entries()) {
      if (!mayBePath(argument, index)) continue
      const path = resolve(base, argument)
      if (isInside(path, '/pfs')) continue
      const info = await statOf(path)
      if (!info) continue
      const real = await realpath(path)
      if (isInside(real, realData)) {
        problems.push(`cmd names ${path} inside the data folder, which user code never sees: keep code elsewhere`)
      } else if (info.isFile() && !closedFolders.some((folder) => isInside(real, folder))) {
        files.push({
          argument,
          path,
          stamp: `${info.ino} ${info.size} ${info.mtimeMs} ${info.ctimeMs}`,
          size: info.size,
        })
        for (const shown of await shownFor(path, real, base)) readable.add(shown)
      } else if (info.isDirectory() && isOwnFolder(real)) {
        readable.add(path)
        notes.push(
          `cmd names the folder ${path}: it can be read, but a change inside it does not run datums again; name the files`,
        )
      }
    }
    const missing = command[0] === undefined ? undefined : await missingCommand(command[0], base, transform.env['PATH'])
    if (missing) problems.push(missing)
  }
  if (
    transform.workingDir !== undefined &&
    !inPfs &&
    ![...readable].some((path) => isInside(base, path) || isInside(path, base))
  ) {
    notes.push(
      `cmd names no file in working_dir ${base}, so that a sandbox shows none of its files; name what the code needs`,
    )
  }
  return { files, readable: [...readable], problems, notes }
}

/** What decides, besides a datum's inputs, whether it has to run: two SHA-256 in hex, kept apart so that one can say which changed. */
export interface Settings {
  readonly code: string
  readonly spec: string
}

/** The code's files are read now. `generation` is raised to make everything run again. */
export async function hashSettings(spec: Spec, code: Code, generation: number): Promise<Settings> {
  const { transform } = spec
  const env = Object.entries(transform.env).sort(([a], [b]) => (a < b ? -1 : 1))
  const settings = [
    JSON.stringify([transform.cmd, transform.stdin ?? null, transform.errCmd ?? null, transform.errStdin ?? null]),
    JSON.stringify([transform.acceptReturnCode, transform.workingDir ?? null, env, spec.salt, generation]),
  ]
  const files: string[] = []
  for (const file of code.files) files.push(file.argument, await fileIdentity(file))
  return { code: hash('sha256', canonical(files), 'hex'), spec: hash('sha256', canonical(settings), 'hex') }
}

/** True if the files are as `findCode` saw them. */
export async function isUnchanged(code: Code): Promise<boolean> {
  for (const file of code.files) {
    const info = await statOf(file.path)
    if (!info || `${info.ino} ${info.size} ${info.mtimeMs} ${info.ctimeMs}` !== file.stamp) return false
  }
  return true
}

async function fileIdentity(file: CodeFile): Promise<string> {
  if (file.size > MAX_HASHED_BYTES) return `stamp ${file.stamp}`
  const sha256 = createHash('sha256')
  await pipeline(createReadStream(file.path), sha256)
  return sha256.digest('hex')
}

/** Whether an argument of a command may be the path of a file: those that are, are shown to the code. */
export function mayBePath(argument: string, index: number): boolean {
  if (argument === '' || argument.length > 4_096 || argument.startsWith('-') || argument.includes('\n')) return false
  return index > 0 || argument.includes('/')
}

async function statOf(path: string) {
  try {
    return await stat(path)
  } catch (error) {
    // Arguments need not be paths at all: whatever can't be one is not.
    if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'EACCES', 'ELOOP', 'EINVAL'].includes(errnoOf(error) ?? ''))
      return undefined
    throw error
  }
}

async function isFolder(path: string): Promise<boolean> {
  return (await statOf(path))?.isDirectory() === true
}

/** The file's folder (or only the file where that folder is everybody's), the working folder around it, and its node_modules. */
async function shownFor(path: string, real: string, base: string): Promise<readonly string[]> {
  const shown = [isOwnFolder(dirname(path)) ? dirname(path) : path]
  if (real !== path) shown.push(isOwnFolder(dirname(real)) ? dirname(real) : real)
  if (isInside(path, base) && isOwnFolder(base)) shown.push(base)
  for (const name of ['node_modules', 'package.json']) {
    const found = await nearestAbove(dirname(real), name)
    if (found) shown.push(found)
  }
  return shown
}

/** False for folders that hold more than one project's files: the home folder, its hidden folders, the system's. */
function isOwnFolder(folder: string): boolean {
  const home = homedir()
  if (wideFolders.has(folder) || isInside(home, folder)) return false
  if (closedFolders.some((closed) => isInside(folder, closed))) return false
  return !folder.startsWith(`${home}/.`)
}

async function nearestAbove(folder: string, name: string): Promise<string | undefined> {
  for (let at = folder; ; at = dirname(at)) {
    if (await statOf(join(at, name))) return join(at, name)
    if (dirname(at) === at) return undefined
  }
}

async function missingCommand(command: string, base: string, path: string | undefined): Promise<string | undefined> {
  if (command.includes('/')) {
    const file = isAbsolute(command) ? command : resolve(base, command)
    if (isInside(file, '/pfs')) return undefined
    const info = await statOf(file)
    if (!info) return `cmd ${JSON.stringify(command)} does not exist: there is no file ${file}`
    if (!info.isFile() || !(await isExecutable(file)))
      return `cmd ${JSON.stringify(command)} can't be run: ${file} is not an executable file`
    return undefined
  }
  const folders = path === undefined ? searchPath() : path.split(':')
  for (const folder of folders) {
    const file = join(folder, command)
    if ((await statOf(file))?.isFile() && (await isExecutable(file))) return undefined
  }
  return `cmd ${JSON.stringify(command)} does not exist: it is in none of ${folders.join(', ')}`
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
