import { buffer } from 'node:stream/consumers'
import {
  ObjectNotFound,
  type ObjectStore,
  type PartUpload,
  type RetryPolicy,
  retrying,
  type UploadedPart,
} from '../cloud/index.ts'
import { type Database, MAX_PARTS, type Transaction } from '../kernel/index.ts'
import type { ContentStore, FileEntry } from '../versioning/index.ts'
import { md5Of } from './fingerprint.ts'
import type { Ledger } from './ledger.ts'
import type { Limiter } from './limiter.ts'
import { MAX_BUFFERED_BYTES, MAX_SINGLE_PUT_BYTES, PART_BYTES } from './limits.ts'
import { objectMetadata } from './metadata.ts'
import type { ClaimedPush } from './pushes.ts'

/** What a transfer works with. */
export interface TransferParts {
  readonly push: ClaimedPush
  readonly store: ObjectStore
  readonly content: ContentStore
  readonly ledger: Ledger
  readonly db: Database
  /** Bytes of parts in memory. */
  readonly memory: Limiter
  readonly retry: RetryPolicy
  readonly random: () => number
  readonly signal: AbortSignal
  /** Throws StalePush if the push is not this attempt's any more. */
  readonly renew: (tx: Transaction) => Promise<void>
  /** Bytes that have arrived. */
  readonly onBytes: (bytes: number) => void
}

/** Puts one file at the target; returns its ETag there. Each request is tried again as long as that may help. */
export async function transfer(entry: FileEntry, fingerprint: string, parts: TransferParts): Promise<string> {
  if (entry.size > MAX_SINGLE_PUT_BYTES) return transferInParts(entry, fingerprint, parts)
  const etag = await again(parts, () => transferWhole(entry, parts))
  parts.onBytes(entry.size)
  return etag
}

function again<Result>({ retry, random, signal }: TransferParts, work: () => Promise<Result>): Promise<Result> {
  return retrying(work, retry, { random, signal })
}

async function transferWhole(entry: FileEntry, { push, store, content, signal }: TransferParts): Promise<string> {
  const md5 = md5Of(entry)
  const body = entry.size <= MAX_BUFFERED_BYTES ? await content.readBytes(entry.content) : content.read(entry.content)
  const info = await store.put(entry.path, body, entry.size, {
    ...description(entry, push),
    ...(md5 ? { md5 } : {}),
    signal,
  })
  return info.etag
}

/**
 * In parts that survive a crash: the upload's id is kept before the first part is sent, and which parts are there the store
 * itself knows best.
 */
async function transferInParts(entry: FileEntry, fingerprint: string, parts: TransferParts): Promise<string> {
  let counted = 0
  const counting = {
    ...parts,
    onBytes: (bytes: number) => {
      counted += bytes
      parts.onBytes(bytes)
    },
  }
  try {
    return await sendUpload(entry, fingerprint, counting)
  } catch (error) {
    if (!isUploadGone(error)) throw error
    // Somebody (or a rule of the bucket) has removed the upload under way: once more from the start.
    parts.onBytes(-counted)
    await parts.db.write((tx) => parts.ledger.forgetUpload(tx, entry.path))
    return sendUpload(entry, fingerprint, parts)
  }
}

async function sendUpload(entry: FileEntry, fingerprint: string, parts: TransferParts): Promise<string> {
  const { store, ledger, db, push } = parts
  const partBytes = Math.max(PART_BYTES, Math.ceil(entry.size / MAX_PARTS))
  const resumed = await again(parts, () => takeUp(entry, fingerprint, partBytes, parts))
  const options = { ...description(entry, push), size: entry.size, partBytes }
  const upload = resumed ?? (await again(parts, () => store.createUpload(entry.path, options)))
  if (!resumed) {
    await db.write(async (tx) => {
      await parts.renew(tx)
      await ledger.keepUpload(tx, entry.path, { uploadId: upload.uploadId, fingerprint, partBytes })
    })
  }
  const there = resumed ? await again(parts, () => resumed.listParts()) : []
  const done = await sendParts(entry, partBytes, upload, there, parts)
  const info = await again(parts, () => upload.complete(done))
  await db.write((tx) => ledger.forgetUpload(tx, entry.path))
  return info.etag
}

function isUploadGone(error: unknown): boolean {
  return error instanceof ObjectNotFound && error.data['what'] === 'upload'
}

/** The upload that was begun before, if it is of the same content and the store still has it. */
async function takeUp(
  entry: FileEntry,
  fingerprint: string,
  partBytes: number,
  { store, ledger }: TransferParts,
): Promise<PartUpload | undefined> {
  const known = await ledger.findUpload(entry.path)
  if (!known) return undefined
  try {
    const upload = await store.resumeUpload(entry.path, known.uploadId)
    if (known.fingerprint === fingerprint && known.partBytes === partBytes) return upload
    await upload.abort()
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error
  }
  return undefined
}

async function sendParts(
  entry: FileEntry,
  partBytes: number,
  upload: PartUpload,
  there: readonly UploadedPart[],
  { content, memory, retry, random, signal, onBytes }: TransferParts,
): Promise<readonly UploadedPart[]> {
  const failed = new AbortController()
  const both = AbortSignal.any([signal, failed.signal])
  const numbers = Array.from({ length: Math.ceil(entry.size / partBytes) }, (_, index) => index + 1)
  const send = async (number: number): Promise<UploadedPart> => {
    const start = (number - 1) * partBytes
    const end = Math.min(start + partBytes, entry.size)
    const before = there.find((part) => part.number === number && part.size === end - start)
    if (before) {
      onBytes(before.size)
      return before
    }
    return memory.run(partBytes, async () => {
      both.throwIfAborted()
      const bytes = await buffer(content.read(entry.content, { start, end }))
      const part = await retrying(() => upload.putPart(number, bytes, both), retry, { random, signal: both })
      onBytes(part.size)
      return part
    })
  }
  const results = await Promise.allSettled(
    numbers.map((number) =>
      send(number).catch((error: unknown) => {
        failed.abort(error)
        throw error
      }),
    ),
  )
  signal.throwIfAborted()
  failed.signal.throwIfAborted()
  return results.map((result) => (result as PromiseFulfilledResult<UploadedPart>).value)
}

function description(entry: FileEntry, push: ClaimedPush) {
  const { contentType } = entry.attributes
  return { ...(contentType === undefined ? {} : { contentType }), metadata: objectMetadata(entry, push) }
}
