/** A Sluice of its own for a suite: `src/main.ts` (or another entry) as a child process on free ports and its own data folder. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

export const repository = dirname(dirname(fileURLToPath(import.meta.url)))

/** Recovery of a large store takes a while on a slow disk; a server that is not up by then will not come up. */
const START_TIMEOUT_MS = 60_000
/** Longer than the server's own limit for closing. */
const STOP_TIMEOUT_MS = 30_000
/** Of Node; the same that package.json and the Dockerfile have. */
const START_FLAGS = ['--max-semi-space-size=16']
/** Of its log, for the message of a failure. */
const KEPT_OUTPUT_CHARACTERS = 64 * 1024

export interface Credentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export interface Server {
  readonly s3Url: string
  readonly apiUrl: string
  readonly pid: number
  readonly folder: string
  readonly credentials: Credentials
  /** The environment in which the AWS tools and the CLI reach this server, and nothing else of the machine's settings. */
  readonly clientEnvironment: Readonly<Record<string, string>>
  /** The end of what it wrote. */
  output(): string
  /** SIGTERM, and waits; throws if it does not end with code 0 in time. */
  stop(): Promise<void>
  /** SIGKILL, and waits. */
  kill(): Promise<void>
  /** True once the process has ended, by whatever cause. */
  readonly ended: boolean
}

export interface ServerOptions {
  readonly folder: string
  readonly credentials?: Credentials
  /** Settings (`SLUICE_…`) and others for the server process. */
  readonly environment?: Readonly<Record<string, string>>
  /** Relative to the repository; `src/main.ts` unless the build is meant. */
  readonly entry?: string
}

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export const testCredentials = (): Credentials => ({
  accessKeyId: 'SLUICETESTKEY',
  secretAccessKey: randomBytes(24).toString('hex'),
})

/** Resolves when the server answers on both ports; rejects with the end of its log if it ends before. */
export async function startServer(options: ServerOptions): Promise<Server> {
  const credentials = options.credentials ?? testCredentials()
  // As `npm start` and the image start it.
  const child = spawn(process.execPath, [...START_FLAGS, join(repository, options.entry ?? 'src/main.ts')], {
    cwd: repository,
    env: {
      ...withoutSettings(process.env),
      SLUICE_DATA: options.folder,
      SLUICE_S3_PORT: '0',
      SLUICE_API_PORT: '0',
      SLUICE_ACCESS_KEY_ID: credentials.accessKeyId,
      SLUICE_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      ...options.environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  let output = ''
  const keep = (bytes: Buffer) => {
    output = (output + bytes).slice(-KEPT_OUTPUT_CHARACTERS)
  }
  child.stdout.on('data', keep)
  child.stderr.on('data', keep)
  let ended: string | undefined
  const exit = once(child, 'exit').then(([code, signal]: (number | string | null)[]) => {
    running.delete(child)
    ended = `code ${code}, signal ${signal}`
  })
  const { s3Url, apiUrl } = await waitForUrls(options.folder, child, () => ended).catch((error: Error) => {
    child.kill('SIGKILL')
    throw new Error(`${error.message}\n${output}`)
  })
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    child.kill(signal)
    const timedOut = await Promise.race([exit.then(() => false), sleep(STOP_TIMEOUT_MS, true, { ref: false })])
    if (timedOut) child.kill('SIGKILL')
    await exit
    if (signal === 'SIGTERM' && ended !== 'code 0, signal null') {
      throw new Error(`the server did not end well on SIGTERM (${timedOut ? 'too late' : ended}):\n${output}`)
    }
  }
  return {
    s3Url,
    apiUrl,
    pid: child.pid ?? 0,
    folder: options.folder,
    credentials,
    clientEnvironment: clientEnvironment(s3Url, apiUrl, credentials),
    output: () => output,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    get ended() {
      return ended !== undefined
    },
  }
}

/** The machine's own settings for Sluice and AWS would leak into what a suite does. */
function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const foreign = /^(SLUICE_|AWS_|NODE_OPTIONS$|NODE_TEST_CONTEXT$)/
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !foreign.test(name)))
}

function clientEnvironment(s3Url: string, apiUrl: string, { accessKeyId, secretAccessKey }: Credentials) {
  const environment: Record<string, string> = {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    AWS_ENDPOINT_URL: s3Url,
    AWS_REGION: 'us-east-1',
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_PAGER: '',
    SLUICE_API_URL: apiUrl,
    NO_PROXY: '127.0.0.1,localhost',
  }
  for (const [name, value] of Object.entries(withoutSettings(process.env))) {
    if (value !== undefined && !/^(https?|all|no)_proxy$/i.test(name)) environment[name] = value
  }
  return environment
}

async function waitForUrls(folder: string, child: ChildProcess, ended: () => string | undefined) {
  const deadline = Date.now() + START_TIMEOUT_MS
  while (Date.now() < deadline) {
    const how = ended()
    if (how !== undefined) throw new Error(`the server ended before it was up (${how}):`)
    const said = await readServerFile(folder)
    // A file of an earlier process that was killed is still there.
    if (said && said.pid === child.pid) return said
    await sleep(20)
  }
  throw new Error('the server was not up in time:')
}

async function readServerFile(folder: string): Promise<{ s3Url: string; apiUrl: string; pid: number } | undefined> {
  try {
    return JSON.parse(await readFile(join(folder, 'server.json'), 'utf8'))
  } catch (error) {
    // Not there yet, or caught while it was being written: asked again.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError) return undefined
    throw error
  }
}
