import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { RequestUrl, Verified } from '../../kernel/index.ts'
import type { Path } from '../../versioning/index.ts'
import type { Bucket } from './addressing.ts'
import { S3Error } from './codes.ts'

/** A request whose signature was verified, taken apart once. Everything that acts on it reads this. */
export interface S3Request {
  readonly id: string
  readonly method: string
  /** Decoded; what error documents call the resource. */
  readonly path: string
  /** '' for the service itself. */
  readonly bucketName: string
  /** '' for a bucket. */
  readonly keyText: string
  readonly query: ReadonlyMap<string, string>
  /** Lower-case names. A presigned URL may carry `x-amz-` headers in its query: they are here too. */
  readonly headers: RequestHeaders
}

export type RequestHeaders = Readonly<Record<string, string | undefined>>

/** What an operation on a bucket reads. */
export interface BucketRequest extends S3Request {
  readonly bucket: Bucket
}

/** What an operation on an object reads. */
export interface ObjectRequest extends BucketRequest {
  readonly key: Path
}

const presignParameter =
  /^X-Amz-(?:Algorithm|Credential|Date|Expires|SignedHeaders|Signature|Security-Token|Content-Sha256)$/
const hoistedHeader = /^x-amz-[a-z0-9_.-]+$/
const emptyQuery: ReadonlyMap<string, string> = new Map()

/** `hostBucket`: what the host names, where the bucket is not the first part of the path. */
export function buildRequest(
  id: string,
  message: IncomingMessage,
  url: RequestUrl,
  verified: Verified,
  hostBucket?: string,
): S3Request {
  const { bucketName, keyText } =
    hostBucket === undefined ? splitPath(url.path) : { bucketName: hostBucket, keyText: url.path.slice(1) }
  const method = message.method ?? 'GET'
  // Values of headers that can come several times are arrays only for set-cookie, which is no request header.
  const headers = message.headers as RequestHeaders & IncomingHttpHeaders
  if (url.query.length === 0) {
    return { id, method, path: url.path, bucketName, keyText, query: emptyQuery, headers }
  }
  const query = new Map<string, string>()
  let hoisted: Record<string, string | undefined> | undefined
  for (const [name, value] of url.query) {
    if (verified.presigned) {
      if (presignParameter.test(name)) continue
      if (hoistedHeader.test(name)) {
        hoisted ??= Object.assign(Object.create(null), headers) as Record<string, string | undefined>
        if (hoisted[name] !== undefined) throw twice(name)
        hoisted[name] = headerFromQuery(name, value)
        continue
      }
    }
    if (query.has(name)) throw twice(name)
    query.set(name, value)
  }
  return { id, method, path: url.path, bucketName, keyText, query, headers: hoisted ?? headers }
}

export function splitPath(path: string): { bucketName: string; keyText: string } {
  const slash = path.indexOf('/', 1)
  if (slash < 0) return { bucketName: path.slice(1), keyText: '' }
  return { bucketName: path.slice(1, slash), keyText: path.slice(slash + 1) }
}

function headerFromQuery(name: string, value: string): string {
  // What Node's parser refuses in a header must not get in by the query.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value)) {
    throw new S3Error('InvalidArgument', `the parameter ${name} holds a control character`, { ArgumentName: name })
  }
  // Headers come as Latin-1 of their bytes; so does this one from here on.
  return Buffer.from(value, 'utf8').toString('latin1')
}

function twice(name: string): S3Error {
  return new S3Error('InvalidArgument', `the query parameter ${name} is there twice`, { ArgumentName: name })
}
