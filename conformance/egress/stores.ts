/**
 * The stores that results are pushed to: a real server for each kind, with a log of requests in front of it, and rclone, which
 * knows all of them, to look at what has arrived.
 */
import { generateKeyPairSync } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Server, startServer } from '../server.ts'
import { filesIn } from '../shared/trees.ts'
import { missingTool, runProgram } from '../support.ts'
import { freePort, type Running, startProgram } from './processes.ts'
import { logRequests, type RequestLog } from './request-log.ts'

export const BUCKET = 'results'

export interface Store {
  /** `127.0.0.1:port`: what SLUICE_ALLOW_TARGETS has to name. */
  readonly host: string
  readonly log: RequestLog
  /** For `sluice secret create NAME …`: options, and what it reads from standard input. */
  readonly secret: { readonly options: readonly string[]; readonly input: string }
  /** The same with a key that the store does not take; undefined where it takes every one. */
  readonly wrongSecret: Store['secret'] | undefined
  /** In the words of `egress.URL`; the first is the usual one. */
  readonly urls: readonly ((folder: string) => string)[]
  makeBucket(name: string): Promise<void>
  /** What rclone calls a path in the bucket. */
  at(path: string): string
  /** Runs `rclone VERB …`; its standard output. */
  rclone(verb: string, ...more: string[]): Promise<string>
  /** What is below a folder of the bucket: path → SHA-256 of what rclone reads. */
  files(folder: string): Promise<Record<string, string>>
  stop(): Promise<void>
}

type Kind = 'sluice' | 'moto' | 'gcs' | 'azure'

/** Why a kind can't be started here, or undefined. */
export async function missingStore(kind: Kind): Promise<string | undefined> {
  const missing = await missingTool('rclone', ['version'])
  if (missing) return missing
  if (kind === 'moto') {
    const none = await missingTool('python3', ['-c', 'import moto.server, flask'])
    return none && 'moto is not there: pip install "moto[server]"'
  }
  if (kind === 'gcs' && (await missingTool('fake-gcs-server', ['-h'])) === 'fake-gcs-server is not installed')
    return 'fake-gcs-server is not there: go install the module of conformance/egress/fake-gcs-server.txt'
  if (kind === 'azure' && (await missingTool('azurite-blob', ['--version'])))
    return 'azurite-blob is not there: npm install -g the package of conformance/egress/azurite.txt'
  return undefined
}

/** Starts one, with the bucket `results` in it. */
export async function startStore(kind: Kind): Promise<Store> {
  const folder = await mkdtemp(join(tmpdir(), `sluice-${kind}-`))
  const started = await starters[kind](folder)
  const log = await logRequests(started.port)
  const environment = await rcloneEnvironment(folder, started.remote)
  const rclone = async (verb: string, ...more: string[]) => {
    const ran = await runProgram('rclone', [verb, ...more], { environment, folder })
    if (ran.code !== 0) throw new Error(`rclone ${verb} ${more.join(' ')}: ${ran.stdout}${ran.stderr}`)
    return ran.stdout
  }
  const makeBucket = async (name: string) => {
    await rclone('mkdir', `store:${started.bucketName(name)}`)
  }
  await makeBucket(BUCKET)
  const at = (path: string) => `store:${started.bucketName(BUCKET)}/${path}`
  let copies = 0
  return {
    host: log.host,
    log,
    ...(await started.access(log.host)),
    makeBucket,
    at,
    rclone,
    files: async (below) => {
      const copy = join(folder, `copy-${++copies}`)
      await mkdir(copy)
      await rclone('copy', at(below), copy)
      return filesIn(copy)
    },
    stop: async () => {
      await log.close()
      await started.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

interface Started {
  readonly port: number
  /** rclone's configuration of it. */
  readonly remote: Readonly<Record<string, string>>
  readonly bucketName: (name: string) => string
  readonly access: (host: string) => Promise<Pick<Store, 'secret' | 'wrongSecret' | 'urls'>>
  stop(): Promise<void>
}

const starters: Readonly<Record<Kind, (folder: string) => Promise<Started>>> = {
  sluice: startSluice,
  moto: startMoto,
  gcs: startGcs,
  azure: startAzure,
}

async function startSluice(folder: string): Promise<Started> {
  const data = join(folder, 'data')
  await mkdir(data)
  const server: Server = await startServer({ folder: data, environment: { SLUICE_LOG_LEVEL: 'warn' } })
  const { accessKeyId, secretAccessKey } = server.credentials
  return {
    port: Number(new URL(server.s3Url).port),
    remote: s3Remote(server.s3Url, accessKeyId, secretAccessKey),
    bucketName: (name) => `master.${name}`,
    access: async (host) => ({
      ...s3Secrets(host, accessKeyId, secretAccessKey),
      urls: [(below) => `s3://${host}/master.${BUCKET}/${below}`, (below) => `s3://master.${BUCKET}/${below}`],
    }),
    stop: () => server.stop(),
  }
}

async function startMoto(): Promise<Started> {
  const port = await freePort()
  const server = await startProgram('python3', ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], port)
  return {
    port,
    remote: s3Remote(`http://127.0.0.1:${port}`, 'moto', 'moto'),
    bucketName: (name) => name,
    access: async (host) => ({
      ...s3Secrets(host, 'moto', 'moto'),
      // It takes any key.
      wrongSecret: undefined,
      urls: [(below) => `minio://${host}/${BUCKET}/${below}`, (below) => `s3://${BUCKET}/${below}`],
    }),
    stop: server.stop,
  }
}

async function startGcs(folder: string): Promise<Started> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const args = ['-scheme', 'http', '-host', '127.0.0.1', '-port', String(port), '-backend', 'memory']
  const server: Running = await startProgram('fake-gcs-server', [...args, '-external-url', url], port)
  const key = join(folder, 'service-account.json')
  return {
    port,
    remote: {
      type: 'google cloud storage',
      anonymous: 'true',
      bucket_policy_only: 'true',
      project_number: '1',
      endpoint: `${url}/storage/v1/`,
    },
    bucketName: (name) => name,
    access: async (host) => {
      await writeFile(key, serviceAccount())
      return {
        secret: { options: ['--service-account', key, '--endpoint', `http://${host}`], input: '' },
        // It looks at no token.
        wrongSecret: undefined,
        urls: [(below) => `gs://${BUCKET}/${below}`],
      }
    },
    stop: server.stop,
  }
}

/** Azurite's own account, which is the only one that rclone reaches on an emulator. Microsoft documents its key. */
export const AZURITE_ACCOUNT = 'devstoreaccount1'
export const AZURITE_KEY = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='

async function startAzure(): Promise<Started> {
  const port = await freePort()
  const args = ['--silent', '--disableTelemetry', '--skipApiVersionCheck', '--inMemoryPersistence']
  const server = await startProgram(
    'azurite-blob',
    [...args, '--blobHost', '127.0.0.1', '--blobPort', String(port)],
    port,
  )
  return {
    port,
    remote: {
      type: 'azureblob',
      use_emulator: 'true',
      account: AZURITE_ACCOUNT,
      key: AZURITE_KEY,
      endpoint: `http://127.0.0.1:${port}/${AZURITE_ACCOUNT}`,
    },
    bucketName: (name) => name,
    access: async (host) => {
      const endpoint = ['--endpoint', `http://${host}/${AZURITE_ACCOUNT}`]
      const options = ['--account', AZURITE_ACCOUNT, '--account-key', '-', ...endpoint]
      return {
        secret: { options, input: AZURITE_KEY },
        wrongSecret: { options, input: Buffer.alloc(64, 7).toString('base64') },
        urls: [
          (below) => `wasbs://${BUCKET}@${AZURITE_ACCOUNT}/${below}`,
          (below) => `abfss://${BUCKET}@${AZURITE_ACCOUNT}/${below}`,
          (below) => `azblob://${BUCKET}/${below}`,
        ],
      }
    },
    stop: server.stop,
  }
}

function s3Secrets(host: string, accessKey: string, secretKey: string): Pick<Store, 'secret' | 'wrongSecret'> {
  const options = ['--access-key', accessKey, '--endpoint', `http://${host}`]
  return { secret: { options, input: secretKey }, wrongSecret: { options, input: 'nothing-that-works' } }
}

const s3Remote = (endpoint: string, access_key_id: string, secret_access_key: string) => ({
  type: 's3',
  provider: 'Other',
  force_path_style: 'true',
  region: 'us-east-1',
  access_key_id,
  secret_access_key,
  endpoint,
})

/** As Google's console gives it, with a key that was made here. */
function serviceAccount(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return JSON.stringify({
    type: 'service_account',
    project_id: 'results',
    private_key_id: 'a1',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    client_email: 'sluice@results.iam.gserviceaccount.com',
    client_id: '1',
    auth_uri: 'https://accounts.google.com/o/oauth2/auth',
    token_uri: 'https://oauth2.googleapis.com/token',
  })
}

/** One remote, `store:`, and nothing of the machine's own settings. */
async function rcloneEnvironment(folder: string, remote: Readonly<Record<string, string>>) {
  const config = join(folder, 'rclone.conf')
  const lines = Object.entries(remote).map(([name, value]) => `${name} = ${value}`)
  await writeFile(config, `[store]\n${lines.join('\n')}\n`)
  const environment: Record<string, string> = {
    PATH: process.env['PATH'] ?? '',
    HOME: folder,
    RCLONE_CONFIG: config,
    // Whatever it does is shown at once instead of being tried again for minutes.
    RCLONE_RETRIES: '1',
    RCLONE_LOW_LEVEL_RETRIES: '1',
  }
  return environment
}
