/** The forgetting file layer (forgetful.c) as tests use it: build it, start a process under it, and take what a crash leaves. */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { copyFile, lstat, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const source = join(dirname(fileURLToPath(import.meta.url)), 'forgetful.c')

/** Compiles the library into `folder`; a reason instead if there is no C compiler or the machine is not a 64-bit Linux. */
export async function buildForgetful(folder: string): Promise<{ builtAs: string } | { reason: string }> {
  if (process.platform !== 'linux') return { reason: `LD_PRELOAD is for Linux, this is ${process.platform}` }
  const library = join(folder, 'forgetful.so')
  try {
    await promisify(execFile)('cc', ['-shared', '-fPIC', '-O2', '-o', library, source, '-ldl', '-lpthread'])
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { reason: 'there is no C compiler (cc) here' }
    throw error
  }
  return { builtAs: library }
}

/** Environment of a process whose writes below `folder` are to be forgotten unless they were fsynced. */
export function forgetfulEnvironment({
  library,
  folder,
  shadow,
  skip,
}: {
  library: string
  folder: string
  shadow: string
  skip?: string
}) {
  return {
    LD_PRELOAD: library,
    FORGET_DIR: folder,
    FORGET_SHADOW: shadow,
    // io_uring would write past the library.
    UV_USE_IO_URING: '0',
    ...(skip === undefined ? {} : { FORGET_SKIP: skip }),
  }
}

/** Starts a new picture of the disk: everything that is in `folder` now is durable. */
export async function seedShadow(folder: string, shadow: string): Promise<void> {
  await rm(shadow, { recursive: true, force: true })
  for (const part of ['files', 'folders', 'graves']) await mkdir(join(shadow, part), { recursive: true })
  const visit = async (path: string): Promise<void> => {
    const lines: string[] = []
    for (const name of await readdir(path)) {
      const found = await lstat(join(path, name))
      if (found.isDirectory()) {
        lines.push(`d ${found.ino} ${name}\0`)
        await visit(join(path, name))
      } else if (found.isFile()) {
        lines.push(`f ${found.ino} ${name}\0`)
        await copyFile(join(path, name), join(shadow, 'files', String(found.ino)))
      }
    }
    await writeFile(join(shadow, 'folders', String((await lstat(path)).ino)), lines.join(''))
  }
  await visit(folder)
}

/** What the disk holds after the power went: replaces `folder` by the durable picture. The process must be dead. */
export async function crash(folder: string, shadow: string): Promise<void> {
  const inode = (await lstat(folder)).ino
  const after = `${folder}.after`
  const build = async (path: string, of: number): Promise<void> => {
    await mkdir(path)
    // A folder whose own names were never made durable is there, and empty.
    const listing = await readFile(join(shadow, 'folders', String(of)), 'utf8').catch(ifMissing(''))
    for (const line of listing.split('\0').slice(0, -1)) {
      const [, kind, number, name] = /^([fd]) (\d+) ([\s\S]+)$/.exec(line) ?? []
      if (name === undefined) throw new Error(`the listing of folder ${of} can't be read: ${line}`)
      if (kind === 'd') await build(join(path, name), Number(number))
      else {
        const kept = join(shadow, 'files', String(number))
        await copyFile(kept, join(path, name), constants.COPYFILE_FICLONE).catch(async (error) => {
          ifMissing(undefined)(error)
          await writeFile(join(path, name), '')
        })
      }
    }
  }
  await rm(after, { recursive: true, force: true })
  await build(after, inode)
  await rm(folder, { recursive: true })
  await rename(after, folder)
  await rm(shadow, { recursive: true })
}

const ifMissing =
  <T>(fallback: T) =>
  (error: NodeJS.ErrnoException): T => {
    if (error.code !== 'ENOENT') throw error
    return fallback
  }
