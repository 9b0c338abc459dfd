import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { type CliConfig, errorMessage, randomHexId } from '../kernel/index.ts'
import { readIfThere } from './credentials.ts'
import { CliError, UsageError } from './errors.ts'
import { setInSection } from './ini.ts'

/** Writes the values of `env` as an AWS profile; what else is in the files stays. Returns the files. */
export async function writeProfile(
  config: CliConfig,
  name: string,
  values: Readonly<Record<string, string>>,
): Promise<readonly [string, string]> {
  if (!/^[A-Za-z0-9_.-]+$/.test(name))
    throw new UsageError('a profile name has letters, digits, dots, dashes and underscores')
  const keys = {
    aws_access_key_id: values['AWS_ACCESS_KEY_ID'] ?? '',
    aws_secret_access_key: values['AWS_SECRET_ACCESS_KEY'] ?? '',
  }
  const settings = {
    endpoint_url: values['AWS_ENDPOINT_URL'] ?? '',
    region: values['AWS_REGION'] ?? '',
    ...(values['AWS_CA_BUNDLE'] !== undefined && { ca_bundle: values['AWS_CA_BUNDLE'] }),
  }
  await change(config.awsCredentialsFile, name, keys)
  await change(config.awsConfigFile, name === 'default' ? name : `profile ${name}`, settings)
  return [config.awsCredentialsFile, config.awsConfigFile]
}

/** Keys of other accounts may be in it: the file is replaced as a whole, and nobody else may read it. */
async function change(file: string, section: string, values: Readonly<Record<string, string>>): Promise<void> {
  const temporary = `${file}.${randomHexId().slice(0, 8)}`
  const text = setInSection((await readIfThere(file)) ?? '', section, values)
  try {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 })
    const handle = await open(temporary, 'wx', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, file)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw new CliError(`${file} can't be written: ${errorMessage(cause)}`, { cause })
  }
}
