/** FUSE mounts, for clients that are file systems. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { missingTool, runProgram } from '../support.ts'

const MOUNT_TIMEOUT_MS = 20_000
/** Written files are sent when they are closed or soon after; an unmount waits for that. */
const UNMOUNT_TIMEOUT_MS = 30_000

export interface Mount {
  /** Unmounts, and waits until the client has sent everything and ended. */
  unmount(): Promise<void>
}

/** Why nothing can be mounted here, or undefined. */
export async function missingFuse(): Promise<string | undefined> {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK)
  } catch {
    return '/dev/fuse can not be opened'
  }
  return missingTool('fusermount3', ['--version'])
}

/** Runs a client that stays in the foreground while `point` is mounted, and waits until it is. */
export async function mount(
  command: string,
  args: readonly string[],
  point: string,
  environment: Readonly<Record<string, string>>,
): Promise<Mount> {
  const child = spawn(command, args, { env: { ...environment }, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (bytes) => (said += bytes))
  child.stderr.on('data', (bytes) => (said += bytes))
  const exit = once(child, 'close')
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const unmount = async () => {
    if (await isMounted(point))
      await runProgram('fusermount3', ['-u', '-z', point], {
        environment: { ...process.env } as Record<string, string>,
      })
    const ended = await Promise.race([exit.then(() => true), sleep(UNMOUNT_TIMEOUT_MS, false, { ref: false })])
    process.removeListener('exit', kill)
    if (ended) return
    kill()
    throw new Error(`${command} did not end after its unmount: ${said.slice(-2000)}`)
  }
  if (await mountedInTime(point, child)) return { unmount }
  kill()
  await exit
  process.removeListener('exit', kill)
  throw new Error(`${command} did not mount: ${said.slice(-2000)}`)
}

async function mountedInTime(point: string, child: ChildProcess): Promise<boolean> {
  const deadline = Date.now() + MOUNT_TIMEOUT_MS
  while (Date.now() < deadline && child.exitCode === null && child.signalCode === null) {
    if (await isMounted(point)) return true
    await sleep(50)
  }
  return false
}

async function isMounted(point: string): Promise<boolean> {
  return (await readFile('/proc/mounts', 'utf8')).split('\n').some((line) => line.split(' ')[1] === point)
}
