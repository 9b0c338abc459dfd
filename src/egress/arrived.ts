import { createHash } from 'node:crypto'
import type { ObjectInfo, ObjectStore } from '../cloud/index.ts'
import type { FileEntry } from '../versioning/index.ts'
import { md5Of } from './fingerprint.ts'
import { LIST_FROM_FILES, MIN_FILES_PER_LIST_PAGE } from './limits.ts'
import { CONTENT_FACT, isFact, SHA256_FACT } from './metadata.ts'
import { compareUtf8 } from './plan.ts'

/** What stores call an object that was put without a type. */
const UNTYPED: ReadonlySet<string> = new Set(['application/octet-stream', 'binary/octet-stream'])

/**
 * Whether the object is what a push would put there: its content, and how it is described. `intended` is the metadata that the
 * push would give it; which commit and job it names is not asked, as for every file that is skipped.
 */
export function isAsItShouldBe(
  info: ObjectInfo,
  entry: FileEntry,
  intended: Readonly<Record<string, string>>,
): boolean {
  if (!isDescribedSo(info, entry)) return false
  // A version of the same bytes that said more about itself.
  const { contentType } = info
  if (entry.attributes.contentType === undefined && contentType !== undefined && !UNTYPED.has(contentType)) return false
  if (Object.keys(info.metadata).some((name) => !isFact(name) && !(name in entry.attributes.metadata))) return false
  const md5 = md5Of(entry)
  if (md5 !== undefined && info.md5 !== undefined) return md5 === info.md5
  return [SHA256_FACT, CONTENT_FACT].some((name) => {
    const fact = intended[name]
    return fact !== undefined && fact === info.metadata[name]
  })
}

function isDescribedSo(info: ObjectInfo, { size, attributes: { contentType, metadata } }: FileEntry): boolean {
  if (info.size !== size) return false
  if (contentType !== undefined && info.contentType !== contentType) return false
  return Object.entries(metadata).every(([name, value]) => info.metadata[name] === value)
}

/**
 * The same for an object of parts whose store gives it the ETag that S3 does, and does not say the facts that it was put with
 * (Sluice itself keeps those of its own): the bytes are read and hashed here, which is still less than sending them.
 */
export async function isMadeOfItsParts(
  info: ObjectInfo,
  entry: FileEntry,
  read: (range: { start: number; end: number }) => AsyncIterable<Buffer>,
  partBytes: number,
): Promise<boolean> {
  const count = Math.ceil(entry.size / partBytes)
  if (!isDescribedSo(info, entry) || !info.etag.endsWith(`-${count}`)) return false
  const whole = createHash('md5')
  for (let start = 0; start < entry.size; start += partBytes) {
    const part = createHash('md5')
    for await (const piece of read({ start, end: Math.min(start + partBytes, entry.size) })) part.update(piece)
    whole.update(part.digest())
  }
  return info.etag === `${whole.digest('hex')}-${count}`
}

/**
 * Which of the files that a push which died had on their way may have arrived: each of these is worth a request of its own. Many
 * are looked for in a listing first, as long as its pages hold enough of them; what it can't tell is worth asking for. `files`
 * are in the order of their paths.
 */
export async function mayHaveArrived(
  files: readonly FileEntry[],
  list: ObjectStore['list'],
): Promise<ReadonlySet<string>> {
  const candidates = new Set<string>(files.map(({ path }) => path))
  const first = files[0]
  const last = files.at(-1)
  if (!first || !last || files.length < LIST_FROM_FILES) return candidates
  const sizes = new Map<string, number>()
  let listedTo: string = first.path
  for (let pages = Math.max(1, Math.floor(files.length / MIN_FILES_PER_LIST_PAGE)); pages > 0; pages--) {
    const page = await list({ after: listedTo })
    for (const { key, size } of page.objects) sizes.set(key, size)
    listedTo = page.next ?? last.path
    if (compareUtf8(listedTo, last.path) >= 0) break
  }
  for (const { path, size } of files.slice(1)) {
    if (compareUtf8(path, listedTo) <= 0 && sizes.get(path) !== size) candidates.delete(path)
  }
  return candidates
}
