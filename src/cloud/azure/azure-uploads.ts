import { randomBytes } from 'node:crypto'
import type { BlockBlobClient } from '@azure/storage-blob'
import { MAX_PARTS } from '../../kernel/index.ts'
import { md5Base64Aside } from '../body.ts'
import {
  isMissingObject,
  type ObjectInfo,
  ObjectNotFound,
  type ObjectStore,
  type PartUpload,
  StorePreconditionFailed,
  StoreRejected,
  StoreUnreachable,
  type UploadedPart,
  type UploadOptions,
} from '../object-store.ts'
import { abortBy } from '../requests.ts'
import { type AzureConnection, onlyIf } from './connection.ts'
import { encodeMetadata } from './names.ts'
import { blockId, blockNumber, decodeUploadId, encodeUploadId, noUpload, type UploadFacts } from './upload-id.ts'

type Heads = Pick<ObjectStore, 'head'>

/** The content of the mark: an upload that is open, and one that was given up. Listings of blocks tell them apart by their size. */
const OPEN = Buffer.from('1')
const GIVEN_UP = Buffer.from('00')
/** What a block of an upload that was given up is replaced by, since no call throws a block away. */
const NOTHING = Buffer.from('0')
const AT_ONCE = 8

export async function createAzureUpload(
  to: AzureConnection,
  key: string,
  options: UploadOptions,
  store: Heads,
): Promise<PartUpload> {
  const { contentType, metadata, only, signal } = options
  const nonce = randomBytes(16).toString('hex')
  const uploadId = encodeUploadId(to.root + key, {
    nonce,
    ...(contentType === undefined ? {} : { contentType }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(only === undefined ? {} : { only }),
  })
  const upload = new AzureUpload(to, key, uploadId, store)
  await upload.mark(OPEN, signal)
  return upload
}

export async function resumeAzureUpload(
  to: AzureConnection,
  key: string,
  uploadId: string,
  store: Heads,
): Promise<PartUpload> {
  const upload = new AzureUpload(to, key, uploadId, store)
  await upload.listParts()
  return upload
}

/**
 * The blocks of an upload wait at the blob, named by the upload, until their list is committed. A mark among them says that the
 * upload is open: what resumes it finds it there. Any other write of the blob throws all waiting blocks away, the service does so itself
 * a week after the last one, and no call does: a given-up upload has its mark turned and its blocks replaced by a byte.
 */
class AzureUpload implements PartUpload {
  readonly uploadId: string
  readonly sequential = false
  readonly #to: AzureConnection
  readonly #key: string
  readonly #store: Heads
  readonly #blob: BlockBlobClient
  readonly #facts: UploadFacts

  constructor(to: AzureConnection, key: string, uploadId: string, store: Heads) {
    this.#facts = decodeUploadId(to.root + key, uploadId)
    this.uploadId = uploadId
    this.#to = to
    this.#key = key
    this.#store = store
    this.#blob = to.blob(key)
  }

  async mark(content: Buffer, signal?: AbortSignal): Promise<void> {
    await this.#stage(0, content, signal)
  }

  async putPart(number: number, body: Buffer, signal?: AbortSignal): Promise<UploadedPart> {
    if (!Number.isInteger(number) || number < 1 || number > MAX_PARTS) {
      throw new StoreRejected(`parts have numbers from 1 to ${MAX_PARTS}, not ${number}`)
    }
    if (body.length === 0) throw new StoreRejected('Azure takes no part without content')
    await this.#stage(number, body, signal)
    return { number, etag: blockId(this.#facts.nonce, number), size: body.length }
  }

  async #stage(number: number, body: Buffer, signal?: AbortSignal): Promise<void> {
    const id = blockId(this.#facts.nonce, number)
    const transactionalContentMD5 = Buffer.from(await md5Base64Aside(body), 'base64')
    await this.#to.again(
      () => this.#blob.stageBlock(id, body, body.length, { transactionalContentMD5, ...abortBy(signal) }),
      signal,
    )
  }

  async listParts(): Promise<readonly UploadedPart[]> {
    const waiting = await this.#waiting()
    if (waiting.get(0) === OPEN.length) return this.#parts(waiting)
    if (waiting.has(0)) throw noUpload(this.uploadId)
    // It may have been completed, and only the answer was lost.
    const committed = this.#own((await this.#blocks('committed'))?.committedBlocks)
    if (committed.size > 0) return this.#parts(committed)
    // What broke its condition has thrown its blocks away: that is what its end will say.
    if (await this.#isConditionBroken()) return []
    throw noUpload(this.uploadId)
  }

  #parts(blocks: ReadonlyMap<number, number>): readonly UploadedPart[] {
    return [...blocks]
      .filter(([number]) => number > 0)
      .map(([number, size]) => ({ number, etag: blockId(this.#facts.nonce, number), size }))
      .sort((a, b) => a.number - b.number)
  }

  async #isConditionBroken(): Promise<boolean> {
    const { only } = this.#facts
    if (only === undefined) return false
    const there = await this.#store.head(this.#key)
    return only === 'absent' ? there !== undefined : there?.etag !== only.etag
  }

  /** The upload's own blocks that wait, by number, with their sizes. */
  async #waiting(): Promise<Map<number, number>> {
    const list = await this.#blocks('uncommitted')
    return this.#own(list?.uncommittedBlocks)
  }

  #own(blocks: readonly { name: string; size: number }[] = []): Map<number, number> {
    const own = new Map<number, number>()
    for (const { name, size } of blocks) {
      const number = blockNumber(this.#facts.nonce, name)
      if (number !== undefined) own.set(number, size)
    }
    return own
  }

  async #blocks(kind: 'uncommitted' | 'committed') {
    try {
      return await this.#to.again(() => this.#blob.getBlockList(kind))
    } catch (error) {
      // No blob, and nothing that waits to become one.
      if (isMissingObject(error)) return undefined
      throw error
    }
  }

  async complete(parts: readonly UploadedPart[]): Promise<ObjectInfo> {
    if (parts.length === 0) throw new StoreRejected('an upload needs at least one part')
    const waiting = await this.#waiting()
    if (waiting.get(0) !== OPEN.length) {
      const done = waiting.has(0) ? undefined : await this.#committedBefore(parts)
      if (done) return done
      if (!waiting.has(0) && (await this.#isConditionBroken())) {
        throw new StorePreconditionFailed('the object was written since the upload began', { key: this.#key })
      }
      throw noUpload(this.uploadId)
    }
    this.#check(parts, waiting)
    await this.#commit(parts)
    const info = await this.#store.head(this.#key)
    if (!info) throw new StoreUnreachable('the completed object is not there', { key: this.#key })
    const size = sizeOf(parts)
    if (info.size !== size) {
      throw new StoreUnreachable(`the completed object has ${info.size} bytes instead of ${size}`, { key: this.#key })
    }
    return info
  }

  #check(parts: readonly UploadedPart[], waiting: ReadonlyMap<number, number>): void {
    for (const [index, { number, etag, size }] of parts.entries()) {
      if (index > 0 && number <= parts[index - 1]!.number) throw new StoreRejected('parts must come in their order')
      if (waiting.get(number) !== size || etag !== blockId(this.#facts.nonce, number)) {
        throw new StoreRejected(`part ${number} was not put as it is named (${size} bytes)`, { number })
      }
    }
  }

  async #commit(parts: readonly UploadedPart[]): Promise<void> {
    const { contentType, metadata, only, nonce } = this.#facts
    // Without an MD5: the service would keep whatever it is told here, and compare it with nothing.
    const send = () =>
      this.#blob.commitBlockList(
        parts.map(({ number }) => blockId(nonce, number)),
        {
          ...onlyIf(only),
          metadata: encodeMetadata(metadata),
          blobHTTPHeaders: contentType === undefined ? {} : { blobContentType: contentType },
        },
      )
    try {
      await (only ? this.#to.once(send) : this.#to.again(send))
    } catch (error) {
      // Only the answer may have been lost: then a second try finds no blocks that wait.
      const done = error instanceof StoreRejected || error instanceof ObjectNotFound || only !== undefined
      if (!done || !(await this.#committedBefore(parts))) throw error
    }
  }

  /** The object, if it is made of just these parts of this upload. */
  async #committedBefore(parts: readonly UploadedPart[]): Promise<ObjectInfo | undefined> {
    const list = await this.#blocks('committed')
    const committed = list?.committedBlocks ?? []
    const same =
      committed.length === parts.length &&
      parts.every(({ number, size }, index) => {
        const block = committed[index]!
        return block.name === blockId(this.#facts.nonce, number) && block.size === size
      })
    return same ? this.#store.head(this.#key) : undefined
  }

  async abort(): Promise<void> {
    const waiting = await this.#waiting()
    if (waiting.size === 0) return
    if (waiting.get(0) === OPEN.length) await this.mark(GIVEN_UP)
    const full = [...waiting].filter(([number, size]) => number > 0 && size > NOTHING.length)
    for (let at = 0; at < full.length; at += AT_ONCE) {
      await Promise.all(full.slice(at, at + AT_ONCE).map(([number]) => this.#stage(number, NOTHING)))
    }
  }
}

function sizeOf(parts: readonly UploadedPart[]): number {
  return parts.reduce((sum, { size }) => sum + size, 0)
}
