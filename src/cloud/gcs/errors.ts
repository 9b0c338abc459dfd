import { commonExplanations, type Explain } from '../explain.ts'
import { ObjectNotFound, StoreDenied, type StoreError, StoreFull, StoreRejected } from '../object-store.ts'

/** What messages say about the place that failed. */
export interface Place {
  readonly bucket: string
  /** `Google Cloud Storage`, or the endpoint. */
  readonly service: string
  /** The service account's address; undefined: the host's own identity. */
  readonly account: string | undefined
}

/** What a request is about: what is not there when the answer is 404. */
export type Subject = 'object' | 'bucket' | 'upload'

/** An answer that is no success. */
export interface Failure {
  readonly status: number
  /** The first `reason` of the answer's document; empty: it has none. */
  readonly reason: string
  readonly message: string
  readonly location: string | undefined
  /** How long the service asks to be left alone (Retry-After). */
  readonly retryAfterMs: number | undefined
}

type ExplainGcs = Explain<Place, Failure>

const said = ({ status, reason, message }: Failure) => [`${status}`, reason, message].filter(Boolean).join(' ')
const { noObject, precondition, throttled, unreachable, rejected } = commonExplanations<Place, Failure>(
  said,
  ({ retryAfterMs }) => retryAfterMs,
)
const who = ({ account }: Place) => (account === undefined ? 'this host' : `the service account ${account}`)

const full: ExplainGcs = (place, failure) =>
  new StoreFull(
    `a quota of ${place.service} is used up (${said(failure)}): free some, or have it raised in the Cloud console`,
  )
const denied: ExplainGcs = (place, failure) =>
  new StoreDenied(
    `${place.service} does not let ${who(place)} do that in bucket ${place.bucket} (${said(failure)}): give it the role Storage Object Admin on the bucket`,
    { bucket: place.bucket },
  )
const wrongKey: ExplainGcs = (place, failure) =>
  new StoreDenied(
    `${place.service} does not accept the key of ${who(place)} (${said(failure)}): check that it is not deleted or disabled, and that this machine's clock is right`,
  )
const disabled: ExplainGcs = (place, failure) =>
  new StoreDenied(
    `the project of bucket ${place.bucket} is disabled (${said(failure)}): check its billing in the Cloud console`,
    { bucket: place.bucket },
  )
const notEnabled: ExplainGcs = (place, failure) =>
  new StoreDenied(
    `the project of ${who(place)} does not use Cloud Storage (${said(failure)}): enable its API in the Cloud console`,
  )
const held: ExplainGcs = (place, failure) =>
  new StoreRejected(
    `bucket ${place.bucket} does not let an object be replaced or deleted yet (${said(failure)}): its retention policy or a hold on the object forbids it; push to another folder or bucket`,
    { bucket: place.bucket },
  )
const requesterPays: ExplainGcs = (place, failure) =>
  new StoreRejected(
    `bucket ${place.bucket} bills who asks (requester pays), which is not supported (${said(failure)}): push to another bucket`,
    { bucket: place.bucket },
  )
const elsewhere: ExplainGcs = (place, failure) =>
  new StoreRejected(
    `${place.service} redirects${failure.location ? ` to ${originOf(failure.location)}` : ''} (${failure.status}), which is not followed: name the right endpoint with the credentials (--endpoint …)`,
  )

/** By the reasons that Google documents for its JSON API ("HTTP status and error codes for JSON"). */
const byReason: Readonly<Record<string, ExplainGcs>> = {
  rateLimitExceeded: throttled,
  userRateLimitExceeded: throttled,
  quotaExceeded: full,
  dailyLimitExceeded: full,
  accountDisabled: disabled,
  UserProjectAccountProblem: disabled,
  accessNotConfigured: notEnabled,
  retentionPolicyNotMet: held,
  objectUnderActiveHold: held,
  userProjectMissing: requesterPays,
  UserProjectAccessDenied: requesterPays,
  orgPolicyConstraintFailed: rejected,
  conditionNotMet: precondition,
}

const byStatus: Readonly<Record<number, ExplainGcs>> = {
  401: wrongKey,
  403: denied,
  408: unreachable,
  409: unreachable,
  412: precondition,
  429: throttled,
  499: unreachable,
  501: rejected,
  507: full,
}

/** Tells an answer that is no success in the stores' vocabulary. */
export function explain(failure: Failure, place: Place, subject: Subject): StoreError {
  const { status, reason } = failure
  // 499: it was cancelled; 410: it expired.
  if (subject === 'upload' && (status === 404 || status === 410 || status === 499)) {
    return new ObjectNotFound('there is no such upload', { what: 'upload' })
  }
  if (status === 404) return notFound(failure, place, subject)
  const name = reason.replace(/^usageLimits\./i, '')
  const known = Object.hasOwn(byReason, name) ? byReason[name] : undefined
  const explainIt =
    known ?? byStatus[status] ?? (status >= 500 ? unreachable : status >= 300 && status < 400 ? elsewhere : rejected)
  return explainIt(place, failure)
}

/** Google says only in words which of the two it is. */
function notFound(failure: Failure, place: Place, subject: Subject): StoreError {
  const isBucket = subject !== 'object' || /bucket does not exist/i.test(failure.message)
  return isBucket
    ? new ObjectNotFound(`${place.service} has no bucket ${place.bucket}; create it first`, { what: 'bucket' })
    : noObject(place, failure)
}

function originOf(location: string): string {
  return URL.canParse(location) ? new URL(location).origin : 'elsewhere'
}
