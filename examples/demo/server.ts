/** A Sluice of its own for the demo: a child process on a throw-away data folder and free ports. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Environment, NotAsExpected } from './terminal.ts'

export const project = join(import.meta.dirname, '../..')
const startTimeoutMs = 60_000
const stopTimeoutMs = 20_000
/** Of the server's log, for the message when it does not come up. */
const keptLogCharacters = 20_000

export interface Server {
  readonly data: string
  readonly s3Url: string
  readonly apiUrl: string
  /** The end of what it wrote to its log. */
  readonly log: () => string
  stop(): Promise<void>
}

/** The caller's environment without any setting of Sluice or AWS: the demo must not touch what belongs to somebody. */
export function cleanEnvironment(): Record<string, string> {
  const kept = Object.entries(process.env).filter(([name]) => !/^(SLUICE|AWS|NODE_TEST)_/.test(name))
  return Object.fromEntries(kept.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])))
}

export async function startServer(data: string, settings: Environment = {}): Promise<Server> {
  const child = spawn(process.execPath, [join(project, 'src/main.ts')], {
    cwd: project,
    env: { ...cleanEnvironment(), SLUICE_S3_PORT: '0', SLUICE_API_PORT: '0', ...settings, SLUICE_DATA: data },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (piece: string) => {
      log = (log + piece).slice(-keptLogCharacters)
    })
  }
  const stop = () => stopServer(child)
  try {
    const { s3Url, apiUrl } = await waitUntilHealthy(child, data)
    return { data, s3Url, apiUrl, log: () => log, stop }
  } catch (error) {
    await stop()
    throw new NotAsExpected(`${error instanceof Error ? error.message : error}; its log ends:\n${log}`)
  }
}

async function waitUntilHealthy(child: ChildProcess, data: string): Promise<{ s3Url: string; apiUrl: string }> {
  const deadline = AbortSignal.timeout(startTimeoutMs)
  while (!deadline.aborted) {
    if (child.exitCode !== null || child.signalCode !== null) {
      throw new Error(`the server ended by itself (${child.signalCode ?? `exit code ${child.exitCode}`})`)
    }
    // Until the file is there and whole, the server is still starting.
    const addresses = await readFile(join(data, 'server.json'), 'utf8')
      .then((text) => JSON.parse(text) as { s3Url: string; apiUrl: string })
      .catch(() => undefined)
    const healthy = addresses && (await fetch(`${addresses.apiUrl}/healthz`).catch(() => undefined))?.ok
    if (addresses && healthy) return addresses
    await sleep(50)
  }
  throw new Error(`the server did not come up within ${startTimeoutMs / 1000} s`)
}

async function stopServer(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), stopTimeoutMs)
  const [code, signal] = await ended
  clearTimeout(late)
  if (code === 0) return
  const how = signal === null ? `exit code ${code}` : `it had to be ended by ${signal}`
  throw new NotAsExpected(`the server did not end well: ${how}`)
}
