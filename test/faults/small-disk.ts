/** A file system of a few megabytes, for a real "no space left on device". */
import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)

const MB = 1024 * 1024

/** A small disk for one test: a folder on it for a server's data, and a file that takes up room until it is removed. */
export interface BallastedDisk {
  readonly data: string
  readonly ballast: string
  remove(): Promise<void>
}

/** Undefined where no disk can be mounted: then the test is left out, and says why. */
export async function mountBallastedDisk(
  t: TestContext,
  { diskMb, ballastMb }: { readonly diskMb: number; readonly ballastMb: number },
): Promise<BallastedDisk | undefined> {
  const base = await mkdtemp(join(tmpdir(), 'sluice-full-'))
  const disk = await mountSmallDisk(join(base, 'disk'), diskMb)
  if ('reason' in disk) {
    await rm(base, { recursive: true, force: true })
    t.skip(disk.reason)
    return undefined
  }
  t.diagnostic(`on ${disk.kind}`)
  const data = join(disk.folder, 'data')
  const ballast = join(disk.folder, 'ballast')
  await mkdir(data)
  await writeFile(ballast, Buffer.alloc(ballastMb * MB, 1))
  const remove = async () => {
    await disk.remove()
    await rm(base, { recursive: true, force: true })
  }
  return { data, ballast, remove }
}

interface SmallDisk {
  readonly folder: string
  readonly kind: string
  remove(): Promise<void>
}

/** ext4 on a loop device, else tmpfs; a reason instead where neither can be mounted. */
async function mountSmallDisk(folder: string, megabytes: number): Promise<SmallDisk | { readonly reason: string }> {
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
  await truncate(image, megabytes * MB)
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
