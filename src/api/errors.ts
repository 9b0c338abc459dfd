import type {
  ObjectNotFound,
  SecretExists,
  SecretNotFound,
  StoreDenied,
  StoreFull,
  StorePreconditionFailed,
  StoreRejected,
  StoreThrottled,
  StoreUnreachable,
} from '../cloud/index.ts'
import type { EgressError } from '../egress/index.ts'
import {
  type AccessDenied,
  type Corrupt,
  DomainError,
  type InvalidInput,
  type Log,
  type SignatureErrorCode,
  type StorageFull,
  type UserExists,
  type UserNotFound,
} from '../kernel/index.ts'
import type { PipelinesError } from '../pipelines/index.ts'
import {
  type BackupNotFound,
  type BackupPlaceRefused,
  type BackupRunning,
  MergeConflict,
  type MergeConflictPath,
  type VersioningError,
} from '../versioning/index.ts'
import type { BodyCutOff, BodyMismatch, BodyTooLarge } from './body.ts'
import type { ErrorJson } from './contract.ts'
import { ShuttingDown } from './lines.ts'
import { conflictJson } from './merge-views.ts'

export class RouteNotFound extends DomainError {
  readonly code = 'RouteNotFound'
  constructor(method: string, path: string) {
    super(`there is no ${method} ${path}: /v1/openapi.json lists what there is`)
  }
}

export class MethodNotAllowed extends DomainError {
  readonly code = 'MethodNotAllowed'
  constructor(method: string, path: string) {
    super(`${path} can't be asked with ${method}: /v1/openapi.json lists what there is`)
  }
}

/** The signature does not cover the body in the way that this route needs. */
export class UnsignedBody extends DomainError {
  readonly code = 'UnsignedBody'
}

/** What a route can end with that is not a fault of the server, by literal code; the compiler finds what is missing. */
type ApiErrorCode =
  | (InvalidInput | StorageFull | AccessDenied | UserExists | UserNotFound)['code']
  | VersioningError['code']
  | PipelinesError['code']
  | EgressError['code']
  | (SecretExists | SecretNotFound)['code']
  | (BackupNotFound | BackupPlaceRefused | BackupRunning)['code']
  // Of the place of a backup.
  | (ObjectNotFound | StoreDenied | StoreFull | StorePreconditionFailed)['code']
  | (StoreRejected | StoreThrottled | StoreUnreachable)['code']
  | SignatureErrorCode
  | (BodyCutOff | BodyMismatch | BodyTooLarge | RouteNotFound | MethodNotAllowed | UnsignedBody | ShuttingDown)['code']
  | Corrupt['code']

const statusOfCode: Readonly<Record<ApiErrorCode, number>> = {
  InvalidInput: 400,
  InvalidName: 400,
  InvalidPath: 400,
  InvalidSpec: 400,
  BodyMismatch: 400,
  BodyCutOff: 400,
  UnsignedBody: 400,
  MalformedAuthorization: 400,
  MalformedQueryAuthorization: 400,
  MalformedUrl: 400,
  SeveralAuthentications: 400,
  UnsupportedSignatureVersion: 400,
  DuplicateHeader: 400,
  MissingPayloadHash: 400,
  InvalidPayloadHash: 400,
  InvalidSecurityToken: 400,
  ExpiredSecurityToken: 400,
  InvalidPart: 400,
  InvalidPartOrder: 400,
  InvalidArchive: 400,
  PartTooSmall: 400,
  Cycle: 400,

  MissingAuthentication: 401,

  UnknownAccessKey: 403,
  SignatureMismatch: 403,
  RequestTimeSkewed: 403,
  RequestExpired: 403,
  RequestNotYetValid: 403,
  HeadersNotSigned: 403,
  AccessDenied: 403,
  ReadOnly: 403,

  RouteNotFound: 404,
  RepoNotFound: 404,
  BranchNotFound: 404,
  CommitNotFound: 404,
  PathNotFound: 404,
  VersionNotFound: 404,
  UploadNotFound: 404,
  TransactionNotFound: 404,
  TagNotFound: 404,
  PipelineNotFound: 404,
  JobNotFound: 404,
  EgressNotFound: 404,
  DatumNotFound: 404,
  SecretNotFound: 404,
  BackupNotFound: 404,
  UserNotFound: 404,

  MethodNotAllowed: 405,

  RepoExists: 409,
  BranchExists: 409,
  BranchNotEmpty: 409,
  AmbiguousCommit: 409,
  AmbiguousJob: 409,
  AmbiguousEgress: 409,
  EgressRefused: 409,
  RetryRefused: 409,
  CommitUnavailable: 409,
  BranchMoved: 409,
  InUse: 409,
  TransactionConflict: 409,
  TransactionLimit: 409,
  ImportLimit: 409,
  ContentGone: 503,
  GcRunning: 409,
  CheckRunning: 409,
  NothingToFinish: 409,
  FilesExist: 409,
  MergeConflict: 409,
  NotInConflict: 409,
  NoMergeBase: 409,
  MainlineNeeded: 409,
  TagExists: 409,
  RenameTokenUsed: 400,
  PipelineExists: 409,
  SecretExists: 409,
  BackupPlaceRefused: 409,
  BackupRunning: 409,
  UserExists: 409,
  StaleAttempt: 409,

  ConditionFailed: 412,

  BodyTooLarge: 413,

  Corrupt: 500,

  TargetFailed: 502,
  ObjectNotFound: 502,
  StoreDenied: 502,
  StoreFull: 502,
  StorePreconditionFailed: 502,
  StoreRejected: 502,
  StoreThrottled: 502,
  StoreUnreachable: 502,

  StorageFull: 503,
  ShuttingDown: 503,
}

/** What the caller is told of an error. Faults of the server are logged, and told no more of than that they are there. */
export function describeError(
  error: unknown,
  log: Log,
  { where, requestId }: { readonly where: string; readonly requestId: string },
): { status: number; body: ErrorJson } {
  const status = error instanceof DomainError ? statusOf(error) : undefined
  if (status === undefined || (status >= 500 && !(error instanceof ShuttingDown))) {
    log.error({ err: error, where, requestId }, 'a request to the API failed')
  }
  if (error instanceof DomainError && status !== undefined) {
    return { status, body: { error: { code: error.code, message: error.message, data: dataOf(error), requestId } } }
  }
  const message = `something went wrong in the server; its log says what, under the request id ${requestId}`
  return { status: 500, body: { error: { code: 'InternalError', message, data: {}, requestId } } }
}

/** What the caller is told besides the message, in the words of the contract. */
function dataOf(error: DomainError): DomainError['data'] {
  if (!(error instanceof MergeConflict)) return error.data
  const { paths, total } = error.data as { readonly paths: readonly MergeConflictPath[]; readonly total: number }
  return { conflicts: paths.map(conflictJson), total }
}

/** The status of an error that the caller is meant to see, or undefined if it is a fault of the server. */
function statusOf(error: DomainError): number | undefined {
  return Object.hasOwn(statusOfCode, error.code) ? statusOfCode[error.code as ApiErrorCode] : undefined
}
