import { constants, createReadStream } from 'node:fs'
import { copyFile, mkdir, open, readdir, realpath, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { pathToFileURL } from 'node:url'
import { type Clock, randomHexId } from '../../kernel/index.ts'
import { bodyStream, MeasuredBody } from '../body.ts'
import { checkKey, checkRange, pageLimit } from '../key-rules.ts'
import {
  type GetRange,
  type ListOptions,
  type ListPage,
  type ObjectInfo,
  ObjectNotFound,
  type ObjectStore,
  type PartUpload,
  type PutOptions,
  type StoreError,
  StorePreconditionFailed,
  StoreRejected,
  type UploadOptions,
} from '../object-store.ts'
import { publish, syncFolder, unpublish } from './durable.ts'
import { translate, translated } from './errors.ts'
import { createFileUpload, openFileUpload } from './file-uploads.ts'
import { keyToPath, TEMPORARY_FOLDER, UPLOADS_FOLDER } from './keys.ts'
import { encodeFooter, type ObjectFooter, openObjectFile } from './object-file.ts'
import { inTurn } from './turns.ts'
import { walkKeys } from './walk.ts'

/** What a crash left behind goes after this; no put takes longer. */
const TEMPORARY_MAX_AGE_MS = 7 * 24 * 3_600_000
const READ_BUFFER_BYTES = 256 * 1024

/**
 * A folder as an object store; made where it is missing, unless `make` is false. Nothing is put into it before something is written, so that
 * a folder which is only looked at stays as it is. Objects are files of their own with names that keep the key (see
 * `keys.ts`), so that the folder can be moved and copied, but it is written by this driver alone, and by one process at a time:
 * what `only: { etag }` compares is compared and replaced in a queue of the key, which other processes do not stand in. (`absent`
 * is decided by the file system itself.)
 */
export async function openFileStore(
  folder: string,
  { clock, make = true }: { clock: Clock; make?: boolean },
): Promise<ObjectStore> {
  return translated(async () => {
    if (make) await makeFolder(folder)
    return new FileStore(await realpath(folder), clock)
  })
}

/** The two folders beside the objects, where writes begin; what a crash left there goes. */
async function prepareForWrites(root: string, clock: Clock): Promise<void> {
  await mkdir(join(root, TEMPORARY_FOLDER), { recursive: true })
  await mkdir(join(root, UPLOADS_FOLDER), { recursive: true })
  await syncFolder(root)
  await removeOldTemporaries(join(root, TEMPORARY_FOLDER), clock.now() - TEMPORARY_MAX_AGE_MS)
}

/** `mkdir -p`, and every folder that it made is on disk when it resolves. */
async function makeFolder(folder: string): Promise<void> {
  const first = await mkdir(folder, { recursive: true })
  if (first === undefined) return
  for (let made = folder; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}

async function removeOldTemporaries(folder: string, beforeMs: number): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name)
    const { mtimeMs } = await stat(path)
    if (mtimeMs < beforeMs) await rm(path, { force: true, recursive: true })
  }
}

class FileStore implements ObjectStore {
  readonly url: string
  readonly #root: string
  readonly #clock: Clock
  #prepared: Promise<void> | undefined

  constructor(root: string, clock: Clock) {
    this.#root = root
    this.#clock = clock
    this.url = pathToFileURL(root).href
  }

  async put(key: string, body: Buffer | Readable, size: number, options: PutOptions = {}): Promise<ObjectInfo> {
    return translated(() => this.write(key, bodyStream(body), size, options))
  }

  /** `etag`, where given, is what the object gets instead of its MD5. */
  async write(key: string, body: Readable, size: number, options: PutOptions, etag?: string): Promise<ObjectInfo> {
    try {
      checkKey(key)
      return await this.#viaTemporary(key, options.only, async (temporary) => {
        const measured = new MeasuredBody(size)
        const handle = await open(temporary, 'wx', 0o600)
        try {
          const sink = async (chunks: AsyncIterable<Buffer>) => {
            for await (const chunk of chunks) await handle.appendFile(chunk)
          }
          await pipeline(body, measured, sink, options.signal ? { signal: options.signal } : {}).catch(
            (error: unknown) => {
              options.signal?.throwIfAborted()
              throw error
            },
          )
          const md5 = measured.md5()
          if (options.md5 !== undefined && options.md5 !== md5) {
            throw new StoreRejected('the body does not match its MD5', { expected: options.md5, got: md5 })
          }
          const footer = footerOf(size, etag ?? md5, md5, options)
          await handle.appendFile(encodeFooter(footer))
          await handle.sync()
          return footer
        } finally {
          await handle.close()
        }
      })
    } finally {
      body.destroy()
    }
  }

  async get(key: string, range?: GetRange): Promise<Readable> {
    return translated(async () => {
      if (range) checkRange(range)
      const { handle, footer } = await this.#open(key)
      const start = range?.start ?? 0
      const end = Math.min(range?.end ?? footer.size, footer.size)
      if (range && start >= footer.size) {
        await handle.close()
        throw new StoreRejected(`the range starts at ${start}, the object has ${footer.size} bytes`, { ...range })
      }
      if (end === start) {
        await handle.close()
        return bodyStream(Buffer.alloc(0))
      }
      return createReadStream('', { fd: handle, start, end: end - 1, highWaterMark: READ_BUFFER_BYTES })
    })
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    try {
      return await translated(async () => {
        const { handle, footer, modifiedMs } = await this.#open(key)
        await handle.close()
        return infoOf(key, footer, modifiedMs)
      })
    } catch (error) {
      if (error instanceof ObjectNotFound) return undefined
      throw error
    }
  }

  async list(options: ListOptions = {}): Promise<ListPage> {
    return translated(async () => {
      const limit = pageLimit(options.limit)
      const objects: ObjectInfo[] = []
      for await (const key of walkKeys(this.#root, options)) {
        const info = await this.head(key)
        if (!info) continue
        if (objects.length === limit) return { objects, next: objects.at(-1)!.key }
        objects.push(info)
      }
      return { objects }
    })
  }

  async delete(keys: readonly string[]): Promise<readonly { key: string; error: StoreError }[]> {
    const failures: { key: string; error: StoreError }[] = []
    for (const key of keys) {
      try {
        checkKey(key)
        await this.#alone(key, () => unpublish(this.#root, keyToPath(key)))
      } catch (error) {
        const translatedError = translate(error)
        if (translatedError instanceof ObjectNotFound) continue
        failures.push({ key, error: translatedError as StoreError })
      }
    }
    return failures
  }

  async copy(from: string, to: string): Promise<ObjectInfo> {
    return translated(async () => {
      checkKey(to)
      return this.#viaTemporary(to, undefined, async (temporary) => {
        const { handle, footer } = await this.#open(from)
        await handle.close()
        // A clone where the file system can: no bytes are moved at all. Not a link, which would share the time of change.
        await copyFile(join(this.#root, ...keyToPath(from)), temporary, constants.COPYFILE_FICLONE)
        const copied = await open(temporary, 'r')
        try {
          await copied.sync()
        } finally {
          await copied.close()
        }
        return footer
      })
    })
  }

  async createUpload(key: string, options: UploadOptions): Promise<PartUpload> {
    checkKey(key)
    return translated(async () => {
      await this.#prepare()
      return createFileUpload(this.#root, key, options, this)
    })
  }

  async resumeUpload(key: string, uploadId: string): Promise<PartUpload> {
    checkKey(key)
    return translated(() => openFileUpload(this.#root, key, uploadId, this))
  }

  async close(): Promise<void> {}

  /** Once; after a failure (a full disk) the next write tries it again. */
  #prepare(): Promise<void> {
    this.#prepared ??= prepareForWrites(this.#root, this.#clock).catch((error: unknown) => {
      this.#prepared = undefined
      throw error
    })
    return this.#prepared
  }

  async #open(key: string) {
    checkKey(key)
    return openObjectFile(join(this.#root, ...keyToPath(key)))
  }

  /** `fill` writes and syncs the temporary file; then it becomes the object. */
  async #viaTemporary(
    key: string,
    only: PutOptions['only'],
    fill: (temporary: string) => Promise<ObjectFooter>,
  ): Promise<ObjectInfo> {
    await this.#prepare()
    const temporary = join(this.#root, TEMPORARY_FOLDER, randomHexId())
    try {
      const footer = await fill(temporary)
      const { mtimeMs } = await stat(temporary)
      await this.#alone(key, async () => {
        if (typeof only === 'object') await this.#expect(key, only.etag)
        await publish(temporary, this.#root, keyToPath(key), only === 'absent' ? 'absent' : undefined)
      })
      return infoOf(key, footer, Math.trunc(mtimeMs))
    } catch (error) {
      await rm(temporary, { force: true })
      if (only === 'absent' && (error as NodeJS.ErrnoException).code === 'EEXIST') {
        throw new StorePreconditionFailed('there is such an object already', { key }, error)
      }
      throw error
    }
  }

  /** Throws StorePreconditionFailed unless the object has this ETag now. */
  async #expect(key: string, etag: string): Promise<void> {
    const found = await this.head(key)
    if (found?.etag === etag) return
    throw new StorePreconditionFailed(
      found ? 'the object has changed' : 'there is no such object',
      found ? { key, expected: etag, found: found.etag } : { key, expected: etag },
    )
  }

  /** Whatever makes the object another one waits for its turn, so that nothing comes between a comparison and its write. */
  #alone<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    return inTurn(join(this.#root, ...keyToPath(key)), work)
  }
}

function footerOf(size: number, etag: string, md5: string, options: PutOptions): ObjectFooter {
  return {
    size,
    etag,
    md5,
    ...(options.contentType === undefined ? {} : { contentType: options.contentType }),
    metadata: { ...options.metadata },
  }
}

function infoOf(key: string, footer: ObjectFooter, modifiedMs: number): ObjectInfo {
  const { size, etag, contentType, metadata } = footer
  // Footers of before say none: the ETag of what was put at once is its MD5.
  const md5 = footer.md5 ?? (/^[0-9a-f]{32}$/.test(etag) ? etag : undefined)
  return {
    key,
    size,
    etag,
    ...(md5 === undefined ? {} : { md5 }),
    modifiedMs,
    ...(contentType === undefined ? {} : { contentType }),
    metadata,
  }
}
