/** A file system of a few megabytes, for a real "no space left on device". */
import { execFile } from 'node:child_process'
import { mkdir, rm, truncate, writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface SmallDisk {
  readonly folder: string
  readonly kind: string
  remove(): Promise<void>
}

/** ext4 on a loop device, else tmpfs; a reason instead where neither can be mounted. */
export async function mountSmallDisk(
  folder: string,
  megabytes: number,
): Promise<SmallDisk | { readonly reason: string }> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    return { reason: 'mounting a small disk needs root on Linux' }
  await mkdir(folder)
  const image = `${folder}.img`
  const remove = async () => {
    // Lazy: a process that is being killed may hold a file for a moment longer.
    await run('umount', ['-l', folder])
    await rm(folder, { recursive: true })
    await rm(image, { force: true })
  }
  await writeFile(image, '')
  await truncate(image, megabytes * 1024 * 1024)
  try {
    await run('mkfs.ext4', ['-q', '-F', '-m', '0', image])
    await run('mount', ['-o', 'loop', image, folder])
    return { folder, kind: 'ext4 on a loop device', remove }
  } catch (loop) {
    await rm(image, { force: true })
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder])
      return { folder, kind: 'tmpfs', remove }
    } catch (tmpfs) {
      await rm(folder, { recursive: true })
      return { reason: `no small disk can be mounted here: ${firstLine(loop)}; ${firstLine(tmpfs)}` }
    }
  }
}

const firstLine = (error: unknown) => (error as Error).message.split('\n').slice(0, 2).join(' ')
