import { RestError } from '@azure/storage-blob'
import { errnoOf } from '../../kernel/index.ts'
import { told, withoutEchoes } from '../echoes.ts'
import { commonExplanations, type Explain, retryAfterMs } from '../explain.ts'
import { networkError } from '../network-errors.ts'
import { ObjectNotFound, StoreDenied, StoreError, StoreFull, StoreRejected, StoreUnreachable } from '../object-store.ts'

/** What messages say about the place that failed. */
export interface Place {
  readonly account: string
  readonly container: string
  /** The endpoint's host, or with it the emulator's account. */
  readonly service: string
  readonly signedBy: 'account key' | 'shared access signature'
  /** Whether the signature says itself that its time is over. */
  isExpired(): boolean
}

/** What the service said: its code, the first line of its words, and what it adds about a signature. */
interface Answer {
  readonly code: string
  readonly message: string
  readonly status: number
  readonly detail: string
  /** How long the service asks to be left alone. */
  readonly pauseMs: number | undefined
}

type ExplainAzure = Explain<Place, Answer>

const said = ({ code, message, status }: Answer) => [code || `status ${status}`, message].filter(Boolean).join(': ')

const { noObject, precondition, throttled, unreachable, rejected } = commonExplanations<Place, Answer>(
  said,
  ({ pauseMs }) => pauseMs,
)

const noContainer: ExplainAzure = (place, _, cause) =>
  new ObjectNotFound(
    `the storage account ${place.account} (${place.service}) has no container ${place.container}; create it first`,
    { what: 'bucket' },
    cause,
  )
const full: ExplainAzure = (place, answer, cause) =>
  new StoreFull(
    `the storage account ${place.account} is full (${said(answer)}): make room in it, or have its limit raised`,
    {},
    cause,
  )

/** Refused, and what to do about it. */
const deny =
  (todo: (place: Place) => string): ExplainAzure =>
  (place, answer, cause) =>
    new StoreDenied(
      `${place.service} does not let this ${place.signedBy} do that in container ${place.container} (${answer.code || answer.status}): ${todo(place)}`,
      { bucket: place.container },
      cause,
    )
/** The one object is protected; others are not. */
const protect =
  (how: string): ExplainAzure =>
  (place, answer, cause) =>
    new StoreDenied(
      `${place.service} does not let the object be changed (${answer.code}): ${how}`,
      { what: 'object' },
      cause,
    )
const reject =
  (todo: (place: Place) => string): ExplainAzure =>
  (place, answer, cause) =>
    new StoreRejected(`${place.service} refused the request (${said(answer)}): ${todo(place)}`, {}, cause)

/** One code for a wrong key, a wrong signature, one out of its time, and a clock that is wrong: the words tell them apart. */
const unauthenticated: ExplainAzure = (place, answer, cause) => {
  const why = `${answer.message} ${answer.detail}`
  const deniedAs = (message: string) => new StoreDenied(message, { bucket: place.container }, cause)
  const frame = /Start \[([^\]]*)\] - Expiry \[([^\]]*)\] - Current \[([^\]]*)\]/i.exec(why)
  if (frame || place.isExpired() || /not valid in the specified time frame|signature is expired|expired/i.test(why)) {
    const times = frame ? ` (from ${frame[1]} to ${frame[2]}; there it is ${frame[3]})` : ''
    return deniedAs(
      `the shared access signature for ${place.service} has expired or is not valid yet${times}: put a new one into the secret`,
    )
  }
  if (/date header|request date|clock/i.test(why)) {
    return deniedAs(
      `the clocks of this machine and ${place.service} differ by more than it allows (15 minutes): set the clock`,
    )
  }
  return deniedAs(
    place.signedBy === 'account key'
      ? `${place.service} says that the account key of ${place.account} is wrong: check the name of the account and the key in the secret`
      : `${place.service} says that the shared access signature is not one of ${place.account}: check that all of it is in the secret, as it was made`,
  )
}

const keptOut = deny(
  (place) => `the firewall or the network rules of the storage account ${place.account} keep this machine out`,
)
/** The service means its firewall by that; Azurite says it of wrong keys, too, in the words of those. */
const unauthorized: ExplainAzure = (place, answer, cause) =>
  (/failed to authenticate/i.test(answer.message) ? unauthenticated : keptOut)(place, answer, cause)

/** The service's error codes (learn.microsoft.com: Common REST API, and Blob service, error codes). */
const byCode: Readonly<Record<string, ExplainAzure>> = {
  ContainerNotFound: noContainer,
  ResourceNotFound: noObject,
  BlobNotFound: noObject,
  CannotVerifyCopySource: noObject,
  ConditionNotMet: precondition,
  TargetConditionNotMet: precondition,
  BlobAlreadyExists: precondition,
  AuthenticationFailed: unauthenticated,
  InvalidAuthenticationInfo: unauthenticated,
  NoAuthenticationInformation: unauthenticated,
  AuthorizationPermissionMismatch: deny(
    () => 'it needs the rights to read, write, create, delete and list (racwdl) in this container',
  ),
  AuthorizationResourceTypeMismatch: deny(() => 'it must hold for containers and for objects (srt=co)'),
  AuthorizationServiceMismatch: deny(() => 'it must hold for the Blob service (ss=b)'),
  AuthorizationProtocolMismatch: deny(() => 'it allows https only: name an https endpoint with the secret'),
  AuthorizationSourceIPMismatch: deny(() => "it is not valid for this machine's address"),
  AuthorizationFailure: unauthorized,
  KeyBasedAuthenticationNotPermitted: deny(
    () => 'the account does not allow access by its key: put a user delegation SAS into the secret',
  ),
  PublicAccessNotPermitted: deny(() => 'the request carried no signature: check the secret'),
  InsufficientAccountPermissions: deny((place) => `writing is switched off for the storage account ${place.account}`),
  AccountIsDisabled: deny((place) => `the storage account ${place.account} is disabled: look at its subscription`),
  ContainerDisabled: deny(() => 'the container was disabled by its administrator'),
  LeaseIdMissing: protect('it is leased to somebody else: release the lease, or wait until it ends'),
  LeaseIdMismatchWithBlobOperation: protect('it is leased to somebody else: release the lease, or wait until it ends'),
  BlobImmutableDueToPolicy: protect('an immutability policy or a legal hold protects it'),
  BlobImmutableDueToLegalHold: protect('a legal hold protects it'),
  SnapshotsPresent: protect('it has snapshots that may not be deleted'),
  AccountRequiresHttps: reject(() => 'name an https endpoint with the secret'),
  InvalidBlobType: reject(() => 'an append or page blob of that name is there: delete it first'),
  BlobArchived: reject(() => 'the blob is archived: rehydrate or delete it first'),
  BlobBeingRehydrated: reject(() => 'the blob is being taken out of the archive: wait until it is there'),
  PathConflict: reject(() => 'a folder of that name, or a file where a folder is needed, is there: delete it first'),
  ResourceTypeMismatch: reject(() => 'a folder of that name is there: delete it first'),
  MetadataTooLarge: reject(() => 'an object has at most 8 KiB of metadata there'),
  // Also what differs from blocks of another length that another program left at the blob.
  InvalidBlobOrBlock: reject(
    () =>
      'most likely another program left an unfinished upload at this name: write a small blob there with it, which throws that away, or wait a week',
  ),
  InvalidBlobName: reject(() => 'choose another name'),
  ServerBusy: throttled,
  AccountBeingCreated: throttled,
  OperationTimedOut: unreachable,
  InternalError: unreachable,
  ContainerBeingDeleted: (place, answer, cause) =>
    new StoreUnreachable(
      `the container ${place.container} is just being deleted (${answer.code}): create it anew when that has ended`,
      {},
      cause,
    ),
  IncompleteBody: unreachable,
  InsufficientStorage: full,
  AccountLimitExceeded: full,
  QuotaExceeded: full,
  StorageQuotaExceeded: full,
}

const byStatus: Readonly<Record<number, ExplainAzure>> = {
  401: unauthenticated,
  403: deny(() => 'check the secret and what it may do'),
  404: noObject,
  408: unreachable,
  412: precondition,
  429: throttled,
  503: throttled,
  507: full,
}

/** Turns what the library throws into the stores' vocabulary; what is neither the service's nor the network's doing passes as it is. */
export function translate(error: unknown, place: Place): unknown {
  if (error instanceof StoreError) return error
  const network = networkError(error, place.service)
  if (network && errnoOf(error) === 'ENOTFOUND') {
    return new StoreUnreachable(
      `${place.service} is not known to the name servers (ENOTFOUND): check the name of the storage account`,
      {},
      error,
    )
  }
  if (network) return network
  if (!(error instanceof RestError) || error.statusCode === undefined || error.code === RestError.PARSE_ERROR) {
    return isCutOff(error) ? new StoreUnreachable(`${place.service} broke off its answer`, {}, bare(error)) : error
  }
  const answer = answerOf(error, error.statusCode)
  const known = Object.hasOwn(byCode, answer.code) ? byCode[answer.code] : undefined
  const other = answer.status >= 500 || answer.status < 300 ? unreachable : rejected
  return (known ?? byStatus[answer.status] ?? other)(place, answer, bare(error))
}

/** The library reports answers that end early in words and as aborts; aborts of the caller's have been told by then. */
function isCutOff(error: unknown): error is Error {
  if (error instanceof RestError) return true
  return (
    error instanceof Error &&
    (error.name === 'AbortError' || /less data than required|Blob copy failed/.test(error.message))
  )
}

/** The library's own errors carry the request, with its signature: none of that may come into a log. */
function bare(error: Error): Error {
  // Where an answer has an element twice, the library's message is a list.
  const cause = new Error(withoutEchoes(`${error.message}`.slice(0, 300)))
  cause.name = error.name
  return cause
}

function answerOf(error: RestError, status: number): Answer {
  const code = error.response?.headers.get('x-ms-error-code') ?? error.code ?? ''
  const text = error.response?.bodyAsText ?? ''
  // What follows the first line is the id of the request and the time of the answer.
  const message = told(/<Message>([^<\n]*)/.exec(text)?.[1] ?? '')
  const detail = told(/<AuthenticationErrorDetail>([^<]*)/.exec(text)?.[1] ?? '')
  const pauseMs = retryAfterMs(error.response?.headers.get('retry-after'), error.response?.headers.get('date'))
  return { code: /^[A-Za-z0-9_]{1,80}$/.test(code) ? code : '', message, status, detail, pauseMs }
}
