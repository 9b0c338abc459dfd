import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  UploadPartCopyCommand,
} from '@aws-sdk/client-s3'
import { MAX_PARTS, MAX_PUT_BYTES, MIB } from '../../kernel/index.ts'
import { type ObjectInfo, ObjectNotFound, type ObjectStore, StoreUnreachable } from '../object-store.ts'
import type { S3Connection } from './connection.ts'
import { etagOf } from './etags.ts'
import { encodeMetadata } from './headers.ts'

/** How much of an object one request copies. */
export interface CopySizes {
  /** Amazon: 5 GiB by CopyObject. */
  readonly wholeBytes: number
  readonly partBytes: number
}

/** Parts of which one takes a store some seconds; more of them run into the bound of 10,000. */
const DEFAULT_SIZES: CopySizes = { wholeBytes: MAX_PUT_BYTES, partBytes: 512 * MIB }

/** Copies inside the store: at once, or part by part what is larger than one request copies. */
export async function copyObject(
  to: S3Connection,
  store: Pick<ObjectStore, 'head'>,
  keys: { readonly from: string; readonly to: string },
  sizes: CopySizes = DEFAULT_SIZES,
): Promise<ObjectInfo> {
  const source = await store.head(keys.from)
  if (!source) throw new ObjectNotFound('there is no such object', { what: 'object', key: keys.from })
  const path = to.fullKey(keys.from).split('/').map(encodeURIComponent).join('/')
  const from = { CopySource: `${to.target.bucket}/${path}`, CopySourceIfMatch: `"${source.etag}"` }
  const at = { Bucket: to.target.bucket, Key: to.fullKey(keys.to) }
  if (source.size <= sizes.wholeBytes) {
    await to.again(() => to.client.send(new CopyObjectCommand({ ...at, ...from })))
  } else {
    await copyInParts(to, source, from, at, sizes.partBytes)
  }
  const info = await store.head(keys.to)
  if (!info) throw new StoreUnreachable('the copy is not there', { key: keys.to })
  return info
}

/** Each part is taken of the same version of the source, or the whole fails. */
async function copyInParts(
  to: S3Connection,
  source: ObjectInfo,
  from: { readonly CopySource: string; readonly CopySourceIfMatch: string },
  at: { readonly Bucket: string; readonly Key: string },
  leastPartBytes: number,
): Promise<void> {
  const { client } = to
  // Other than CopyObject, this does not take along how the source is described.
  const described = { ContentType: source.contentType, Metadata: encodeMetadata(source.metadata) }
  const { UploadId } = await to.again(() => client.send(new CreateMultipartUploadCommand({ ...at, ...described })))
  if (!UploadId) throw new StoreUnreachable(`${to.place.service} began an upload without naming it`)
  const upload = { ...at, UploadId }
  try {
    const partBytes = Math.max(leastPartBytes, Math.ceil(source.size / MAX_PARTS))
    const parts: { PartNumber: number; ETag: string }[] = []
    for (let start = 0; start < source.size; start += partBytes) {
      const end = Math.min(start + partBytes, source.size)
      const part = { ...upload, ...from, PartNumber: parts.length + 1, CopySourceRange: `bytes=${start}-${end - 1}` }
      const answer = await to.again(() => client.send(new UploadPartCopyCommand(part)))
      parts.push({ PartNumber: part.PartNumber, ETag: `"${etagOf(answer.CopyPartResult?.ETag, to.place)}"` })
    }
    const complete = { ...upload, MultipartUpload: { Parts: parts } }
    await to.again(() => client.send(new CompleteMultipartUploadCommand(complete)))
  } catch (error) {
    await to
      .again(() => client.send(new AbortMultipartUploadCommand(upload)))
      .catch((left: unknown) => {
        throw new AggregateError([error, left], 'a copy failed, and its parts could not be removed')
      })
    throw error
  }
}
