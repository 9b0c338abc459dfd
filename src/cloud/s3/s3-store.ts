import { PassThrough, pipeline, Readable } from 'node:stream'
import {
  CopyObjectCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandOutput,
} from '@aws-sdk/client-s3'
import type { Clock } from '../../kernel/index.ts'
import { MeasuredBody, md5Hex } from '../body.ts'
import { checkRange, pageLimit } from '../key-rules.ts'
import {
  type GetRange,
  type ListOptions,
  type ListPage,
  type ObjectInfo,
  ObjectNotFound,
  type ObjectStore,
  type PartUpload,
  type PutOptions,
  type StoreError,
  StoreRejected,
  StoreUnreachable,
  type UploadOptions,
} from '../object-store.ts'
import { abortBy, bareEtag, S3Connection, type S3ConnectionOptions } from './connection.ts'
import { explain, translate } from './errors.ts'
import { decodeMetadata, encodeMetadata, onlyIf } from './headers.ts'
import { createS3Upload, resumeS3Upload } from './s3-uploads.ts'

/** Amazon: keys of one DeleteObjects. */
const MAX_DELETE_KEYS = 1000

/** How the store is reached. */
export interface S3StoreOptions extends S3ConnectionOptions {
  readonly clock: Clock
}

/** A folder of a bucket of Amazon S3 or of anything that speaks like it, through the AWS SDK. */
export function openS3Store(options: S3StoreOptions): ObjectStore {
  return new S3Store(new S3Connection(options), options.clock)
}

class S3Store implements ObjectStore {
  readonly url: string
  readonly #to: S3Connection
  readonly #clock: Clock

  constructor(connection: S3Connection, clock: Clock) {
    this.url = connection.target.url
    this.#to = connection
    this.#clock = clock
  }

  async put(key: string, body: Buffer | Readable, size: number, options: PutOptions = {}): Promise<ObjectInfo> {
    const answer = Buffer.isBuffer(body)
      ? await this.#putBuffer(key, body, size, options)
      : await this.#putStream(key, body, size, options)
    const { contentType, metadata } = options
    return {
      key,
      size,
      etag: bareEtag(answer.ETag),
      // The answer does not say; the store's own clock may differ.
      modifiedMs: this.#clock.now(),
      ...(contentType === undefined ? {} : { contentType }),
      metadata: { ...metadata },
    }
  }

  async #putBuffer(key: string, body: Buffer, size: number, options: PutOptions): Promise<PutObjectCommandOutput> {
    if (body.length !== size) throw new StoreRejected(`the body was to have ${size} bytes and has ${body.length}`)
    const input = this.#putInput(key, size, { ...options, md5: options.md5 ?? md5Hex(body) })
    const send = () => this.#to.client.send(new PutObjectCommand({ ...input, Body: body }), abortBy(options.signal))
    // A condition is tried once: had only the answer been lost, the next try would find its own object.
    return options.only ? this.#to.once(send, options.signal) : this.#to.again(send, options.signal)
  }

  async #putStream(key: string, body: Readable, size: number, options: PutOptions): Promise<PutObjectCommandOutput> {
    const failed = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal
    const measured = new MeasuredBody(size)
    try {
      const input = this.#putInput(key, size, options)
      // The SDK pipes a body without looking at its errors: a torn one would hang for ever.
      pipeline(body, measured, (error) => {
        if (error) failed.abort(error)
      })
      const answer = await this.#to.once(
        () => this.#to.client.send(new PutObjectCommand({ ...input, Body: measured }), abortBy(signal)),
        signal,
      )
      checkReceived(answer, measured.md5())
      return answer
    } finally {
      body.destroy()
      measured.destroy()
    }
  }

  #putInput(key: string, size: number, { contentType, metadata, md5, only }: PutOptions) {
    return {
      Bucket: this.#to.target.bucket,
      Key: this.#to.fullKey(key),
      ContentLength: size,
      ContentType: contentType,
      Metadata: encodeMetadata(metadata),
      ...(md5 === undefined ? {} : { ContentMD5: Buffer.from(md5, 'hex').toString('base64') }),
      ...onlyIf(only),
    }
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
    if (!(answer.Body instanceof Readable)) return Readable.from([], { objectMode: false })
    return this.#translated(answer.Body)
  }

  /** A connection that breaks in the middle of a body is told in the stores' vocabulary too. */
  #translated(body: Readable): Readable {
    const out = new PassThrough({ highWaterMark: 256 * 1024 })
    body.on('error', (error) => out.destroy(translate(error, this.#to.place) as Error))
    // The error of `body` has reached `out` by the line above; this one only ends the pair together.
    pipeline(body, out, () => undefined)
    return out
  }

  async head(key: string): Promise<ObjectInfo | undefined> {
    try {
      const answer = await this.#to.again(() =>
        this.#to.client.send(new HeadObjectCommand({ Bucket: this.#to.target.bucket, Key: this.#to.fullKey(key) })),
      )
      return {
        key,
        size: answer.ContentLength ?? 0,
        etag: bareEtag(answer.ETag),
        modifiedMs: answer.LastModified?.getTime() ?? 0,
        ...(answer.ContentType === undefined ? {} : { contentType: answer.ContentType }),
        metadata: decodeMetadata(answer.Metadata),
      }
    } catch (error) {
      if (error instanceof ObjectNotFound && error.data['what'] === 'object') return undefined
      throw error
    }
  }

  async list({ prefix = '', after = '', limit }: ListOptions = {}): Promise<ListPage> {
    const { bucket, folder } = this.#to.target
    const root = folder === '' ? '' : `${folder}/`
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
    const decode = answer.EncodingType === 'url' ? decodeKey : (key: string) => key
    const objects = (answer.Contents ?? []).map((object) => ({
      key: decode(object.Key ?? '').slice(root.length),
      size: object.Size ?? 0,
      etag: bareEtag(object.ETag),
      modifiedMs: object.LastModified?.getTime() ?? 0,
    }))
    const last = objects.at(-1)
    return answer.IsTruncated && last ? { objects, next: last.key } : { objects }
  }

  async delete(keys: readonly string[]): Promise<readonly { key: string; error: StoreError }[]> {
    const failures: { key: string; error: StoreError }[] = []
    // XML 1.0 has no way to write most control characters.
    const odd = keys.filter((key) => /\p{Cc}/u.test(key))
    const plain = keys.filter((key) => !/\p{Cc}/u.test(key))
    for (const key of odd) failures.push(...(await this.#deleteOne(key)))
    for (let at = 0; at < plain.length; at += MAX_DELETE_KEYS) {
      failures.push(...(await this.#deleteMany(plain.slice(at, at + MAX_DELETE_KEYS))))
    }
    return failures
  }

  async #deleteOne(key: string): Promise<readonly { key: string; error: StoreError }[]> {
    const input = { Bucket: this.#to.target.bucket, Key: this.#to.fullKey(key) }
    try {
      await this.#to.again(() => this.#to.client.send(new DeleteObjectCommand(input)))
      return []
    } catch (error) {
      if (error instanceof ObjectNotFound && error.data['what'] === 'object') return []
      if (error instanceof StoreRejected) return [{ key, error }]
      throw error
    }
  }

  async #deleteMany(keys: readonly string[]): Promise<readonly { key: string; error: StoreError }[]> {
    const byFullKey = new Map(keys.map((key) => [this.#to.fullKey(key), key]))
    const answer = await this.#to.again(() =>
      this.#to.client.send(
        new DeleteObjectsCommand({
          Bucket: this.#to.target.bucket,
          Delete: { Quiet: true, Objects: [...byFullKey.keys()].map((Key) => ({ Key })) },
        }),
      ),
    )
    return (answer.Errors ?? [])
      .filter(({ Code }) => Code !== 'NoSuchKey')
      .map(({ Key = '', Code = 'Unknown', Message = '' }) => ({
        key: byFullKey.get(Key) ?? Key,
        error: explain({ code: Code, message: Message, status: undefined }, this.#to.place),
      }))
  }

  async copy(from: string, to: string): Promise<ObjectInfo> {
    const { bucket } = this.#to.target
    const source = this.#to.fullKey(from).split('/').map(encodeURIComponent).join('/')
    await this.#to.again(() =>
      this.#to.client.send(
        new CopyObjectCommand({ Bucket: bucket, Key: this.#to.fullKey(to), CopySource: `${bucket}/${source}` }),
      ),
    )
    const info = await this.head(to)
    if (!info) throw new StoreUnreachable('the copy is not there', { key: to })
    return info
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
  return decodeURIComponent(key.replaceAll('+', '%20'))
}

/** The ETag of a plain object is its MD5, except under the encryption modes where Amazon says that it is not. */
function checkReceived(answer: PutObjectCommandOutput, md5: string): void {
  const etag = bareEtag(answer.ETag)
  const encryption = answer.ServerSideEncryption
  const isMd5 =
    /^[0-9a-f]{32}$/.test(etag) && (encryption === undefined || encryption === 'AES256') && !answer.SSECustomerAlgorithm
  if (isMd5 && etag !== md5) throw new StoreUnreachable('the store received other bytes than were sent', { etag, md5 })
}
