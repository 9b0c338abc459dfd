import { spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { errnoOf, errorMessage } from '../../kernel/index.ts'
import type { RunRequest } from './runner.ts'

/** How a child process is to be started. Its environment is exactly `env`. */
export interface Launch {
  readonly file: string
  readonly args: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd?: string
  /** Written, each ended by a NUL, to descriptor 3. */
  readonly argsOnFd3?: readonly string[]
  /** What the child writes to descriptor 4 is returned as `status`. */
  readonly statusOnFd4?: boolean
}

export type ChildEnd =
  | { readonly kind: 'ended'; readonly code: number | null; readonly signal: string | null; readonly status: string }
  | { readonly kind: 'not-started'; readonly reason: string }

/** A process that left its group may hold the pipes open for ever. */
const PIPE_GRACE_MS = 2_000
const MAX_STATUS_BYTES = 64 * 1024

/** Runs a child in a process group of its own until it and its pipes have ended; the signal kills the whole group. */
export function runChild(
  launch: Launch,
  request: Pick<RunRequest, 'stdin' | 'signal' | 'onOutput'>,
): Promise<ChildEnd> {
  const { promise, resolve } = Promise.withResolvers<ChildEnd>()
  const child = spawn(launch.file, launch.args, {
    env: launch.env,
    ...(launch.cwd !== undefined && { cwd: launch.cwd }),
    detached: true,
    stdio: [
      request.stdin ? 'pipe' : 'ignore',
      'pipe',
      'pipe',
      launch.argsOnFd3 ? 'pipe' : 'ignore',
      launch.statusOnFd4 ? 'pipe' : 'ignore',
    ],
  })
  const kill = () => killGroup(child.pid)
  let status = ''
  let grace: NodeJS.Timeout | undefined

  child.once('error', (error) => {
    request.signal.removeEventListener('abort', kill)
    resolve({
      kind: 'not-started',
      reason: errnoOf(error) === 'E2BIG' ? 'the command line is too long' : errorMessage(error),
    })
  })
  child.stdout?.on('data', (bytes: Buffer) => request.onOutput('stdout', bytes))
  child.stderr?.on('data', (bytes: Buffer) => request.onOutput('stderr', bytes))
  const statusPipe = child.stdio[4] as Readable | null | undefined
  statusPipe?.on('data', (bytes: Buffer) => {
    if (status.length < MAX_STATUS_BYTES) status += bytes.toString()
  })
  feed(child.stdin, request.stdin && `${request.stdin.join('\n')}\n`)
  feed(child.stdio[3] as Writable | null | undefined, launch.argsOnFd3?.map((arg) => `${arg}\0`).join(''))

  if (request.signal.aborted) kill()
  request.signal.addEventListener('abort', kill, { once: true })
  child.once('exit', () => {
    request.signal.removeEventListener('abort', kill)
    // Whatever it left behind in its group ends with it.
    kill()
    grace = setTimeout(() => {
      for (const stream of child.stdio) stream?.destroy()
    }, PIPE_GRACE_MS)
  })
  child.once('close', (code, signal) => {
    clearTimeout(grace)
    resolve({ kind: 'ended', code, signal, status })
  })
  return promise
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // It is gone already, which is what was wanted.
    if (errnoOf(error) !== 'ESRCH') throw error
  }
}

function feed(stream: Writable | null | undefined, text: string | undefined): void {
  if (!stream) return
  // Code that does not read its input closes the pipe: that is its right, and its exit code says the rest.
  stream.on('error', () => {})
  stream.end(text ?? '')
}
