import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, link, mkdir, open, readFile, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Corrupt, errnoOf } from './errors.ts'
import { randomHexId } from './ids.ts'

/** Keeps short secrets in the database unreadable to whoever has only the database. */
export interface SecretBox {
  /** Encrypts and authenticates (AES-256-GCM); what is sealed opens only with the same `context`. */
  seal(secret: string, context: Buffer): Buffer
  /** Throws Corrupt that says `what` does not open: sealed under another key or context, or changed. */
  open(sealed: Buffer, context: Buffer, what: string): string
  /** As `open`; undefined where it does not open. For what comes from outside and may be anything. */
  tryOpen(sealed: Buffer, context: Buffer): string | undefined
  /** A key of 32 bytes for another purpose (HKDF-SHA-256): the same as long as the file is. */
  derive(purpose: string): Buffer
}

const KEY_FILE = 'secrets.key'
const KEY_BYTES = 32
/** NIST SP 800-38D: 96 bits, random, never used twice under one key. */
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** Opens the box whose key is a file of mode 0600 in `keyFolder`, made on first use. Throws Corrupt for a file that is no key. */
export async function openSecretBox(keyFolder: string): Promise<SecretBox> {
  const key = await readOrMakeKey(join(keyFolder, KEY_FILE))
  return {
    seal: (secret, context) => seal(key, secret, context),
    open: (sealed, context, what) => {
      try {
        return unseal(key, sealed, context)
      } catch (error) {
        throw new Corrupt(`${what} does not open with the key in ${KEY_FILE}; delete it and create it again`, {}, error)
      }
    },
    tryOpen: (sealed, context) => {
      try {
        return unseal(key, sealed, context)
      } catch {
        // It was not sealed here, which is the answer.
        return undefined
      }
    },
    derive: (purpose) => Buffer.from(hkdfSync('sha256', key, '', purpose, KEY_BYTES)),
  }
}

function seal(key: Buffer, secret: string, context: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(context)
  const text = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), text])
}

function unseal(key: Buffer, sealed: Buffer, context: Buffer): string {
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
  decipher.setAAD(context).setAuthTag(sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
  return Buffer.concat([decipher.update(sealed.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()]).toString('utf8')
}

async function readOrMakeKey(path: string): Promise<Buffer> {
  await mkdir(dirname(path), { recursive: true })
  const key = (await readIfThere(path)) ?? (await makeKey(path))
  if (key.length !== KEY_BYTES) {
    // Making another would lose what was sealed under the right one.
    throw new Corrupt(
      `${KEY_FILE} has ${key.length} bytes instead of ${KEY_BYTES}: restore it from a backup, or delete it, create the secrets again ` +
        'and rotate the keys of all users',
    )
  }
  return key
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

/** Linked into place whole and synced, so that a crash never leaves half a key; who comes second takes the first one's. */
async function makeKey(path: string): Promise<Buffer> {
  const temporary = `${path}.${randomHexId()}`
  const handle = await open(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600)
  try {
    await writeKey(handle)
    await link(temporary, path)
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  } finally {
    await unlink(temporary)
  }
  await syncFolder(dirname(path))
  return readFile(path)
}

async function writeKey(handle: FileHandle): Promise<void> {
  try {
    await handle.writeFile(randomBytes(KEY_BYTES))
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** What was made in a folder is there after a loss of power only when the folder is synced too. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
