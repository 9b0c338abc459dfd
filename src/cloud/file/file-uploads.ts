import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { Corrupt, errnoOf, randomHexId } from '../../kernel/index.ts'
import { md5Hex, multipartEtag } from '../body.ts'
import {
  type ObjectInfo,
  ObjectNotFound,
  type PartUpload,
  type PutOptions,
  StoreRejected,
  type UploadedPart,
  type UploadOptions,
} from '../object-store.ts'
import { syncFolder } from './durable.ts'
import { translated } from './errors.ts'
import { UPLOADS_FOLDER } from './keys.ts'

/** What the uploads need of the store: an atomic write with an ETag of their own. */
interface Writer {
  write(key: string, body: Readable, size: number, options: PutOptions, etag?: string): Promise<ObjectInfo>
}

/** What stands in an upload's folder beside its parts. */
interface UploadNote {
  readonly key: string
  readonly options: Pick<PutOptions, 'contentType' | 'metadata' | 'only' | 'md5'>
}

const NOTE = 'upload.json'
const READ_BYTES = 256 * 1024

export async function createFileUpload(
  root: string,
  key: string,
  options: UploadOptions,
  writer: Writer,
): Promise<PartUpload> {
  const uploadId = randomHexId()
  const folder = join(root, UPLOADS_FOLDER, uploadId)
  const { contentType, metadata, only, md5 } = options
  const note: UploadNote = {
    key,
    options: {
      ...(contentType === undefined ? {} : { contentType }),
      ...(metadata ? { metadata } : {}),
      ...(only ? { only } : {}),
      ...(md5 === undefined ? {} : { md5 }),
    },
  }
  await mkdir(folder)
  await writeDurably(folder, NOTE, Buffer.from(JSON.stringify(note)))
  await syncFolder(join(root, UPLOADS_FOLDER))
  return new FileUpload(folder, uploadId, note, writer)
}

/** Throws ObjectNotFound if there is no such upload, or it is of another key. */
export async function openFileUpload(root: string, key: string, uploadId: string, writer: Writer): Promise<PartUpload> {
  if (!/^[0-9a-f]{32}$/.test(uploadId)) throw noSuchUpload(uploadId)
  const folder = join(root, UPLOADS_FOLDER, uploadId)
  const note = await readNote(folder, uploadId)
  if (note.key !== key) throw noSuchUpload(uploadId)
  return new FileUpload(folder, uploadId, note, writer)
}

async function readNote(folder: string, uploadId: string): Promise<UploadNote> {
  try {
    return JSON.parse(await readFile(join(folder, NOTE), 'utf8')) as UploadNote
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw noSuchUpload(uploadId, error)
    if (error instanceof SyntaxError) throw new Corrupt('the note of an upload is not JSON', { uploadId }, error)
    throw error
  }
}

function noSuchUpload(uploadId: string, cause?: unknown): ObjectNotFound {
  return new ObjectNotFound('there is no such upload', { what: 'upload', uploadId }, cause)
}

async function writeDurably(folder: string, name: string, bytes: Buffer): Promise<void> {
  const temporary = join(folder, `.${randomHexId()}`)
  const handle = await open(temporary, 'wx', 0o600)
  try {
    await handle.writeFile(bytes)
    await handle.sync()
  } finally {
    await handle.close()
  }
  await rename(temporary, join(folder, name))
  await syncFolder(folder)
}

class FileUpload implements PartUpload {
  readonly uploadId: string
  readonly sequential = false
  readonly #folder: string
  readonly #note: UploadNote
  readonly #writer: Writer

  constructor(folder: string, uploadId: string, note: UploadNote, writer: Writer) {
    this.uploadId = uploadId
    this.#folder = folder
    this.#note = note
    this.#writer = writer
  }

  async putPart(number: number, body: Buffer, signal?: AbortSignal): Promise<UploadedPart> {
    signal?.throwIfAborted()
    return this.#withUpload(async () => {
      const etag = md5Hex(body)
      // The name says size and ETag, so that listing needs no reading; a part sent again replaces the one before.
      const before = (await this.#parts()).filter((part) => part.number === number)
      signal?.throwIfAborted()
      await writeDurably(this.#folder, partName({ number, etag, size: body.length }), body)
      for (const old of before) if (old.etag !== etag) await rm(join(this.#folder, partName(old)), { force: true })
      return { number, etag, size: body.length }
    })
  }

  async listParts(): Promise<readonly UploadedPart[]> {
    return this.#withUpload(async () => {
      await readNote(this.#folder, this.uploadId)
      return this.#parts()
    })
  }

  async complete(parts: readonly UploadedPart[]): Promise<ObjectInfo> {
    return this.#withUpload(async () => {
      await readNote(this.#folder, this.uploadId)
      await this.#check(parts)
      const size = parts.reduce((sum, part) => sum + part.size, 0)
      const etag = multipartEtag(parts.map((part) => part.etag))
      const body = Readable.from(this.#bytes(parts), { objectMode: false })
      const info = await this.#writer.write(this.#note.key, body, size, this.#note.options, etag)
      await rm(this.#folder, { recursive: true, force: true })
      return info
    })
  }

  async abort(): Promise<void> {
    await translated(() => rm(this.#folder, { recursive: true, force: true }))
  }

  async #check(parts: readonly UploadedPart[]): Promise<void> {
    const stored = new Map((await this.#parts()).map((part) => [part.number, part]))
    if (parts.length === 0) throw new StoreRejected('an upload needs at least one part')
    parts.forEach((part, index) => {
      if (stored.get(part.number)?.etag !== part.etag) {
        throw new StoreRejected(`part ${part.number} was not uploaded, or has another ETag`, { part: part.number })
      }
      if (index > 0 && parts[index - 1]!.number >= part.number) throw new StoreRejected('the parts are not in order')
    })
  }

  async #parts(): Promise<UploadedPart[]> {
    const names = await readdir(this.#folder)
    return names.flatMap((name) => parsePartName(name) ?? []).sort((a, b) => a.number - b.number)
  }

  async *#bytes(parts: readonly UploadedPart[]): AsyncGenerator<Buffer> {
    for (const part of parts) {
      const handle = await open(join(this.#folder, partName(part)), 'r')
      yield* handle.createReadStream({ highWaterMark: READ_BYTES }) as AsyncIterable<Buffer>
    }
  }

  async #withUpload<Result>(work: () => Promise<Result>): Promise<Result> {
    return translated(async () => {
      try {
        return await work()
      } catch (error) {
        if (errnoOf(error) === 'ENOENT') throw noSuchUpload(this.uploadId, error)
        throw error
      }
    })
  }
}

function partName({ number, etag, size }: UploadedPart): string {
  return `part-${number}-${size}-${etag}`
}

function parsePartName(name: string): UploadedPart | undefined {
  const match = /^part-(\d+)-(\d+)-([0-9a-f]{32})$/.exec(name)
  return match ? { number: Number(match[1]), size: Number(match[2]), etag: match[3]! } : undefined
}
