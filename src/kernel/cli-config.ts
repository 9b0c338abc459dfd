import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Environment } from './config.ts'
import { InvalidConfig } from './errors.ts'

/** What the command line takes from its environment, validated and frozen. It never reads the server's other settings. */
export interface CliConfig {
  /** `SLUICE_API_URL`, without a slash at its end; undefined: look into the data folder, then take the default. */
  readonly apiUrl: string | undefined
  /** Where the server's settings say that it listens, for when it is not running. */
  readonly defaultApiUrl: string
  readonly defaultS3Url: string
  /** Absolute path of the server's data folder on this machine (it need not be there). */
  readonly dataFolder: string
  /** The server's root key if it is set by `SLUICE_ACCESS_KEY_ID` and `SLUICE_SECRET_ACCESS_KEY`. */
  readonly rootKey: KeyPair | undefined
  /** `SLUICE_CA`: a file of certificates that an https server is believed by, besides the usual ones. */
  readonly caFile: string | undefined
  /** `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, with `AWS_SESSION_TOKEN` if there is one. */
  readonly awsKey: KeyPair | undefined
  /** `AWS_PROFILE`. */
  readonly awsProfile: string | undefined
  readonly awsCredentialsFile: string
  readonly awsConfigFile: string
  /** What requests are signed for. */
  readonly region: string
}

/** An access key with its secret. */
export interface KeyPair {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Of temporary credentials. */
  readonly sessionToken?: string
}

/** Reads the configuration of the command line. Throws InvalidConfig with every problem at once. */
export function readCliConfig(env: Environment, folder: string): CliConfig {
  const problems: string[] = []
  const text = (name: string) => env[name] || undefined
  const port = (name: string, fallback: number) => {
    const value = text(name)
    // 0 lets the system choose: the real port is then in the data folder's server.json.
    if (value === undefined || value === '0') return fallback
    if (/^\d{1,5}$/.test(value) && Number(value) <= 65535) return Number(value)
    problems.push(`${name}=${JSON.stringify(value)} is not allowed: a whole number from 0 to 65535`)
    return fallback
  }
  const url = (name: string) => {
    const value = text(name)
    if (value === undefined) return undefined
    if (URL.canParse(value) && /^https?:$/.test(new URL(value).protocol)) return value.replace(/\/+$/, '')
    problems.push(`${name}=${JSON.stringify(value)} is not allowed: a URL that begins with http:// or https://`)
    return undefined
  }
  const pair = (idName: string, secretName: string): KeyPair | undefined => {
    const [accessKeyId, secretAccessKey] = [text(idName), text(secretName)]
    if (accessKeyId === undefined && secretAccessKey === undefined) return undefined
    if (accessKeyId !== undefined && secretAccessKey !== undefined) return { accessKeyId, secretAccessKey }
    problems.push(`${idName} and ${secretName} must be set together`)
    return undefined
  }
  const scheme = text('SLUICE_TLS_CERT') === undefined ? 'http' : 'https'
  const awsKey = pair('AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY')
  const sessionToken = text('AWS_SESSION_TOKEN')
  const caFile = text('SLUICE_CA')
  const host = reachable(text('SLUICE_HOST') ?? '127.0.0.1')
  const awsFolder = join(text('HOME') ?? homedir(), '.aws')
  const config: CliConfig = {
    apiUrl: url('SLUICE_API_URL'),
    defaultApiUrl: `${scheme}://${host}:${port('SLUICE_API_PORT', 30601)}`,
    defaultS3Url: `${scheme}://${host}:${port('SLUICE_S3_PORT', 30600)}`,
    dataFolder: resolve(folder, text('SLUICE_DATA') ?? 'data'),
    rootKey: pair('SLUICE_ACCESS_KEY_ID', 'SLUICE_SECRET_ACCESS_KEY'),
    caFile: caFile === undefined ? undefined : resolve(folder, caFile),
    awsKey: awsKey && { ...awsKey, ...(sessionToken === undefined ? {} : { sessionToken }) },
    awsProfile: text('AWS_PROFILE'),
    awsCredentialsFile: text('AWS_SHARED_CREDENTIALS_FILE') ?? join(awsFolder, 'credentials'),
    awsConfigFile: text('AWS_CONFIG_FILE') ?? join(awsFolder, 'config'),
    // A region that the server insists on comes before the one that other AWS tools use.
    region: text('SLUICE_REGION') ?? text('AWS_REGION') ?? text('AWS_DEFAULT_REGION') ?? 'us-east-1',
  }
  if (problems.length > 0) throw new InvalidConfig(problems)
  return Object.freeze(config)
}

/** A server that listens on every address is reached on this machine by the loopback one. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1'
  if (host === '::') return '[::1]'
  return host.includes(':') ? `[${host}]` : host
}

/** The configuration of the command line that this process is. */
export function cliConfigOfProcess(): CliConfig {
  return readCliConfig(process.env, process.cwd())
}
