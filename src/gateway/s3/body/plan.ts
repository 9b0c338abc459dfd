import { MAX_PUT_BYTES, type PayloadKind } from '../../../kernel/index.ts'
import { type ChecksumClaim, readChecksumClaim, readTrailerNames } from '../checksums.ts'
import { S3Error } from '../codes.ts'
import type { RequestHeaders } from '../request.ts'
import type { DecoderOptions } from './decoder.ts'

/** What a request says about its body: how it is framed, how long it is, and everything that has to be true of it. */
export interface BodyPlan {
  /** Of the content, without framing; undefined only where no length is asked for. */
  readonly bytes: number | undefined
  readonly chunked: DecoderOptions | undefined
  readonly md5: Buffer | undefined
  /** The hash that the signature covers. */
  readonly sha256: Buffer | undefined
  readonly checksum: ChecksumClaim | undefined
}

/**
 * Of a `document`: small, may come in HTTP chunks. Of a `note`: the same, and its checksum headers are about something else (the object
 * that a Complete makes). Throws S3Error for what can't be meant.
 */
export function planBody(
  headers: RequestHeaders,
  payload: PayloadKind,
  kind: 'object' | 'document' | 'note',
): BodyPlan {
  const checksum = kind === 'note' ? undefined : readChecksumClaim(headers)
  const common = { md5: readContentMd5(headers), checksum }
  if (payload.kind === 'chunked') {
    const bytes = readLength(headers, 'x-amz-decoded-content-length')
    if (bytes === undefined) throw missingLength('x-amz-decoded-content-length')
    const trailers = readTrailerNames(headers)
    if (!payload.trailer && trailers.length > 0) {
      throw new S3Error('InvalidRequest', 'x-amz-trailer needs an x-amz-content-sha256 that ends with -TRAILER')
    }
    return {
      ...common,
      bytes,
      sha256: undefined,
      chunked: {
        decodedBytes: bytes,
        ...(payload.chain ? { chain: payload.chain } : {}),
        ...(payload.trailer ? { trailers } : {}),
      },
    }
  }
  if (checksum?.trailer !== undefined) {
    throw new S3Error('InvalidRequest', 'x-amz-trailer needs an x-amz-content-sha256 that ends with -TRAILER')
  }
  const bytes = readLength(headers, 'content-length')
  if (bytes === undefined && (kind === 'object' || headers['transfer-encoding'] === undefined)) {
    if (kind === 'object') throw missingLength('Content-Length')
    return plan(common, 0, payload)
  }
  return plan(common, bytes, payload)
}

function plan(common: Pick<BodyPlan, 'md5' | 'checksum'>, bytes: number | undefined, payload: PayloadKind): BodyPlan {
  return {
    ...common,
    bytes,
    chunked: undefined,
    sha256: payload.kind === 'sha256' ? Buffer.from(payload.hex, 'hex') : undefined,
  }
}

function readLength(headers: RequestHeaders, name: string): number | undefined {
  const text = headers[name]
  if (text === undefined) return undefined
  if (!/^\d{1,15}$/.test(text))
    throw new S3Error('InvalidArgument', `${name} must be a number of bytes`, { ArgumentName: name })
  const bytes = Number(text)
  if (bytes > MAX_PUT_BYTES) {
    throw new S3Error(
      'EntityTooLarge',
      'Your proposed upload exceeds the maximum allowed size: use a multipart upload',
      {
        ProposedSize: text,
        MaxSizeAllowed: String(MAX_PUT_BYTES),
      },
    )
  }
  return bytes
}

function missingLength(name: string): S3Error {
  return new S3Error('MissingContentLength', `You must provide the ${name} HTTP header.`)
}

function readContentMd5(headers: RequestHeaders): Buffer | undefined {
  const text = headers['content-md5']
  if (text === undefined) return undefined
  const value = Buffer.from(text, 'base64')
  if (value.length !== 16 || value.toString('base64') !== text) {
    throw new S3Error('InvalidDigest', 'The Content-MD5 you specified was invalid.', {
      'Content-MD5': text.slice(0, 100),
    })
  }
  return value
}
