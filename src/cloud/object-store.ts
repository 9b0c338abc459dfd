import type { Readable } from 'node:stream'
import { DomainError } from '../kernel/index.ts'

/** What a stored object looks like from outside. */
export interface ObjectInfo {
  readonly key: string
  readonly size: number
  /** The store's own validator, without quotes, opaque; changes when the content does, and may change when the same is put again. */
  readonly etag: string
  /** Hex MD5 of the whole content, where the store says one that is sure to be it. */
  readonly md5?: string
  /** Hex CRC32C (Castagnoli) of the whole content, big-endian, where the store says it. */
  readonly crc32c?: string
  readonly modifiedMs: number
  readonly contentType?: string
  /** Names of lower-case letters, digits and `-` come back as they were put, with any text; a store may write others otherwise. */
  readonly metadata: Readonly<Record<string, string>>
}

/** What goes with a body. */
export interface PutOptions {
  readonly contentType?: string
  readonly metadata?: Readonly<Record<string, string>>
  /** Hex MD5 of the whole body; the store must refuse a body that does not match. */
  readonly md5?: string
  /** Only if there is no such object, or only if the one that is there has this ETag (StorePreconditionFailed otherwise). */
  readonly only?: 'absent' | { readonly etag: string }
  /** What is given up rejects with the signal's reason. */
  readonly signal?: AbortSignal
}

/** What goes with an upload in parts. Its MD5, where it is known, is checked at the end by stores that say one of the whole. */
export interface UploadOptions extends PutOptions {
  /** Of the whole object. */
  readonly size: number
  /** Of every part but the last, which may be smaller: a multiple of 256 KiB (Google's grain), at least 5 MiB (S3's least). */
  readonly partBytes: number
}

/** `end` is exclusive. */
export interface GetRange {
  readonly start: number
  readonly end: number
}

/** One page of a listing. */
export interface ListOptions {
  readonly prefix?: string
  /** Only keys after this one. */
  readonly after?: string
  /** At most this many (default and most: 1,000). */
  readonly limit?: number
}

/** Objects in the order of their keys. */
export interface ListPage {
  readonly objects: readonly Pick<ObjectInfo, 'key' | 'size' | 'etag' | 'md5' | 'crc32c' | 'modifiedMs'>[]
  /** Set when there are more: pass it as `after`. */
  readonly next?: string
}

/** A part that the store has taken. */
export interface UploadedPart {
  readonly number: number
  readonly etag: string
  readonly size: number
}

/** A multipart upload that was begun. Nothing of it is to be seen at its key before it is completed. */
export interface PartUpload {
  /** Opaque; with the key it is all that is needed to go on after a crash. */
  readonly uploadId: string
  /** Parts have to be put one after the other in their order: the store keeps one stream and where it ends. */
  readonly sequential: boolean
  /** When it resolves, the buffer is the caller's again. */
  putPart(number: number, body: Buffer, signal?: AbortSignal): Promise<UploadedPart>
  /** Parts that the store already has, for going on after a crash. */
  listParts(): Promise<readonly UploadedPart[]>
  complete(parts: readonly UploadedPart[]): Promise<ObjectInfo>
  abort(): Promise<void>
}

/**
 * One small interface over a file system, S3, Google Cloud Storage and Azure: one bucket (or container, or folder) and a
 * prefix in it. Keys are relative to that prefix, UTF-8, `/`-separated. A put is atomic: readers see the old object or the new
 * one, whole, and it is durable when the promise resolves. Every failure is one of the errors below.
 */
export interface ObjectStore {
  /** The normal form of the URL it was opened by, without credentials. */
  readonly url: string
  put(key: string, body: Buffer | Readable, size: number, options?: PutOptions): Promise<ObjectInfo>
  /** Throws ObjectNotFound. */
  get(key: string, range?: GetRange): Promise<Readable>
  head(key: string): Promise<ObjectInfo | undefined>
  list(options?: ListOptions): Promise<ListPage>
  /** Deletes what is there; keys that are not there are no error. Returns the keys that could not be deleted, and why. */
  delete(keys: readonly string[]): Promise<readonly { key: string; error: StoreError }[]>
  /** Copies inside the store without moving bytes through this process. */
  copy(from: string, to: string): Promise<ObjectInfo>
  createUpload(key: string, options: UploadOptions): Promise<PartUpload>
  /** Takes up an upload that was begun before; throws ObjectNotFound if the store does not know it any more. */
  resumeUpload(key: string, uploadId: string): Promise<PartUpload>
  close(): Promise<void>
}

/**
 * The one vocabulary of failures of all stores. `retryable` says whether trying again later may help, `retryAfterMs` how long the
 * store asks to be left alone before that, where it says so (`data.retryAfterMs`).
 */
export abstract class StoreError extends DomainError {
  readonly retryable: boolean = false

  get retryAfterMs(): number | undefined {
    const waitMs = this.data['retryAfterMs']
    return typeof waitMs === 'number' ? waitMs : undefined
  }
}
/** No such object, upload, or bucket (`data.what`). */
export class ObjectNotFound extends StoreError {
  readonly code = 'ObjectNotFound'
}
/** Whether the object is what is not there: where its bucket or an upload is missing, that is something else. */
export function isMissingObject(error: unknown): boolean {
  return error instanceof ObjectNotFound && error.data['what'] === 'object'
}

/** The store does not let these credentials do it. */
export class StoreDenied extends StoreError {
  readonly code = 'StoreDenied'
}
/** A condition of a write did not hold. */
export class StorePreconditionFailed extends StoreError {
  readonly code = 'StorePreconditionFailed'
}
/** The store refused the request as it was made (bad name, too large, checksum mismatch). */
export class StoreRejected extends StoreError {
  readonly code = 'StoreRejected'
}
/** The store asks for fewer requests. */
export class StoreThrottled extends StoreError {
  readonly code = 'StoreThrottled'
  override readonly retryable = true
}
/** Not reached, timed out, cut off, or answered 5xx. */
export class StoreUnreachable extends StoreError {
  readonly code = 'StoreUnreachable'
  override readonly retryable = true
}
/** Out of room or quota at the target. */
export class StoreFull extends StoreError {
  readonly code = 'StoreFull'
}
