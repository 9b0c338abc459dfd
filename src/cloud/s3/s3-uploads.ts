import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListPartsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { MAX_PARTS } from '../../kernel/index.ts'
import { md5Base64Aside, multipartEtag } from '../body.ts'
import {
  type ObjectInfo,
  ObjectNotFound,
  type ObjectStore,
  type PartUpload,
  type PutOptions,
  StoreRejected,
  StoreUnreachable,
  type UploadedPart,
  type UploadOptions,
} from '../object-store.ts'
import { abortBy } from '../requests.ts'
import type { S3Connection } from './connection.ts'
import { etagOf } from './etags.ts'
import { encodeMetadata, onlyIf } from './headers.ts'

type Heads = Pick<ObjectStore, 'head'>

export async function createS3Upload(
  to: S3Connection,
  key: string,
  options: UploadOptions,
  store: Heads,
): Promise<PartUpload> {
  const answer = await to.again(
    () =>
      to.client.send(
        new CreateMultipartUploadCommand({
          Bucket: to.target.bucket,
          Key: to.fullKey(key),
          ContentType: options.contentType,
          Metadata: encodeMetadata(options.metadata),
        }),
        abortBy(options.signal),
      ),
    options.signal,
  )
  if (!answer.UploadId) throw new StoreUnreachable(`${to.place.service} began an upload without naming it`)
  return new S3Upload(to, key, encodeUploadId(options.only, answer.UploadId), store)
}

export async function resumeS3Upload(
  to: S3Connection,
  key: string,
  uploadId: string,
  store: Heads,
): Promise<PartUpload> {
  if (!decodeUploadId(uploadId)) {
    throw new ObjectNotFound('there is no such upload', { what: 'upload', uploadId })
  }
  const upload = new S3Upload(to, key, uploadId, store)
  await upload.listParts()
  return upload
}

/** S3 takes the condition when an upload is completed, so that it has to survive with the upload's id. */
function encodeUploadId(only: PutOptions['only'], id: string): string {
  if (only === undefined) return `any:${id}`
  return only === 'absent' ? `absent:${id}` : `etag=${encodeURIComponent(only.etag)}:${id}`
}

function decodeUploadId(uploadId: string): { only: PutOptions['only']; id: string } | undefined {
  const match = /^(any|absent|etag=([^:]*)):(.+)$/s.exec(uploadId)
  if (!match) return undefined
  const [, condition, etag = '', id = ''] = match
  return {
    only: condition === 'any' ? undefined : condition === 'absent' ? 'absent' : { etag: decodeURIComponent(etag) },
    id,
  }
}

class S3Upload implements PartUpload {
  readonly uploadId: string
  readonly sequential = false
  readonly #to: S3Connection
  readonly #key: string
  readonly #store: Heads
  readonly #only: PutOptions['only']
  readonly #request: { Bucket: string; Key: string; UploadId: string }

  constructor(to: S3Connection, key: string, uploadId: string, store: Heads) {
    this.uploadId = uploadId
    this.#to = to
    this.#key = key
    this.#store = store
    const { only, id } = decodeUploadId(uploadId)!
    this.#only = only
    this.#request = { Bucket: to.target.bucket, Key: to.fullKey(key), UploadId: id }
  }

  async putPart(number: number, body: Buffer, signal?: AbortSignal): Promise<UploadedPart> {
    const md5 = await md5Base64Aside(body)
    signal?.throwIfAborted()
    const command = () =>
      new UploadPartCommand({
        ...this.#request,
        PartNumber: number,
        Body: body,
        ContentLength: body.length,
        ContentMD5: md5,
      })
    const answer = await this.#to.again(() => this.#to.client.send(command(), abortBy(signal)), signal)
    return { number, etag: etagOf(answer.ETag, this.#to.place), size: body.length }
  }

  async listParts(): Promise<readonly UploadedPart[]> {
    const parts: UploadedPart[] = []
    let marker: string | undefined
    for (;;) {
      const page = await this.#to.again(() =>
        this.#to.client.send(
          new ListPartsCommand({ ...this.#request, ...(marker === undefined ? {} : { PartNumberMarker: marker }) }),
        ),
      )
      for (const part of page.Parts ?? []) {
        parts.push({ number: part.PartNumber ?? 0, etag: etagOf(part.ETag, this.#to.place), size: part.Size ?? 0 })
      }
      const next = page.NextPartNumberMarker
      if (!page.IsTruncated || next === undefined || next === marker) break
      if (!page.Parts?.length || parts.length > MAX_PARTS) {
        throw new StoreUnreachable(`${this.#to.place.service} lists parts of an upload without end`)
      }
      marker = next
    }
    return parts
  }

  async complete(parts: readonly UploadedPart[]): Promise<ObjectInfo> {
    if (parts.length === 0) throw new StoreRejected('an upload needs at least one part')
    const send = () =>
      this.#to.client.send(
        new CompleteMultipartUploadCommand({
          ...this.#request,
          ...onlyIf(this.#only),
          MultipartUpload: { Parts: parts.map(({ number, etag }) => ({ PartNumber: number, ETag: `"${etag}"` })) },
        }),
      )
    try {
      await this.#to.written(send, this.#only)
    } catch (error) {
      if (!(error instanceof ObjectNotFound)) throw error
      // It may have been completed before, and only the answer was lost.
      const done = await this.#store.head(this.#key)
      if (done?.etag !== multipartEtag(parts.map((part) => part.etag))) throw error
      return done
    }
    const info = await this.#store.head(this.#key)
    if (!info) throw new StoreUnreachable('the completed object is not there', { key: this.#key })
    return info
  }

  async abort(): Promise<void> {
    try {
      await this.#to.again(() => this.#to.client.send(new AbortMultipartUploadCommand(this.#request)))
    } catch (error) {
      // Aborted or completed before: it is gone, which is what was asked for.
      if (!(error instanceof ObjectNotFound)) throw error
    }
  }
}
