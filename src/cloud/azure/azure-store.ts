import { pipeline, type Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BlobGetPropertiesResponse, BlockBlobUploadResponse } from '@azure/storage-blob'
import { type Clock, MIB } from '../../kernel/index.ts'
import { checkLength, MeasuredBody, md5Hex as md5Of, translatedBody } from '../body.ts'
import { deleteEach } from '../delete-each.ts'
import { checkRange } from '../key-rules.ts'
import {
  type GetRange,
  isMissingObject,
  type ListOptions,
  type ListPage,
  type ObjectInfo,
  type ObjectStore,
  type PartUpload,
  type PutOptions,
  StoreError,
  StoreRejected,
  StoreUnreachable,
  type UploadOptions,
} from '../object-store.ts'
import { abortBy } from '../requests.ts'
import { createAzureUpload, resumeAzureUpload } from './azure-uploads.ts'
import { AzureConnection, type AzureConnectionOptions, bareEtag, md5Bytes, md5Hex, onlyIf } from './connection.ts'
import { translate } from './errors.ts'
import { AzureListing, isFolder } from './listing.ts'
import { decodeMetadata, encodeMetadata } from './names.ts'

/** Azure: the most that one Put Blob takes. */
const MAX_PUT_BYTES = 5000 * MIB
/** A copy within an account is a matter of moments, but the service only promises to have begun it. */
const COPY_POLL_MS = 250
const COPY_TIMEOUT_MS = 10 * 60_000

/** A folder of a container of Azure Blob Storage, or of what speaks like it, through Azure's library. */
export function openAzureStore(options: AzureConnectionOptions): ObjectStore {
  return new AzureStore(new AzureConnection(options), options.clock)
}

class AzureStore implements ObjectStore {
  readonly url: string
  readonly #to: AzureConnection
  readonly #clock: Clock
  readonly #listing: AzureListing

  constructor(connection: AzureConnection, clock: Clock) {
    this.url = connection.target.url
    this.#to = connection
    this.#clock = clock
    this.#listing = new AzureListing(connection)
  }

  async put(key: string, body: Buffer | Readable, size: number, options: PutOptions = {}): Promise<ObjectInfo> {
    if (size > MAX_PUT_BYTES) throw new StoreRejected(`Azure takes ${MAX_PUT_BYTES} bytes at once, not ${size}`)
    const { answer, md5 } = Buffer.isBuffer(body)
      ? await this.#putBuffer(key, body, size, options)
      : await this.#putStream(key, body, size, options)
    const { contentType, metadata } = options
    return {
      key,
      size,
      etag: bareEtag(answer.etag),
      md5,
      modifiedMs: answer.lastModified?.getTime() ?? this.#clock.now(),
      ...(contentType === undefined ? {} : { contentType }),
      metadata: { ...metadata },
    }
  }

  async #putBuffer(key: string, body: Buffer, size: number, options: PutOptions) {
    checkLength(body, size)
    const blob = this.#to.blob(key)
    const md5 = options.md5 ?? md5Of(body)
    const send = () => blob.upload(body, size, uploadOptions({ ...options, md5 }))
    // A condition is tried once: had only the answer been lost, the next try would find its own object.
    const answer = await (options.only ? this.#to.once(send, options.signal) : this.#to.again(send, options.signal))
    return { answer, md5 }
  }

  async #putStream(key: string, body: Readable, size: number, options: PutOptions) {
    const failed = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal
    const measured = new MeasuredBody(size, options.md5)
    try {
      const blob = this.#to.blob(key)
      // The reason of a torn body is told to the caller; without it the request would only be seen to break.
      pipeline(body, measured, (error) => {
        if (error) failed.abort(error)
      })
      const answer = await this.#to.once(
        () => blob.upload(() => measured, size, uploadOptions({ ...options, signal })),
        signal,
      )
      const md5 = measured.md5()
      checkReceived(answer, md5)
      return { answer, md5 }
    } finally {
      body.destroy()
      measured.destroy()
    }
  }

  async get(key: string, range?: GetRange): Promise<Readable> {
    if (range) checkRange(range)
    const blob = this.#to.blob(key)
    const [offset, count] = range ? [range.start, range.end - range.start] : [0, undefined]
    const answer = await this.#to.again(() => blob.download(offset, count, { maxRetryRequests: 0 }))
    const body = answer.readableStreamBody as Readable | undefined
    if (!body) throw new StoreUnreachable(`${this.#to.place.service} answered without a body`, { key })
    if (range && answer.contentLength === 0) {
      body.destroy()
      throw new StoreRejected(`the object ends before byte ${range.start}`, { key })
    }
    return translatedBody(body, (error) => translate(error, this.#to.place))
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    const answer = await this.#properties(key)
    return answer && !isFolder(answer) ? infoOf(key, answer) : undefined
  }

  async #properties(key: string): Promise<BlobGetPropertiesResponse | undefined> {
    const blob = this.#to.blob(key)
    try {
      return await this.#to.again(() => blob.getProperties())
    } catch (error) {
      if (isMissingObject(error)) return undefined
      throw error
    }
  }

  async list(options: ListOptions = {}): Promise<ListPage> {
    return this.#listing.page(options)
  }

  async delete(keys: readonly string[]): Promise<readonly { key: string; error: StoreError }[]> {
    return deleteEach(keys, (key) => this.#deleteOne(key))
  }

  /** Throws what is not this one object's matter: the next would fail like it. */
  async #deleteOne(key: string): Promise<StoreError | undefined> {
    try {
      const blob = this.#to.blob(key)
      await this.#to.again(() => blob.delete({ deleteSnapshots: 'include' }))
      return undefined
    } catch (error) {
      if (isMissingObject(error)) return undefined
      if (error instanceof StoreError && (error instanceof StoreRejected || isOfObject(error))) return error
      throw error
    }
  }

  async copy(from: string, to: string): Promise<ObjectInfo> {
    const source = this.#to.blob(from)
    const target = this.#to.blob(to)
    const poller = await this.#to.again(() =>
      // The URL carries the signature where there is one; by the key, a source of the same account needs none.
      target.beginCopyFromURL(source.url, { intervalInMs: COPY_POLL_MS }),
    )
    const deadline = performance.now() + COPY_TIMEOUT_MS
    while (!poller.isDone()) {
      if (performance.now() > deadline) throw new StoreUnreachable('the copy does not come to an end', { key: to })
      await sleep(COPY_POLL_MS)
      await this.#to.once(() => poller.poll())
    }
    const info = await this.head(to)
    if (!info) throw new StoreUnreachable('the copy is not there', { key: to })
    return info
  }

  async createUpload(key: string, options: UploadOptions): Promise<PartUpload> {
    return createAzureUpload(this.#to, key, options, this)
  }

  async resumeUpload(key: string, uploadId: string): Promise<PartUpload> {
    return resumeAzureUpload(this.#to, key, uploadId, this)
  }

  async close(): Promise<void> {
    this.#to.close()
  }
}

function uploadOptions({ contentType, metadata, md5, only, signal }: PutOptions) {
  return {
    ...abortBy(signal),
    ...onlyIf(only),
    metadata: encodeMetadata(metadata),
    // Compared with what arrives; the service computes the one it keeps.
    ...(md5 === undefined ? {} : { transactionalContentMD5: md5Bytes(md5) }),
    blobHTTPHeaders: contentType === undefined ? {} : { blobContentType: contentType },
  }
}

function infoOf(key: string, answer: BlobGetPropertiesResponse): ObjectInfo {
  return {
    key,
    size: answer.contentLength ?? 0,
    etag: bareEtag(answer.etag),
    ...md5Hex(answer.contentMD5),
    modifiedMs: answer.lastModified?.getTime() ?? 0,
    ...(answer.contentType === undefined ? {} : { contentType: answer.contentType }),
    metadata: decodeMetadata(answer.metadata),
  }
}

/** Leases and policies that protect one object. */
function isOfObject(error: StoreError): boolean {
  return error.data['what'] === 'object'
}

function checkReceived(answer: BlockBlobUploadResponse, md5: string): void {
  const received = md5Hex(answer.contentMD5).md5
  if (received !== undefined && received !== md5) {
    throw new StoreUnreachable('the store received other bytes than were sent', { received, md5 })
  }
}
