import { randomBytes } from 'node:crypto'
import { link, open, readFile, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from './config.ts'
import { errnoOf, InvalidInput } from './errors.ts'

/** The key that may do everything. */
export interface RootKey {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** Where the root key is kept when the configuration sets none. */
export function rootKeyFile(dataFolder: string): string {
  return join(dataFolder, 'root-key.json')
}

/**
 * The key that may do everything: from the configuration, else from the data folder, else made now and kept there (mode 0600).
 */
export async function loadRootKey(
  config: Pick<Config, 'dataFolder' | 'rootKey'>,
): Promise<RootKey & { readonly file?: string }> {
  if (config.rootKey) return config.rootKey
  const file = rootKeyFile(config.dataFolder)
  const kept = await readRootKey(file)
  if (kept) return { ...kept, file }
  const made = {
    accessKeyId: `SLUICE${randomBytes(10).toString('hex').toUpperCase().slice(0, 14)}`,
    secretAccessKey: randomBytes(30).toString('base64url'),
  }
  if (!(await putInPlace(file, `${JSON.stringify(made, null, 2)}\n`))) return loadRootKey(config)
  return { ...made, file }
}

/** Whole or not at all, also when the process dies on the way; false if somebody else was first. */
async function putInPlace(file: string, text: string): Promise<boolean> {
  const temporary = `${file}.${randomBytes(8).toString('hex')}.tmp`
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    await link(temporary, file)
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false
    throw error
  } finally {
    await unlink(temporary)
  }
  return true
}

/** Reads a kept root key; undefined where there is none. Throws InvalidInput for a file that is not one. */
export async function readRootKey(file: string): Promise<RootKey | undefined> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
  try {
    const { accessKeyId, secretAccessKey } = JSON.parse(text) as Partial<RootKey>
    if (typeof accessKeyId === 'string' && typeof secretAccessKey === 'string') return { accessKeyId, secretAccessKey }
  } catch {
    // Falls through to the refusal below, which says what to do.
  }
  throw new InvalidInput(`${file} does not hold a root key; move it away to have a new one made at the next start`)
}
