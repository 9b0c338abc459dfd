import {
  type AccessDenied,
  type Corrupt,
  DomainError,
  type InvalidConfig,
  type InvalidInput,
  type NewerStore,
  type SignatureErrorCode,
  type StorageFull,
  type StoreLocked,
} from '../../kernel/index.ts'
import type { VersioningError } from '../../versioning/index.ts'
import { type S3Code, S3Error } from './codes.ts'

type KernelError = AccessDenied | StorageFull | Corrupt | InvalidInput | InvalidConfig | StoreLocked | NewerStore
type DomainCode = VersioningError['code'] | KernelError['code'] | SignatureErrorCode

type Translate = (error: DomainError) => S3Error

const as =
  (code: S3Code, fields?: (data: DomainError['data']) => Record<string, string>): Translate =>
  (error) =>
    new S3Error(code, error.message, fields?.(error.data) ?? {}, {}, error)

/** The one place where what the domain says becomes what S3 says. The compiler proves that no code is missing. */
const translations: Readonly<Record<DomainCode, Translate>> = {
  InvalidName: as('InvalidBucketName'),
  InvalidPath: as('InvalidArgument', () => ({ ArgumentName: 'key' })),
  RepoNotFound: as('NoSuchBucket'),
  RepoExists: as('InvalidBucketState'),
  BranchNotFound: as('NoSuchBucket'),
  BranchExists: as('InvalidBucketState'),
  BranchNotEmpty: as('BucketNotEmpty'),
  CommitNotFound: as('NoSuchBucket'),
  AmbiguousCommit: as('AmbiguousCommit', ({ commits }) =>
    Array.isArray(commits) ? { Commits: commits.join(', ') } : {},
  ),
  CommitUnavailable: commitUnavailable,
  PathNotFound: (error) =>
    new S3Error('NoSuchKey', 'The specified key does not exist.', { Key: text(error.data['path']) }),
  VersionNotFound: (error) =>
    new S3Error('NoSuchVersion', 'The specified version does not exist.', {
      Key: text(error.data['path']),
      VersionId: text(error.data['version']),
    }),
  ReadOnly: as('AccessDenied'),
  ConditionFailed: (error) =>
    error.data['missing'] === true
      ? new S3Error('NoSuchKey', 'The specified key does not exist: If-Match needs an object to match.', {}, {}, error)
      : new S3Error('PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', {
          Condition: text(error.data['condition']) || 'If-Match',
        }),
  UploadNotFound: () =>
    new S3Error(
      'NoSuchUpload',
      'The specified multipart upload does not exist. The upload id may be invalid, or the upload may have been aborted or completed.',
    ),
  InvalidPart: as('InvalidPart', ({ part }) => (part === undefined ? {} : { PartNumber: text(part) })),
  InvalidPartOrder: as('InvalidPartOrder'),
  PartTooSmall: as('EntityTooSmall'),
  BranchMoved: as('OperationAborted'),
  InUse: as('BucketInUse'),
  RenameTokenUsed: as('IdempotencyParameterMismatch'),
  Cycle: as('InvalidRequest'),
  TransactionNotFound: as('NoSuchBucket'),
  TransactionConflict: as('TransactionConflict', ({ paths, total }) => ({
    ...(Array.isArray(paths) ? { Keys: paths.join('\n') } : {}),
    KeyCount: text(total),
  })),
  TransactionLimit: as('TooManyBuckets'),
  ContentGone: as('SlowDown'),
  GcRunning: as('OperationAborted'),
  CheckRunning: as('OperationAborted'),
  NothingToFinish: as('InvalidBucketState'),
  InvalidArchive: as('InvalidRequest'),
  ImportLimit: as('SlowDown'),
  FilesExist: as('OperationAborted'),
  MergeConflict: as('OperationAborted'),
  NotInConflict: as('InvalidRequest'),
  NoMergeBase: as('InvalidRequest'),
  MainlineNeeded: as('InvalidRequest'),
  TagExists: as('BucketAlreadyExists'),
  TagNotFound: as('NoSuchBucket'),

  AccessDenied: as('AccessDenied'),
  StorageFull: (error) => new S3Error('ServiceUnavailable', error.message, {}, { 'Retry-After': '10' }, error),
  Corrupt: as('InternalError'),
  InvalidInput: as('InvalidArgument'),
  InvalidConfig: internal,
  StoreLocked: internal,
  NewerStore: internal,

  MissingAuthentication: as('AccessDenied'),
  SeveralAuthentications: as('InvalidArgument', () => ({ ArgumentName: 'Authorization' })),
  UnsupportedSignatureVersion: as('InvalidRequest'),
  MalformedAuthorization: as('AuthorizationHeaderMalformed', regionField),
  MalformedQueryAuthorization: as('AuthorizationQueryParametersError', regionField),
  UnknownAccessKey: as('InvalidAccessKeyId', ({ accessKeyId }) => ({ AWSAccessKeyId: text(accessKeyId) })),
  SignatureMismatch: as('SignatureDoesNotMatch', ({ accessKeyId }) => ({ AWSAccessKeyId: text(accessKeyId) })),
  RequestTimeSkewed: as('RequestTimeTooSkewed', ({ requestTime, serverTime, maxSkewMs }) => ({
    RequestTime: text(requestTime),
    ServerTime: text(serverTime),
    MaxAllowedSkewMilliseconds: text(maxSkewMs),
  })),
  RequestExpired: as('AccessDenied', ({ expires, serverTime }) => ({
    Expires: text(expires),
    ServerTime: text(serverTime),
  })),
  RequestNotYetValid: as('AccessDenied'),
  HeadersNotSigned: as('AccessDenied', ({ headersNotSigned }) =>
    headersNotSigned === undefined ? {} : { HeadersNotSigned: text(headersNotSigned) },
  ),
  DuplicateHeader: as('InvalidRequest'),
  MissingPayloadHash: as('InvalidRequest'),
  InvalidPayloadHash: as('InvalidArgument', () => ({ ArgumentName: 'x-amz-content-sha256' })),
  InvalidSecurityToken: as('InvalidToken'),
  ExpiredSecurityToken: as('ExpiredToken'),
  MalformedUrl: as('InvalidURI'),
}

/** What to answer for whatever was thrown. `InternalError` never says more than that: its cause is for the log. */
export function toS3Error(error: unknown): S3Error {
  if (error instanceof S3Error) return error
  if (error instanceof DomainError && Object.hasOwn(translations, error.code)) {
    return translations[error.code as DomainCode](error)
  }
  return internal(error)
}

function internal(error: unknown): S3Error {
  return new S3Error('InternalError', 'We encountered an internal error. Please try again.', {}, {}, error)
}

/** What follows from a commit is on its way and worth waiting for; a commit that failed, or waits for its writer, is not. */
function commitUnavailable(error: DomainError): S3Error {
  const { state, via } = error.data
  const fields: Record<string, string> = state === undefined ? {} : { CommitState: text(state) }
  if (via === 'propagation' && (state === 'open' || state === 'sealed')) {
    return new S3Error('ServiceUnavailable', error.message, fields, { 'Retry-After': '1' }, error)
  }
  return new S3Error('CommitNotReadable', error.message, fields, {}, error)
}

function regionField(data: DomainError['data']): Record<string, string> {
  return data['region'] === undefined ? {} : { Region: text(data['region']) }
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : String(value)
}
