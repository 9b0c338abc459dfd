import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { BYTE_SIZE_FORM, parseByteSize } from './byte-size.ts'
import { InvalidConfig } from './errors.ts'
import { MIN_EGRESS_BANDWIDTH } from './limits.ts'

/** Everything that can be set from outside, validated and frozen. Nothing else reads `process.env`. */
export interface Config {
  /** Absolute path of the folder with SQLite, packs and the root key. */
  readonly dataFolder: string
  readonly host: string
  readonly s3Port: number
  readonly apiPort: number
  /** Undefined: made on first start and kept in the data folder. */
  readonly rootKey: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
  /** Undefined: any region is accepted in a signature. */
  readonly region: string | undefined
  /** Host names, lower-case, below which the S3 endpoint takes the first part of the host for the bucket. */
  readonly domains: readonly string[]
  /** Whether what an owner made public (`public-read`) is open to those without a key too, and not to every key only. */
  readonly anonymous: boolean
  readonly runner: 'auto' | 'process'
  /** Host folders that sandboxed user code may read, besides the system's and the code's own. */
  readonly sandboxPaths: readonly string[]
  /** `host:port` patterns of loopback and link-local targets that egress may reach (`*` for any port). */
  readonly allowTargets: readonly string[]
  /** Egress without a named secret uses the host's own cloud identity. */
  readonly egressDefaultCredentials: boolean
  /** Bytes per second that all pushes together may send; undefined: no limit. */
  readonly egressBandwidth: number | undefined
  /** Certificate and key of both ports, as absolute paths; undefined: they speak http. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
  readonly batch: BatchConfig
  /** `unset`: new buckets show version ids once a client enables versioning, as on AWS; the history is kept all the same. */
  readonly versioning: 'enabled' | 'unset'
  /** How long a commit is kept that no branch and no tag leads to any more. */
  readonly unreachableMs: number
  /** How often garbage is collected by itself; 0: never. */
  readonly gcEveryMs: number
  readonly logLevel: LogLevel
  /** A line for each request: an absolute path, `-` for standard output, or `off`. */
  readonly accessLog: string
  /** Whoever sends it as a bearer token may read the metrics. Undefined: only a signed request of an administrator may. */
  readonly metricsToken: string | undefined
  /** How many datums run at once, over all jobs. */
  readonly workers: number
}

const DAY_MS = 86_400_000
/** A timer of Node is set to at most 24 days: 596 of them. */
const HOUR_MS = 3_600_000

/** What the rules of a batch may be set to, for the server and for one branch. */
export const BATCH_BOUNDS = {
  idleMs: { min: 1, max: 3_600_000 },
  maxAgeMs: { min: 1, max: 86_400_000 },
  maxChanges: { min: 1, max: 10_000_000 },
} as const

/** When a batch is sealed by itself, where a branch has no rules of its own. */
export interface BatchConfig {
  readonly idleMs: number
  readonly maxAgeMs: number
  readonly maxChanges: number
}

/** From the most to the least that is logged. */
export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent'
const logLevels: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']

/** What `process.env` is, handed in. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Settings that have one value so far: another is refused rather than ignored. */
const fixedValues: Readonly<Record<string, { allowed: (value: string) => boolean; say: string }>> = {
  SLUICE_DATABASE_URL: { allowed: (v) => v.startsWith('sqlite:'), say: 'only sqlite: is supported in this release' },
  SLUICE_STORAGE_URL: { allowed: (v) => v.startsWith('file:'), say: 'only file: is supported in this release' },
}

/**
 * Reads the configuration of the server. Throws InvalidConfig with every problem at once; an unknown `SLUICE_` name is a problem
 * too, since it is most likely a slip of the pen.
 */
export function readConfig(env: Environment, defaults: { cpus: number; folder: string }): Config {
  const problems: string[] = []
  const used = new Set(['SLUICE_API_URL', 'SLUICE_CA'])
  const read = <T>(name: string, fallback: T, parse: (value: string) => T | undefined, allowed: string): T => {
    used.add(name)
    const value = env[name]
    if (value === undefined || value === '') return fallback
    const parsed = parse(value)
    if (parsed !== undefined) return parsed
    // What is wrong with a secret is said without showing it.
    const shown = name === 'SLUICE_METRICS_TOKEN' ? name : `${name}=${JSON.stringify(value)}`
    problems.push(`${shown} is not allowed: ${allowed}`)
    return fallback
  }
  const text = (name: string, fallback: string) => read(name, fallback, (v) => v, '')
  const integer = (name: string, fallback: number, min: number, max: number) =>
    read(
      name,
      fallback,
      (v) => (/^\d{1,15}$/.test(v) && Number(v) >= min && Number(v) <= max ? Number(v) : undefined),
      `a whole number from ${min} to ${max}`,
    )
  const bounded = (name: string, fallback: number, bounds: { readonly min: number; readonly max: number }) =>
    integer(name, fallback, bounds.min, bounds.max)
  const oneOf = <T extends string>(name: string, fallback: T, values: readonly T[]) =>
    read<T>(name, fallback, (v) => values.find((value) => value === v), `one of ${values.join(', ')}`)
  const list = (name: string, separator: string) =>
    read<readonly string[]>(
      name,
      [],
      (v) =>
        v
          .split(separator)
          .map((item) => item.trim())
          .filter(Boolean),
      '',
    )

  for (const [name, rule] of Object.entries(fixedValues)) {
    used.add(name)
    const value = env[name]
    if (value && !rule.allowed(value)) problems.push(`${name}=${JSON.stringify(value)} is not allowed: ${rule.say}`)
  }

  const config: Config = {
    dataFolder: resolve(defaults.folder, text('SLUICE_DATA', 'data')),
    host: text('SLUICE_HOST', '127.0.0.1'),
    s3Port: integer('SLUICE_S3_PORT', 30600, 0, 65535),
    apiPort: integer('SLUICE_API_PORT', 30601, 0, 65535),
    rootKey: readRootKey(env, used, problems),
    region: text('SLUICE_REGION', '') || undefined,
    anonymous: oneOf('SLUICE_BLOCK_PUBLIC_ACCESS', 'off', ['on', 'off']) === 'off',
    domains: read('SLUICE_DOMAINS', [], readDomains, 'host names with commas between them, as in s3.example.com'),
    runner: oneOf('SLUICE_RUNNER', 'auto', ['auto', 'process']),
    sandboxPaths: list('SLUICE_SANDBOX_PATHS', ':').map((path) => resolve(path)),
    allowTargets: list('SLUICE_ALLOW_TARGETS', ','),
    egressDefaultCredentials: oneOf('SLUICE_EGRESS_DEFAULT_CREDENTIALS', 'off', ['on', 'off']) === 'on',
    egressBandwidth: read<number | undefined>(
      'SLUICE_EGRESS_BANDWIDTH',
      undefined,
      (v) => {
        const bytes = parseByteSize(v)
        return bytes !== undefined && bytes >= MIN_EGRESS_BANDWIDTH ? bytes : undefined
      },
      `bytes per second, at least ${MIN_EGRESS_BANDWIDTH}: ${BYTE_SIZE_FORM}`,
    ),
    tls: readTls(text('SLUICE_TLS_CERT', ''), text('SLUICE_TLS_KEY', ''), { folder: defaults.folder, problems }),
    batch: {
      idleMs: bounded('SLUICE_BATCH_IDLE_MS', 2_000, BATCH_BOUNDS.idleMs),
      maxAgeMs: bounded('SLUICE_BATCH_MAX_AGE_MS', 300_000, BATCH_BOUNDS.maxAgeMs),
      maxChanges: bounded('SLUICE_BATCH_MAX_CHANGES', 100_000, BATCH_BOUNDS.maxChanges),
    },
    versioning: oneOf('SLUICE_VERSIONING', 'enabled', ['enabled', 'unset']),
    unreachableMs: integer('SLUICE_UNREACHABLE_DAYS', 14, 0, 36_500) * DAY_MS,
    gcEveryMs: integer('SLUICE_GC_HOURS', 0, 0, 596) * HOUR_MS,
    logLevel: oneOf('SLUICE_LOG_LEVEL', 'info', logLevels),
    accessLog: read(
      'SLUICE_ACCESS_LOG',
      'off',
      (v) => (v === '-' || v === 'off' ? v : resolve(defaults.folder, v)),
      '',
    ),
    metricsToken: read<string | undefined>(
      'SLUICE_METRICS_TOKEN',
      undefined,
      (v) => (/^[A-Za-z0-9._~+/=-]{16,1024}$/.test(v) ? v : undefined),
      'at least 16 letters, digits or ._~+/=-',
    ),
    workers: integer('SLUICE_WORKERS', Math.max(1, defaults.cpus), 1, 1024),
  }
  for (const name of Object.keys(env)) {
    if (name.startsWith('SLUICE_') && !used.has(name)) problems.push(`${name} is not a setting that Sluice knows`)
  }
  if (problems.length > 0) throw new InvalidConfig(problems)
  return deepFreeze(config)
}

function readDomains(text: string): readonly string[] | undefined {
  const names = text
    .split(',')
    .map((name) => name.trim().toLowerCase())
    .filter(Boolean)
  const label = '[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?'
  const domain = new RegExp(`^(?=.{1,253}$)${label}(?:\\.${label})*$`)
  return names.every((name) => domain.test(name)) ? names : undefined
}

function readTls(
  cert: string,
  key: string,
  { folder, problems }: { folder: string; problems: string[] },
): Config['tls'] {
  if (cert === '' && key === '') return undefined
  if (cert === '' || key === '') problems.push('SLUICE_TLS_CERT and SLUICE_TLS_KEY must be set together')
  return { certFile: resolve(folder, cert), keyFile: resolve(folder, key) }
}

function readRootKey(env: Environment, used: Set<string>, problems: string[]): Config['rootKey'] {
  used.add('SLUICE_ACCESS_KEY_ID').add('SLUICE_SECRET_ACCESS_KEY')
  const accessKeyId = env['SLUICE_ACCESS_KEY_ID']
  const secretAccessKey = env['SLUICE_SECRET_ACCESS_KEY']
  if (!accessKeyId && !secretAccessKey) return undefined
  if (!accessKeyId || !secretAccessKey) {
    problems.push('SLUICE_ACCESS_KEY_ID and SLUICE_SECRET_ACCESS_KEY must be set together')
    return undefined
  }
  if (!/^[A-Za-z0-9_.-]{3,128}$/.test(accessKeyId)) {
    problems.push('SLUICE_ACCESS_KEY_ID is not allowed: 3 to 128 letters, digits, dots, dashes or underscores')
  }
  if (secretAccessKey.length < 16) problems.push('SLUICE_SECRET_ACCESS_KEY is not allowed: at least 16 characters')
  return { accessKeyId, secretAccessKey }
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (typeof inner === 'object' && inner !== null) deepFreeze(inner)
  return Object.freeze(value)
}

/** The configuration of the server that this process is. Throws InvalidConfig. */
export function configOfProcess(): Config {
  return readConfig(process.env, { cpus: availableParallelism(), folder: process.cwd() })
}
