import { pipeline, type Readable } from 'node:stream'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { checkLength, MeasuredBody, md5Hex } from '../body.ts'
import { type ObjectInfo, type PutOptions, StoreUnreachable } from '../object-store.ts'
import { abortBy } from '../requests.ts'
import type { S3Connection } from './connection.ts'
import { type Encryption, etagOf, surelyMd5 } from './etags.ts'
import { encodeMetadata, onlyIf } from './headers.ts'
import { plainPut } from './plain-put.ts'

/** What both ways of putting get for an answer. */
interface PutAnswer extends Encryption {
  readonly ETag?: string | undefined
}

export async function putBuffer(
  to: S3Connection,
  key: string,
  body: Buffer,
  size: number,
  options: PutOptions,
): Promise<ObjectInfo> {
  checkLength(body, size)
  const md5 = options.md5 ?? md5Hex(body)
  const fullKey = to.fullKey(key)
  const send = async () => {
    const answer = await sendBuffer(to, fullKey, body, { ...options, md5 })
    return infoOf(to, key, size, options, answer, md5)
  }
  return to.written(send, options.only, options.signal)
}

async function sendBuffer(
  to: S3Connection,
  fullKey: string,
  bytes: Buffer,
  options: PutOptions & { readonly md5: string },
): Promise<PutAnswer> {
  const { client, agents, timeouts, endpoint } = to.clients
  const where = endpoint()
  if (!where) {
    const command = new PutObjectCommand({ ...putInput(to, fullKey, bytes.length, options), Body: bytes })
    return client.send(command, abortBy(options.signal))
  }
  const { credentials } = client.config
  const parts = { credentials, agents, timeouts, place: to.place, clock: to.clock }
  const headers = await plainPut(where, { fullKey, bytes, md5: options.md5 }, options, parts)
  return {
    ETag: headers.etag,
    ServerSideEncryption: oneOf(headers['x-amz-server-side-encryption']),
    SSECustomerAlgorithm: oneOf(headers['x-amz-server-side-encryption-customer-algorithm']),
  }
}

const oneOf = (header: string | string[] | undefined) => (Array.isArray(header) ? header.join() : header)

/** Tried once: only the caller has the bytes. */
export async function putStream(
  to: S3Connection,
  key: string,
  body: Readable,
  size: number,
  options: PutOptions,
): Promise<ObjectInfo> {
  const failed = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal
  const measured = new MeasuredBody(size, options.md5)
  try {
    const input = putInput(to, to.fullKey(key), size, options)
    // The SDK pipes a body without looking at its errors: a torn one would hang for ever.
    pipeline(body, measured, (error) => {
      if (error) failed.abort(error)
    })
    const send = () => to.client.send(new PutObjectCommand({ ...input, Body: measured }), abortBy(signal))
    const answer = await to.once(send, signal)
    return infoOf(to, key, size, options, answer, measured.md5())
  } finally {
    body.destroy()
    measured.destroy()
  }
}

function putInput(to: S3Connection, fullKey: string, size: number, { contentType, metadata, md5, only }: PutOptions) {
  return {
    Bucket: to.target.bucket,
    Key: fullKey,
    ContentLength: size,
    ContentType: contentType,
    Metadata: encodeMetadata(metadata),
    ...(md5 === undefined ? {} : { ContentMD5: Buffer.from(md5, 'hex').toString('base64') }),
    ...onlyIf(only),
  }
}

/** `md5` is of what was sent; where the ETag is the MD5 of what arrived, they are compared: not every store looks at Content-MD5. */
function infoOf(
  to: S3Connection,
  key: string,
  size: number,
  { contentType, metadata, md5: asked }: PutOptions,
  answer: PutAnswer,
  md5: string,
): ObjectInfo {
  const etag = etagOf(answer.ETag, to.place)
  const arrived = surelyMd5(etag, answer, to.target.bucket)
  if (arrived !== undefined && arrived !== md5) {
    throw new StoreUnreachable('the store received other bytes than were sent', { etag, md5 })
  }
  const sure = arrived ?? asked
  return {
    key,
    size,
    etag,
    ...(sure === undefined ? {} : { md5: sure }),
    // The answer does not say; the store's own clock may differ.
    modifiedMs: to.clock.now(),
    ...(contentType === undefined ? {} : { contentType }),
    metadata: { ...metadata },
  }
}
