import { ObjectNotFound, type PartUpload, type UploadedPart } from '../cloud/index.ts'
import { Corrupt, MAX_PARTS, MIN_PART_BYTES } from '../kernel/index.ts'
import type { FileEntry } from '../versioning/index.ts'
import { again } from './again.ts'
import { md5Of } from './fingerprint.ts'
import { PARALLEL_PARTS, PART_BYTES, PART_GRAIN_BYTES } from './limits.ts'
import { description, type Outgoing, type TransferParts } from './outgoing.ts'

/**
 * In parts that survive a crash: the upload's id is kept before the first part is sent, and which parts are there the store
 * itself knows best.
 */
export async function transferInParts(file: Outgoing, parts: TransferParts): Promise<string> {
  let sent = 0
  let found = 0
  const counting = {
    ...parts,
    onBytes: (bytes: number, before = false) => {
      if (before) found += bytes
      else sent += bytes
      parts.onBytes(bytes, before)
    },
  }
  try {
    return await sendUpload(file, counting)
  } catch (error) {
    if (!isUploadGone(error)) throw error
    // Somebody (or a rule of the bucket) has removed the upload under way: once more from the start.
    parts.onBytes(-sent)
    parts.onBytes(-found, true)
    await parts.db.write((tx) => parts.ledger.forgetUpload(tx, file.entry.path))
    return sendUpload(file, parts)
  }
}

/** An upload under way, and how long its parts are. */
interface Begun {
  readonly upload: PartUpload
  readonly partBytes: number
}

async function sendUpload(file: Outgoing, parts: TransferParts): Promise<string> {
  const { entry } = file
  const { ledger, db } = parts
  const resumed = await again(parts, () => takeUp(file, parts))
  const begun = resumed ?? (await begin(file, parts))
  const there = resumed ? await again(parts, () => resumed.upload.listParts()) : []
  const done = await sendParts(entry, begun, there, parts)
  const info = await again(parts, () => begun.upload.complete(done))
  await db.write((tx) => ledger.forgetUpload(tx, entry.path))
  return info.etag
}

async function begin({ entry, fingerprint }: Outgoing, parts: TransferParts): Promise<Begun> {
  const { store, ledger, db, push, throttle, signal } = parts
  const partBytes = partBytesOf(entry.size, throttle.bytesPerSecond)
  const md5 = md5Of(entry)
  const options = { ...description(entry, push), ...(md5 ? { md5 } : {}), size: entry.size, partBytes, signal }
  const upload = await again(parts, () => store.createUpload(entry.path, options))
  await db.write(async (tx) => {
    await parts.renew(tx)
    await ledger.keepUpload(tx, entry.path, { uploadId: upload.uploadId, fingerprint, partBytes })
  })
  return { upload, partBytes }
}

/** What takes much longer than a second to send is better cut smaller: a part is sent at once when its time has come. */
function partBytesOf(size: number, bytesPerSecond: number): number {
  const wanted = Math.min(PART_BYTES, Math.max(MIN_PART_BYTES, bytesPerSecond))
  const grains = Math.ceil(Math.max(wanted, size / MAX_PARTS) / PART_GRAIN_BYTES)
  return grains * PART_GRAIN_BYTES
}

function isUploadGone(error: unknown): boolean {
  return error instanceof ObjectNotFound && error.data['what'] === 'upload'
}

/** The upload that was begun before, if it is of the same content and the store still has it. */
async function takeUp({ entry, fingerprint }: Outgoing, { store, ledger }: TransferParts): Promise<Begun | undefined> {
  const known = await ledger.findUpload(entry.path)
  if (!known) return undefined
  try {
    const upload = await store.resumeUpload(entry.path, known.uploadId)
    if (known.fingerprint === fingerprint) return { upload, partBytes: known.partBytes }
    await upload.abort()
  } catch (error) {
    if (!(error instanceof ObjectNotFound)) throw error
  }
  return undefined
}

/** A few at once, or one after the other where the store wants them so; the first failure ends all. */
async function sendParts(
  entry: FileEntry,
  { upload, partBytes }: Begun,
  there: readonly UploadedPart[],
  parts: TransferParts,
): Promise<readonly UploadedPart[]> {
  const failed = new AbortController()
  const within = { ...parts, signal: AbortSignal.any([parts.signal, failed.signal]) }
  const count = Math.ceil(entry.size / partBytes)
  const before = new Map(there.map((part) => [part.number, part]))
  const done: UploadedPart[] = []
  let next = 1
  const sendSome = async () => {
    for (let number = next++; number <= count && !within.signal.aborted; number = next++) {
      const start = (number - 1) * partBytes
      const range = { start, end: Math.min(start + partBytes, entry.size) }
      const known = before.get(number)
      const isThere = known?.size === range.end - range.start
      const part = isThere ? known : await sendPart(entry, upload, { number, ...range }, within)
      parts.onBytes(part.size, isThere)
      done[number - 1] = part
    }
  }
  const senders = Array.from({ length: upload.sequential ? 1 : PARALLEL_PARTS }, () =>
    sendSome().catch((error: unknown) => failed.abort(error)),
  )
  await Promise.all(senders)
  parts.signal.throwIfAborted()
  failed.signal.throwIfAborted()
  return done
}

interface Stretch {
  readonly number: number
  readonly start: number
  readonly end: number
}

function sendPart(
  entry: FileEntry,
  upload: PartUpload,
  { number, start, end }: Stretch,
  parts: TransferParts,
): Promise<UploadedPart> {
  const { memory, content, lane, throttle, signal } = parts
  return again(parts, async () => {
    // Before the lane and the memory: what waits for its bytes must not keep others out.
    await throttle.take(end - start, signal)
    // The lane before the memory: a target that bears little must not hold the memory that parts for others need.
    return lane.run(() =>
      memory.run(end - start, async (body) => {
        // Read for each try: what waits for the next one must not fill the memory.
        await readPart(content.lend(entry.content, { start, end }), body)
        return upload.putPart(number, body, signal)
      }),
    )
  })
}

async function readPart(pieces: AsyncIterable<Buffer>, into: Buffer): Promise<void> {
  let at = 0
  for await (const piece of pieces) at += piece.copy(into, at)
  if (at !== into.length) throw new Corrupt(`a part of ${into.length} bytes has only ${at}`)
}
