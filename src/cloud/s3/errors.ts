import { errnoOf, errorMessage } from '../../kernel/index.ts'
import {
  ObjectNotFound,
  StoreDenied,
  StoreError,
  StoreFull,
  StorePreconditionFailed,
  StoreRejected,
  StoreThrottled,
  StoreUnreachable,
} from '../object-store.ts'

/** What messages say about the place that failed. */
export interface Place {
  readonly bucket: string
  /** `Amazon S3`, or the endpoint. */
  readonly service: string
  readonly accessKeyId: string | undefined
}

interface Answer {
  readonly code: string
  readonly message: string
  readonly status: number | undefined
}

type Explain = (place: Place, answer: Answer, cause: unknown) => StoreError

const said = ({ code, message }: Answer) => (message && message !== code ? `${code}: ${message}` : code)

const noBucket: Explain = (place, _, cause) =>
  new ObjectNotFound(`${place.service} has no bucket ${place.bucket}; create it first`, { what: 'bucket' }, cause)
const noObject: Explain = (_, __, cause) => new ObjectNotFound('there is no such object', { what: 'object' }, cause)
const noUpload: Explain = (_, __, cause) => new ObjectNotFound('there is no such upload', { what: 'upload' }, cause)
const precondition: Explain = (_, answer, cause) => new StorePreconditionFailed(said(answer), {}, cause)
const throttled: Explain = (place, answer, cause) =>
  new StoreThrottled(`${place.service} takes no more requests now (${said(answer)})`, {}, cause)
const full: Explain = (place, answer, cause) => new StoreFull(`${place.service} is full (${said(answer)})`, {}, cause)
const unreachable: Explain = (place, answer, cause) =>
  new StoreUnreachable(`${place.service} failed (${said(answer)})`, {}, cause)
const rejected: Explain = (place, answer, cause) =>
  new StoreRejected(`${place.service} refused the request (${said(answer)})`, {}, cause)
const denied: Explain = (place, answer, cause) =>
  new StoreDenied(
    `${place.service} does not let ${place.accessKeyId ? `the access key ${place.accessKeyId}` : 'this host'} do that in bucket ${place.bucket} (${said(answer)})`,
    { bucket: place.bucket },
    cause,
  )
const unknownKey: Explain = (place, _, cause) =>
  new StoreDenied(
    `${place.service} does not know the access key ${place.accessKeyId ?? ''}: check the credentials`,
    {},
    cause,
  )
const wrongSecret: Explain = (place, _, cause) =>
  new StoreDenied(
    `${place.service} says that the secret key of ${place.accessKeyId ?? 'this host'} is wrong: check the credentials`,
    {},
    cause,
  )
const skewed: Explain = (place, _, cause) =>
  new StoreDenied(
    `the clocks of this machine and ${place.service} differ by more than it allows: set the clock`,
    {},
    cause,
  )
const elsewhere: Explain = (place, answer, cause) => {
  const region = regionOf(cause)
  return new StoreRejected(
    region
      ? `bucket ${place.bucket} is in region ${region}: name it with the credentials (--region ${region})`
      : `bucket ${place.bucket} is in another region: name it with the credentials (--region …; ${said(answer)})`,
    {},
    cause,
  )
}

/** Amazon says in a header where a bucket is. */
function regionOf(error: unknown): string | undefined {
  const headers = (error as { $response?: { headers?: Record<string, string> } } | undefined)?.$response?.headers
  const region = headers?.['x-amz-bucket-region']
  return region && /^[a-z0-9-]{1,64}$/.test(region) ? region : undefined
}

/** What S3 and its relatives answer, by error code. */
const byCode: Readonly<Record<string, Explain>> = {
  NoSuchBucket: noBucket,
  NoSuchKey: noObject,
  NoSuchUpload: noUpload,
  PreconditionFailed: precondition,
  ConditionalRequestConflict: precondition,
  InvalidAccessKeyId: unknownKey,
  SignatureDoesNotMatch: wrongSecret,
  RequestTimeTooSkewed: skewed,
  SlowDown: throttled,
  Throttling: throttled,
  ThrottlingException: throttled,
  RequestLimitExceeded: throttled,
  TooManyRequests: throttled,
  TooManyRequestsException: throttled,
  StorageFull: full,
  InsufficientStorage: full,
  QuotaExceeded: full,
  XMinioStorageFull: full,
  XMinioAdminBucketQuotaExceeded: full,
  RequestTimeout: unreachable,
  IncompleteBody: unreachable,
  OperationAborted: unreachable,
  PermanentRedirect: elsewhere,
  AuthorizationHeaderMalformed: elsewhere,
  IllegalLocationConstraintException: elsewhere,
}

const byStatus: Readonly<Record<number, Explain>> = {
  301: elsewhere,
  401: denied,
  403: denied,
  404: noObject,
  412: precondition,
  429: throttled,
  503: throttled,
  507: full,
}

const networkErrors = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EAI_NODATA',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'ERR_STREAM_PREMATURE_CLOSE',
])

/** Turns what the SDK throws into the stores' vocabulary; what is neither the store's nor the network's doing passes as it is. */
export function translate(error: unknown, place: Place): unknown {
  if (error instanceof StoreError) return error
  const errno = errnoOf(error)
  if (errno && networkErrors.has(errno)) {
    return new StoreUnreachable(`${place.service} can not be reached (${errno})`, {}, error)
  }
  if (errno && /^(CERT_|ERR_TLS|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/.test(errno)) {
    return new StoreRejected(`the TLS certificate of ${place.service} is not trusted (${errno})`, {}, error)
  }
  if (errno === 'EPROTO' || errno?.startsWith('ERR_SSL')) {
    return new StoreRejected(
      `${place.service} does not speak TLS; if it is meant to be reached by http, name it so with the credentials (--endpoint http://…)`,
      {},
      error,
    )
  }
  return translateAnswer(error, place)
}

function translateAnswer(error: unknown, place: Place): unknown {
  if (!(error instanceof Error)) return error
  if (error.name === 'TimeoutError') return new StoreUnreachable(`${place.service} did not answer in time`, {}, error)
  if (error.name === 'CredentialsProviderError') {
    return new StoreDenied('this host has no cloud identity: name a secret', {}, error)
  }
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
  if (status === undefined) return error
  return explain({ code: error.name, message: errorMessage(error), status }, place, error)
}

/** For the entries of a bulk delete, which come as code and message. */
export function explain(answer: Answer, place: Place, cause?: unknown): StoreError {
  const { code, status } = answer
  const known = Object.hasOwn(byCode, code) ? byCode[code] : undefined
  const explainIt =
    // Sluice's own way to say it.
    (status === 503 && /storage is full/.test(answer.message) ? full : undefined) ??
    known ??
    (status !== undefined ? byStatus[status] : undefined) ??
    (/AccessDenied|Forbidden|Expired|InvalidToken/i.test(code) ? denied : undefined) ??
    ((status ?? 500) >= 500 || status === 200 ? unreachable : rejected)
  return explainIt(place, answer, cause)
}
