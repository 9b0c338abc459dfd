import { Readable } from 'node:stream'
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { translatedBody } from '../body.ts'
import { checkListed, checkRange, pageLimit, shownKey } from '../key-rules.ts'
import {
  type GetRange,
  isMissingObject,
  type ListOptions,
  type ListPage,
  type ObjectInfo,
  type ObjectStore,
  type PartUpload,
  type PutOptions,
  type StoreError,
  StoreRejected,
  type UploadOptions,
} from '../object-store.ts'
import { rootOf } from '../target.ts'
import { S3Connection, type S3ConnectionOptions } from './connection.ts'
import { copyObject } from './copies.ts'
import { deleteKeys } from './deletes.ts'
import { notAnObject, translate } from './errors.ts'
import { etagOf, surelyMd5 } from './etags.ts'
import { decodeMetadata } from './headers.ts'
import { putBuffer, putStream } from './puts.ts'
import { createS3Upload, resumeS3Upload } from './s3-uploads.ts'

/** How the store is reached. */
export type S3StoreOptions = S3ConnectionOptions

/** A folder of a bucket of Amazon S3 or of anything that speaks like it, through the AWS SDK. */
export function openS3Store(options: S3StoreOptions): ObjectStore {
  return new S3Store(new S3Connection(options))
}

class S3Store implements ObjectStore {
  readonly url: string
  readonly #to: S3Connection

  constructor(connection: S3Connection) {
    this.url = connection.target.url
    this.#to = connection
  }

  async put(key: string, body: Buffer | Readable, size: number, options: PutOptions = {}): Promise<ObjectInfo> {
    return Buffer.isBuffer(body)
      ? putBuffer(this.#to, key, body, size, options)
      : putStream(this.#to, key, body, size, options)
  }

  async get(key: string, range?: GetRange): Promise<Readable> {
    if (range) checkRange(range)
    const answer = await this.#to.again(() =>
      this.#to.client.send(
        new GetObjectCommand({
          Bucket: this.#to.target.bucket,
          Key: this.#to.fullKey(key),
          ...(range ? { Range: `bytes=${range.start}-${range.end - 1}` } : {}),
        }),
      ),
    )
    etagOf(answer.ETag, this.#to.place)
    if (!(answer.Body instanceof Readable)) return Readable.from([], { objectMode: false })
    return translatedBody(answer.Body, (error) => translate(error, this.#to.place))
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    try {
      const answer = await this.#to.again(() =>
        this.#to.client.send(new HeadObjectCommand({ Bucket: this.#to.target.bucket, Key: this.#to.fullKey(key) })),
      )
      const etag = etagOf(answer.ETag, this.#to.place)
      const md5 = surelyMd5(etag, answer, this.#to.target.bucket)
      return {
        key,
        size: answer.ContentLength ?? 0,
        etag,
        ...(md5 === undefined ? {} : { md5 }),
        modifiedMs: answer.LastModified?.getTime() ?? 0,
        ...(answer.ContentType === undefined ? {} : { contentType: answer.ContentType }),
        metadata: decodeMetadata(answer.Metadata),
      }
    } catch (error) {
      if (isMissingObject(error)) return undefined
      throw error
    }
  }

  async list({ prefix = '', after = '', limit }: ListOptions = {}): Promise<ListPage> {
    const { bucket } = this.#to.target
    const root = rootOf(this.#to.target)
    // Starting after the folder's own marker leaves it out: its key here would be empty.
    const startAfter = root + after
    const answer = await this.#to.again(() =>
      this.#to.client.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: root + prefix,
          ...(startAfter === '' ? {} : { StartAfter: startAfter }),
          MaxKeys: pageLimit(limit),
          EncodingType: 'url',
        }),
      ),
    )
    // The SDK finds an empty listing in any document, and a shorter one in a torn one.
    const listed = answer.Contents?.length ?? 0
    if (answer.IsTruncated === undefined || (answer.KeyCount ?? listed) !== listed) throw notAnObject(this.#to.place)
    const decode = answer.EncodingType === 'url' ? decodeKey : (key: string) => key
    const named = (answer.Contents ?? []).map((object) => ({ object, name: decode(object.Key ?? '') }))
    const asked = { service: this.#to.place.service, prefix: root + prefix, after: after === '' ? '' : startAfter }
    for (const { name } of named) checkListed(name, asked)
    const inside = named.filter(({ name }) => name !== root)
    const objects = inside.map(({ object, name }) => ({
      key: name.slice(root.length),
      size: object.Size ?? 0,
      // Without an MD5, though it often is: how an object is encrypted a listing does not say.
      etag: etagOf(object.ETag, this.#to.place),
      modifiedMs: object.LastModified?.getTime() ?? 0,
    }))
    const last = objects.at(-1)
    return answer.IsTruncated && last ? { objects, next: last.key } : { objects }
  }

  async delete(keys: readonly string[]): Promise<readonly { key: string; error: StoreError }[]> {
    return deleteKeys(this.#to, keys)
  }

  async copy(from: string, to: string): Promise<ObjectInfo> {
    return copyObject(this.#to, this, { from, to })
  }

  async createUpload(key: string, options: UploadOptions): Promise<PartUpload> {
    return createS3Upload(this.#to, key, options, this)
  }

  async resumeUpload(key: string, uploadId: string): Promise<PartUpload> {
    return resumeS3Upload(this.#to, key, uploadId, this)
  }

  async close(): Promise<void> {
    this.#to.client.destroy()
  }
}

function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', '%20'))
  } catch (error) {
    throw new StoreRejected(`the store lists ${shownKey(key)}, which is no key`, {}, error)
  }
}
