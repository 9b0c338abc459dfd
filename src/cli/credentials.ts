import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type CliConfig,
  DomainError,
  errnoOf,
  errorMessage,
  type KeyPair,
  readRootKey,
  rootKeyFile,
} from '../kernel/index.ts'
import { CliError } from './errors.ts'
import { findSection, readIni } from './ini.ts'

/** A key with where it was found, so that an error can say which one is wrong. */
export interface Credentials extends KeyPair {
  readonly from: string
}

/**
 * The key that requests are signed with: `AWS_*`, else the profile that `AWS_PROFILE` names, else the root key of the server in this
 * data folder, else the default profile. A named thing that is not there is an error; nothing is guessed past it.
 */
export async function findCredentials(config: CliConfig): Promise<Credentials> {
  if (config.awsKey) return { ...config.awsKey, from: 'AWS_ACCESS_KEY_ID' }
  if (config.awsProfile !== undefined) {
    const named = await readProfile(config, config.awsProfile)
    if (named) return named
    throw new CliError(
      `AWS_PROFILE names the profile ${config.awsProfile}, and ${config.awsCredentialsFile} has no keys for it`,
    )
  }
  const root = (await findRootKey(config)) ?? (await readProfile(config, 'default'))
  if (root) return root
  throw new CliError(
    `no access key found: run eval "$(npx sluice env)" where the server's data folder is, or set AWS_ACCESS_KEY_ID and ` +
      `AWS_SECRET_ACCESS_KEY (looked for ${rootKeyFile(config.dataFolder)})`,
  )
}

/** The root key as the server has it: from its settings, or from its data folder. */
export async function findRootKey(config: CliConfig): Promise<Credentials | undefined> {
  if (config.rootKey) return { ...config.rootKey, from: 'SLUICE_ACCESS_KEY_ID' }
  const file = rootKeyFile(config.dataFolder)
  try {
    const key = await readRootKey(file)
    return key && { ...key, from: file }
  } catch (error) {
    if (error instanceof DomainError) throw error
    throw new CliError(`${file} can't be read: ${errorMessage(error)}`, { cause: error })
  }
}

/** Where the server of this data folder listens: as it wrote when it started, else as its settings say. */
export interface ServerUrls {
  readonly s3Url: string
  readonly apiUrl: string
}

export async function findServer(config: CliConfig): Promise<ServerUrls> {
  const { s3Url, apiUrl } = await findWritten(config)
  return { s3Url, apiUrl: config.apiUrl ?? apiUrl ?? config.defaultApiUrl }
}

/** The same, by what stands in the folder alone; without an API where no server has written one. */
export async function findWritten(config: CliConfig): Promise<{ readonly s3Url: string; readonly apiUrl?: string }> {
  const file = join(config.dataFolder, 'server.json')
  const text = await readIfThere(file)
  const written = text === undefined ? {} : parseJson(text, file)
  const url = (name: string) => (typeof written[name] === 'string' ? written[name] : undefined)
  const apiUrl = url('apiUrl')
  return { s3Url: url('s3Url') ?? config.defaultS3Url, ...(apiUrl !== undefined && { apiUrl }) }
}

async function readProfile(config: CliConfig, name: string): Promise<Credentials | undefined> {
  const places = [
    { file: config.awsCredentialsFile, section: name },
    { file: config.awsConfigFile, section: name === 'default' ? name : `profile ${name}` },
  ]
  for (const { file, section } of places) {
    const text = await readIfThere(file)
    const values = text === undefined ? undefined : findSection(readIni(text), section)
    const accessKeyId = values?.get('aws_access_key_id')
    const secretAccessKey = values?.get('aws_secret_access_key')
    const sessionToken = values?.get('aws_session_token')
    if (!accessKeyId || !secretAccessKey) continue
    const from = `the profile ${name} in ${file}`
    return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}), from }
  }
  return undefined
}

export async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return undefined
    throw new CliError(`${file} can't be read: ${errorMessage(error)}`, { cause: error })
  }
}

function parseJson(text: string, file: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch (cause) {
    throw new CliError(`${file} is not JSON: ${errorMessage(cause)}`, { cause })
  }
  throw new CliError(`${file} does not hold a JSON object`)
}
