/** What the suites share: a server and a work folder for each, and real clients run as programs. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { repository, type Server, startServer } from './server.ts'

/** A client that hangs fails its own test before the runner's limit. */
const COMMAND_TIMEOUT_MS = 100_000

export interface Ran {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly environment: Readonly<Record<string, string>>
  readonly folder?: string
  readonly input?: Buffer | string
  readonly timeoutMs?: number
}

/** Runs a program to its end, whatever its exit code. Rejects only if it can't be started. */
export async function runProgram(command: string, args: readonly string[], options: RunOptions): Promise<Ran> {
  const child = spawn(command, args, {
    cwd: options.folder,
    env: { ...options.environment },
  })
  // Not the timeout of spawn(): that one goes on, and holds the process, where there is no such program.
  const timer = setTimeout(() => child.kill(), options.timeoutMs ?? COMMAND_TIMEOUT_MS)
  const kept: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] }
  child.stdout.on('data', (bytes) => kept.stdout.push(bytes))
  child.stderr.on('data', (bytes) => kept.stderr.push(bytes))
  // A program that does not read its input to the end closes the pipe.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.input)
  const [code, signal] = await once(child, 'close').finally(() => clearTimeout(timer))
  const stderr = Buffer.concat(kept.stderr).toString()
  return {
    code: code ?? -1,
    stdout: Buffer.concat(kept.stdout).toString(),
    stderr: signal ? `${stderr}\nended by ${signal}` : stderr,
  }
}

/** The reason why a suite is left out, or undefined: runs the client once to see whether it is there. */
export async function missingTool(command: string, args: readonly string[]): Promise<string | undefined> {
  const environment = Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => !!entry[1]),
  )
  try {
    const { code, stderr } = await runProgram(command, args, { environment })
    return code === 0 ? undefined : `${[command, ...args].join(' ')} fails: ${stderr.trim().split('\n').at(-1)}`
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return `${command} is not installed`
    throw error
  }
}

export interface Bench {
  readonly server: Server
  /** For files of the suite. */
  readonly folder: string
  /** Runs a command line of words and expects it to succeed; returns its standard output. */
  ok(command: string, args: readonly string[], options?: Partial<RunOptions>): Promise<string>
  /** Runs it and expects it to fail; returns all it said. */
  fails(command: string, args: readonly string[], options?: Partial<RunOptions>): Promise<string>
  /** The `sluice` command against this server; standard output. */
  sluice(args: readonly string[]): Promise<string>
  close(): Promise<void>
}

/** Starts a server for a suite, with a short idle time so that commits come soon. */
export async function openBench(settings: Readonly<Record<string, string>> = {}): Promise<Bench> {
  const base = await mkdtemp(join(tmpdir(), 'sluice-conformance-'))
  const [data, folder] = [join(base, 'data'), join(base, 'work')]
  await mkdir(data)
  await mkdir(folder)
  const server = await startServer({ folder: data, environment: { SLUICE_LOG_LEVEL: 'warn', ...settings } })
  const run = (command: string, args: readonly string[], options: Partial<RunOptions> = {}) =>
    runProgram(command, args, { folder, environment: server.clientEnvironment, ...options })
  const told = (command: string, args: readonly string[], ran: Ran) =>
    `${command} ${args.join(' ')} ended with ${ran.code}:\n${ran.stdout.slice(0, 4000)}${ran.stderr}\nserver:\n${server.output().slice(-4000)}`
  const ok: Bench['ok'] = async (command, args, options) => {
    const ran = await run(command, args, options)
    if (ran.code !== 0) throw new Error(told(command, args, ran))
    return ran.stdout
  }
  return {
    server,
    folder,
    ok,
    fails: async (command, args, options) => {
      const ran = await run(command, args, options)
      if (ran.code === 0) throw new Error(`expected to fail: ${told(command, args, ran)}`)
      return ran.stdout + ran.stderr
    },
    sluice: (args) => ok(process.execPath, [join(repository, 'bin/sluice.js'), ...args]),
    close: async () => {
      try {
        if (!server.ended) await server.stop()
      } finally {
        await rm(base, { recursive: true, force: true })
      }
    },
  }
}

export const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('hex')
export const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** Bytes without repetition, the same for the same name. */
export function bytesNamed(name: string, size: number): Buffer {
  const blocks: Buffer[] = []
  for (let at = 0, block = 0; at < size; at += 64, block++)
    blocks.push(createHash('sha512').update(`${name} ${block}`).digest())
  return Buffer.concat(blocks).subarray(0, size)
}
