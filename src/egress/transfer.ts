import type { ObjectInfo } from '../cloud/index.ts'
import type { FileEntry } from '../versioning/index.ts'
import { again } from './again.ts'
import { isAsItShouldBe, isMadeOfItsParts } from './arrived.ts'
import { md5Of } from './fingerprint.ts'
import { MAX_BUFFERED_BYTES, MAX_SINGLE_PUT_BYTES } from './limits.ts'
import { objectMetadata } from './metadata.ts'
import { description, type Outgoing, type TransferParts } from './outgoing.ts'
import { transferInParts } from './transfer-parts.ts'

/** Puts one file at the target; returns its ETag there. Each request is tried again as long as that may help. */
export async function transfer(file: Outgoing, parts: TransferParts): Promise<string> {
  const { entry } = file
  const arrived = file.mayBeThere ? await findArrived(file, parts) : undefined
  if (arrived) {
    parts.onBytes(entry.size, true)
    return arrived.etag
  }
  if (entry.size > MAX_SINGLE_PUT_BYTES) return transferInParts(file, parts)
  const etag = await again(parts, () => transferWhole(entry, parts))
  parts.onBytes(entry.size)
  return etag
}

/** The object, if it is what this push would put there. */
async function findArrived({ entry, fingerprint }: Outgoing, parts: TransferParts): Promise<ObjectInfo | undefined> {
  const { store, push, ledger, content, lane } = parts
  const there = await again(parts, () => lane.run(() => store.head(entry.path)))
  if (!there || isAsItShouldBe(there, entry, objectMetadata(entry, push))) return there
  const upload = await ledger.findUpload(entry.path)
  if (upload?.fingerprint !== fingerprint) return undefined
  const read = (range: { start: number; end: number }) => content.lend(entry.content, range)
  return (await isMadeOfItsParts(there, entry, read, upload.partBytes)) ? there : undefined
}

async function transferWhole(entry: FileEntry, parts: TransferParts): Promise<string> {
  const { push, store, content, signal, throttle, lane } = parts
  const md5 = md5Of(entry)
  const options = { ...description(entry, push), ...(md5 ? { md5 } : {}), signal }
  if (entry.size <= MAX_BUFFERED_BYTES) {
    // Before the lane: what waits for its bytes must not keep others out.
    await throttle.take(entry.size, signal)
    const bytes = await content.readBytes(entry.content)
    return (await lane.run(() => store.put(entry.path, bytes, entry.size, options))).etag
  }
  const info = await lane.run(() => {
    const body = throttle.limited ? throttle.stream(content.read(entry.content), signal) : content.read(entry.content)
    return store.put(entry.path, body, entry.size, options)
  })
  return info.etag
}
