import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { dirname, resolve, sep } from 'node:path'
import { pipeline as chain, type Readable, Transform, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { errorMessage, randomHexId } from '../kernel/index.ts'
import type { ApiClient, Download, Upload } from './client.ts'
import { CliError } from './errors.ts'
import { Progress } from './progress.ts'
import type { Session } from './session.ts'

/** Twice as fast as the default of 64 KiB on large files. */
const READ_BYTES = 512 * 1024

/** Read once before it is sent, so that the signature covers the content. */
export async function sha256OfFile(path: string): Promise<string> {
  const digest = createHash('sha256')
  try {
    await pipeline(createReadStream(path, { highWaterMark: READ_BYTES }), digest)
  } catch (cause) {
    throw new CliError(`${path} can't be read: ${errorMessage(cause)}`, { cause })
  }
  return digest.digest('hex')
}

/** Transfers at once: the server makes the writes that come together durable together. */
const AT_ONCE = 8

/** Works on several items at once; after a failure none is begun any more, and it is thrown when all have ended. */
export async function eachAtOnce<T>(
  items: AsyncIterable<T> | Iterable<T>,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const running = new Set<Promise<void>>()
  const failures: unknown[] = []
  try {
    for await (const item of items) {
      const one: Promise<void> = work(item)
        .catch((error: unknown) => void failures.push(error))
        .finally(() => running.delete(one))
      running.add(one)
      if (running.size >= AT_ONCE) await Promise.race(running)
      if (failures.length > 0) break
    }
  } finally {
    await Promise.all(running)
  }
  if (failures.length > 0) throw failures[0]
}

/** Sends a stream and checks that the server has stored just these bytes. */
export async function uploadStream<T extends { etag: string }>(
  api: ApiClient,
  path: string,
  upload: Upload,
  label: string,
  progress: Progress,
): Promise<T> {
  const md5 = createHash('md5')
  const counted = counting(upload.stream, (piece) => {
    md5.update(piece)
    progress.add(piece.length)
  })
  const written = await api.upload<T>(path, { ...upload, stream: counted })
  if (written.etag === md5.digest('hex')) return written
  throw new CliError(`${label} was changed on its way: the server has other bytes than were sent; send it again`)
}

/** To standard output; without a progress bar if that is the terminal, since it would be drawn into the bytes. */
export async function downloadTo(session: Session, api: ApiClient, source: string, label: string): Promise<void> {
  const download = await api.download(source)
  const progress = session.stdout.isTTY ? undefined : progressOf(session, label, download.size)
  try {
    await receive(download, progress, session.stdout, false)
  } finally {
    progress?.end()
  }
}

/** To a local file, which is there whole or not at all. */
export async function saveFile(download: Download, target: string, progress: Progress): Promise<void> {
  const temporary = `${target}.${randomHexId().slice(0, 8)}.part`
  try {
    await mkdir(dirname(target), { recursive: true })
    await receive(download, progress, createWriteStream(temporary, { flags: 'wx' }), true)
    await rename(temporary, target)
  } catch (error) {
    download.stream.destroy()
    await rm(temporary, { force: true })
    throw error instanceof CliError ? error : new CliError(`${target} can't be written: ${errorMessage(error)}`)
  }
}

/** Where a path of a repo goes below a folder. Paths that would lead out of it (`../`) are refused. */
export function localPath(folder: string, path: string): string {
  const root = resolve(folder)
  const target = resolve(root, path)
  if (target.startsWith(root.endsWith(sep) ? root : root + sep)) return target
  throw new CliError(`${path} would be written outside of ${folder}: get it alone, with -o FILE`)
}

async function receive(
  { stream, size, etag }: Download,
  progress: Progress | undefined,
  target: Writable,
  end: boolean,
): Promise<void> {
  const md5 = createHash('md5')
  let received = 0
  const counted = counting(stream, (piece) => {
    md5.update(piece)
    received += piece.length
    progress?.add(piece.length)
  })
  try {
    await pipeline(counted, target, { end })
  } catch (cause) {
    throw new CliError(`the transfer broke off after ${received} of ${size} bytes: ${errorMessage(cause)}`, { cause })
  }
  // Multipart objects (`…-N`) have no MD5 of the whole to compare with.
  const whole = received === size && (etag.includes('-') || md5.digest('hex') === etag)
  if (!whole) throw new CliError(`what came is not the file: ${received} of ${size} bytes; get it again`)
}

/** `total` in bytes; undefined where nobody knows. */
export function progressOf(session: Session, label: string, total: number | undefined): Progress {
  return new Progress({ stream: session.stderr, now: session.now, label, total })
}

/** The same stream, looked at on its way. Destroying it destroys the source. */
export function counting(stream: Readable, see: (piece: Buffer) => void): Readable {
  const meter = new Transform({
    transform(piece: Buffer, _encoding, done) {
      see(piece)
      done(null, piece)
    },
  })
  // A failure of the source reaches whoever reads the meter: there is nothing more to say here.
  return chain(stream, meter, () => {})
}
