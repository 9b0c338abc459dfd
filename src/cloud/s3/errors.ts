import { withoutEchoes } from '../echoes.ts'
import { commonExplanations, type Explain } from '../explain.ts'
import { networkError } from '../network-errors.ts'
import { ObjectNotFound, StoreDenied, StoreError, StoreFull, StoreRejected, StoreUnreachable } from '../object-store.ts'
import { type Answer, answerOf, isPage, pauseOf, redirectOf, regionOf, said } from './answers.ts'

/** What messages say about the place that failed. */
export interface Place {
  readonly bucket: string
  /** `Amazon S3`, or the endpoint. */
  readonly service: string
  readonly accessKeyId: string | undefined
}

type ExplainS3 = Explain<Place, Answer>

const { noObject, precondition, throttled, unreachable, rejected } = commonExplanations<Place, Answer>(said, pauseOf)

const noBucket: ExplainS3 = (place, _, cause) =>
  new ObjectNotFound(`${place.service} has no bucket ${place.bucket}; create it first`, { what: 'bucket' }, cause)
const noUpload: ExplainS3 = (_, __, cause) => new ObjectNotFound('there is no such upload', { what: 'upload' }, cause)
const full: ExplainS3 = (place, answer, cause) =>
  new StoreFull(`${place.service} is full (${said(answer)}): make room or raise the quota there`, {}, cause)
const denied: ExplainS3 = (place, answer, cause) =>
  new StoreDenied(
    `${place.service} does not let ${place.accessKeyId ? `the access key ${place.accessKeyId}` : 'this host'} do that in bucket ${place.bucket} (${said(answer)})`,
    { bucket: place.bucket },
    cause,
  )
const unknownKey: ExplainS3 = (place, _, cause) =>
  new StoreDenied(
    `${place.service} does not know the access key ${place.accessKeyId ?? ''}: check the credentials`,
    {},
    cause,
  )
const wrongSecret: ExplainS3 = (place, _, cause) =>
  new StoreDenied(
    `${place.service} says that the secret key of ${place.accessKeyId ?? 'this host'} is wrong: check the credentials`,
    {},
    cause,
  )
const expired: ExplainS3 = (place, answer, cause) =>
  new StoreDenied(
    `the credentials for ${place.service} have expired or are not complete (${said(answer)}): renew them`,
    {},
    cause,
  )
const skewed: ExplainS3 = (place, _, cause) =>
  new StoreDenied(
    `the clocks of this machine and ${place.service} differ by more than it allows: set the clock`,
    {},
    cause,
  )
const elsewhere: ExplainS3 = (place, answer, cause) => {
  const region = regionOf(answer)
  const redirect = redirectOf(answer)
  if (region === undefined && redirect !== undefined && answer.code === '') return redirected(place, redirect, cause)
  return new StoreRejected(
    region
      ? `bucket ${place.bucket} is in region ${region}: name it with the credentials (--region ${region})`
      : `bucket ${place.bucket} is in another region: name it with the credentials (--region …; ${said(answer)})`,
    {},
    cause,
  )
}
const redirected = (place: Place, to: string, cause: unknown) =>
  new StoreRejected(
    `${place.service} sends requests on to ${to}, which is not followed: name the right endpoint with the credentials (--endpoint …)`,
    {},
    cause,
  )
const notS3: ExplainS3 = (place, answer, cause) =>
  new StoreRejected(
    `${place.service} does not answer as S3 does (${said(answer)}): check the endpoint, and what stands between`,
    {},
    cause,
  )

/** What S3 and its relatives answer, by error code. */
const byCode: Readonly<Record<string, ExplainS3>> = {
  NoSuchBucket: noBucket,
  NoSuchKey: noObject,
  NoSuchUpload: noUpload,
  PreconditionFailed: precondition,
  ConditionalRequestConflict: precondition,
  InvalidAccessKeyId: unknownKey,
  SignatureDoesNotMatch: wrongSecret,
  RequestTimeTooSkewed: skewed,
  ExpiredToken: expired,
  ExpiredTokenException: expired,
  TokenRefreshRequired: expired,
  InvalidToken: expired,
  SlowDown: throttled,
  SlowDownRead: throttled,
  SlowDownWrite: throttled,
  Throttling: throttled,
  ThrottlingException: throttled,
  RequestLimitExceeded: throttled,
  TooManyRequests: throttled,
  TooManyRequestsException: throttled,
  BandwidthLimitExceeded: throttled,
  StorageFull: full,
  InsufficientStorage: full,
  QuotaExceeded: full,
  QuotaExceededException: full,
  XMinioStorageFull: full,
  XMinioAdminBucketQuotaExceeded: full,
  RequestTimeout: unreachable,
  InternalError: unreachable,
  IncompleteBody: unreachable,
  OperationAborted: unreachable,
  PermanentRedirect: elsewhere,
  TemporaryRedirect: elsewhere,
  AuthorizationHeaderMalformed: elsewhere,
  IllegalLocationConstraintException: elsewhere,
}

const byStatus: Readonly<Record<number, ExplainS3>> = {
  301: elsewhere,
  302: elsewhere,
  307: elsewhere,
  308: elsewhere,
  401: denied,
  403: denied,
  404: noObject,
  412: precondition,
  429: throttled,
  501: rejected,
  503: throttled,
  507: full,
}

/** Turns what the SDK throws into the stores' vocabulary; what is neither the store's nor the network's doing passes as it is. */
export function translate(error: unknown, place: Place): unknown {
  if (error instanceof StoreError) return error
  const failed = networkError(error, place.service)
  if (failed) return failed
  return translateAnswer(error, place)
}

function translateAnswer(error: unknown, place: Place): unknown {
  if (!(error instanceof Error)) return error
  if (error.name === 'TimeoutError') return new StoreUnreachable(`${place.service} did not answer in time`, {}, error)
  if (error.name === 'CredentialsProviderError') {
    return new StoreDenied('this host has no cloud identity: name a secret', {}, error)
  }
  const answer = answerOf(error)
  // The log shows causes too.
  const isFit = withoutEchoes(error.message) === error.message
  return answer ? explain(answer, place, isFit ? error : undefined) : error
}

/** What an answer means. Also for the entries of a bulk delete, which come as code and message. */
export function explain(answer: Answer, place: Place, cause?: unknown): StoreError {
  const { code, status } = answer
  const known = Object.hasOwn(byCode, code) ? byCode[code] : undefined
  const explainIt =
    // Sluice's own way to say it.
    (status === 503 && /storage is full/.test(answer.message) ? full : undefined) ??
    known ??
    // A HEAD has no body: Amazon says by a header alone that it is the wrong region.
    (status === 400 && regionOf(answer) !== undefined ? elsewhere : undefined) ??
    (status !== undefined ? byStatus[status] : undefined) ??
    (/AccessDenied|Forbidden|Expired|InvalidToken/i.test(code) ? denied : undefined) ??
    ((status ?? 500) < 300 && isPage(answer.headers ?? {}) ? notS3 : undefined) ??
    ((status ?? 500) >= 500 || (status ?? 500) < 300 ? unreachable : rejected)
  return explainIt(place, answer, cause)
}

/** A success without what every store of this kind says with it: somebody else is answering. */
export function notAnObject(place: Place): StoreError {
  return notS3(place, { code: '', message: '', status: 200 }, undefined)
}
