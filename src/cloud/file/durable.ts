import { constants } from 'node:fs'
import { link, mkdir, open, rename, rmdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { errnoOf } from '../../kernel/index.ts'

/** A concurrent delete may remove a folder that has just been made; each turn needs another one to happen. */
const MAX_TURNS = 100

export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/**
 * Moves a synced temporary file to `names` below `root`, atomically and durably: when it resolves, every folder on the way is
 * on disk. `absent`: EEXIST if there is one already.
 */
export async function publish(
  temporary: string,
  root: string,
  names: readonly string[],
  only?: 'absent',
): Promise<void> {
  const final = join(root, ...names)
  for (let turn = 1; ; turn++) {
    try {
      await mkdir(dirname(final), { recursive: true })
      if (only === 'absent') {
        await link(temporary, final)
        await unlink(temporary)
      } else {
        await rename(temporary, final)
      }
      break
    } catch (error) {
      // A recursive mkdir says ENOTDIR where the folder it found was gone when it looked again.
      const vanished = errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR'
      if (!vanished || turn === MAX_TURNS) throw error
    }
  }
  await syncChain(root, names)
}

/** All folders from the one that holds the file up to the root: another put may have made them and not synced them yet. */
async function syncChain(root: string, names: readonly string[]): Promise<void> {
  for (let depth = names.length - 1; depth >= 0; depth--) {
    try {
      await syncFolder(join(root, ...names.slice(0, depth)))
    } catch (error) {
      // The object was deleted meanwhile and its folder with it: then there is nothing left to make durable.
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }
}

/** Deletes the file, durably, and folders that are empty now. False if there was none. */
export async function unpublish(root: string, names: readonly string[]): Promise<boolean> {
  try {
    await unlink(join(root, ...names))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
  for (let depth = names.length - 1; depth >= 0; depth--) {
    const folder = join(root, ...names.slice(0, depth))
    if (depth > 0 && (await removedEmpty(folder))) continue
    try {
      await syncFolder(folder)
      break
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
  }
  return true
}

async function removedEmpty(folder: string): Promise<boolean> {
  try {
    await rmdir(folder)
    return true
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOTEMPTY' || errno === 'EEXIST') return false
    if (errno === 'ENOENT') return true
    throw error
  }
}
