import type { Difference, FileEntry } from '../versioning/index.ts'
import { fingerprintOf } from './fingerprint.ts'

/** What the ledger knows of a path below the target folder. */
export interface Known {
  readonly path: string
  readonly fingerprint: string
  readonly size: number
  /** The target holds it; else it was only on its way. */
  readonly sent: boolean
  /** It was surely written by us once; else the object there may be somebody else's. */
  readonly owned: boolean
  /** A comparison has found that it is not there as it should be; nothing has been sent since. */
  readonly doubted?: boolean
  /** The ETag that ours has, or will have, there. */
  readonly etag: string | undefined
  /** Hex, of the whole content, where it is known. */
  readonly md5: string | undefined
}

export type Step =
  /** `known`: what the ledger had on the path; unsent and with this fingerprint, it may have arrived all the same. */
  | { readonly kind: 'upload'; readonly entry: FileEntry; readonly fingerprint: string; readonly known?: Known }
  | { readonly kind: 'skip'; readonly entry: FileEntry }
  | { readonly kind: 'delete'; readonly known: Known }

export type Upload = Extract<Step, { kind: 'upload' }>

/** A folder marker, as some tools put beside files: it means nothing outside of listings. */
export function isMarker(entry: { readonly path: string; readonly size: number }): boolean {
  return entry.size === 0 && entry.path.endsWith('/')
}

/** `_SUCCESS` tells readers that all is there, so that it goes last. */
export function isPublishedLast(entry: { readonly path: string }): boolean {
  return entry.path === '_SUCCESS' || entry.path.endsWith('/_SUCCESS')
}

/**
 * What makes the target hold these files and nothing else that the ledger knows: a merge of the two, both in UTF-8 byte order,
 * in constant memory.
 */
export async function* planWhole(files: AsyncIterable<FileEntry>, ledger: AsyncIterable<Known>): AsyncGenerator<Step> {
  const wanted = withoutMarkers(files)[Symbol.asyncIterator]()
  const known = ledger[Symbol.asyncIterator]()
  let file = await wanted.next()
  let row = await known.next()
  while (!file.done || !row.done) {
    const order = file.done ? 1 : row.done ? -1 : compareUtf8(file.value.path, row.value.path)
    if (order > 0 && !row.done) yield { kind: 'delete', known: row.value }
    else if (!file.done) yield stepFor(file.value, order === 0 && !row.done ? row.value : undefined)
    if (order <= 0) file = await wanted.next()
    if (order >= 0) row = await known.next()
  }
}

/**
 * The same where the ledger was in step with the tree before: only the differences are looked at. `find` gives what the ledger
 * knows of some paths.
 */
export async function* planChanges(
  differences: AsyncIterable<Difference>,
  find: (paths: readonly string[]) => Promise<ReadonlyMap<string, Known>>,
  batchSize: number,
): AsyncGenerator<Step> {
  for await (const batch of inBatches(differences, batchSize)) {
    const known = await find(batch.map((difference) => difference.path))
    for (const difference of batch) {
      const row = known.get(difference.path)
      const after = difference.kind === 'deleted' || isMarker(difference.after) ? undefined : difference.after
      if (after) yield stepFor(after, row)
      else if (row) yield { kind: 'delete', known: row }
    }
  }
}

/** What is to be done for a file, by what the ledger knows of its path. */
export function stepFor(entry: FileEntry, known: Known | undefined): Step {
  const fingerprint = fingerprintOf(entry)
  if (known?.sent && known.fingerprint === fingerprint) return { kind: 'skip', entry }
  return { kind: 'upload', entry, fingerprint, ...(known ? { known } : {}) }
}

async function* withoutMarkers(files: AsyncIterable<FileEntry>): AsyncGenerator<FileEntry> {
  for await (const file of files) if (!isMarker(file)) yield file
}

export async function* inBatches<Item>(items: AsyncIterable<Item>, size: number): AsyncGenerator<Item[]> {
  let batch: Item[] = []
  for await (const item of items) {
    batch.push(item)
    if (batch.length < size) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

export function compareUtf8(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}
