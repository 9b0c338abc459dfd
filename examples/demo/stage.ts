/** What every step of the demo works with: a running Sluice, ways to talk to it, and folders to work in. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { S3Client } from '@aws-sdk/client-s3'
import { awsCli, awsSdk, type Endpoint, findAwsCli, type S3Tool, s3Client } from './s3-tool.ts'
import { cleanEnvironment, project, type Server } from './server.ts'
import { NotAsExpected, note, type Ran, type RunOptions, run, runCommand } from './terminal.ts'

export interface Stage {
  /** A folder for what the demo makes, removed at the end. */
  readonly work: string
  /** What goes into the repo `images`. */
  readonly pictures: string
  /** True if the demo drew them itself, so that it knows what must come out. */
  readonly drawn: boolean
  readonly endpoint: Endpoint
  readonly env: Readonly<Record<string, string>>
  readonly s3: S3Tool
  /** For looking at results without showing how. */
  readonly client: S3Client
  /** Runs `sluice …` and shows it. */
  sluice(args: readonly string[], options?: Omit<RunOptions, 'env'>): Promise<Ran>
  /** The same with --json, parsed, and not shown. */
  json<T>(args: readonly string[]): Promise<T>
}

export async function connect(server: Server, folders: Pick<Stage, 'work' | 'pictures' | 'drawn'>): Promise<Stage> {
  const base = { ...cleanEnvironment(), SLUICE_DATA: server.data, AWS_PAGER: '', AWS_EC2_METADATA_DISABLED: 'true' }
  note('`sluice` stands for `npx sluice` from here on.')
  const exported = await sluiceEnv(base, { shown: 'eval "$(sluice env)"' })
  // Files that do not exist: whoever runs the demo may have settings of AWS there that are not meant for it.
  const none = join(folders.work, 'no-such-file')
  const env = { ...base, ...exported, AWS_CONFIG_FILE: none, AWS_SHARED_CREDENTIALS_FILE: none }
  const endpoint = toEndpoint(exported)
  const client = s3Client(endpoint)
  const version = await findAwsCli(env)
  note(
    version
      ? `S3 client: ${version}`
      : 'S3 client: AWS SDK for JavaScript (no AWS CLI that reads AWS_ENDPOINT_URL here)',
  )
  await mkdir(join(folders.work, 'out'))
  return {
    ...folders,
    endpoint,
    env,
    client,
    s3: version ? awsCli(env) : awsSdk(client),
    sluice: (args, options = {}) => run(sluiceCommand(args), { shown: ['sluice', ...args].join(' '), ...options, env }),
    json: async <T>(args: readonly string[]) => {
      const { exitCode, stdout, stderr } = await runCommand(sluiceCommand([...args, '--json']), { env })
      if (exitCode !== 0) throw new NotAsExpected(`sluice ${args.join(' ')} --json: exit code ${exitCode}: ${stderr}`)
      return JSON.parse(stdout) as T
    },
  }
}

/** The endpoint and root key of a server, from its own data folder. */
export async function endpointOf(server: Server): Promise<Endpoint> {
  const env = { ...cleanEnvironment(), SLUICE_DATA: server.data }
  return toEndpoint(await sluiceEnv(env, { shown: `SLUICE_DATA=${server.data} sluice env` }))
}

function sluiceCommand(args: readonly string[]): [string, ...string[]] {
  return [process.execPath, join(project, 'bin/sluice.js'), ...args]
}

async function sluiceEnv(env: Readonly<Record<string, string>>, options: { shown: string }) {
  const { stdout } = await run(sluiceCommand(['env']), { ...options, env, quiet: true })
  const exported: Record<string, string> = {}
  for (const [, name = '', value = ''] of stdout.matchAll(/^export (\w+)=(.*)$/gm)) {
    exported[name] = value.replace(/^'(.*)'$/, '$1')
  }
  note(`sets ${Object.keys(exported).join(', ')}`)
  return exported
}

function toEndpoint(exported: Readonly<Record<string, string>>): Endpoint {
  const { AWS_ENDPOINT_URL: url, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = exported
  if (!url || !accessKeyId || !secretAccessKey)
    throw new NotAsExpected('sluice env did not print an endpoint and a key')
  return { url, accessKeyId, secretAccessKey }
}
