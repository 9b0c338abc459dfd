/** The S3 error codes that this gateway gives, each with its status. */
const statusOfCode = {
  AccessDenied: 403,
  AmbiguousCommit: 409,
  AuthorizationHeaderMalformed: 400,
  AuthorizationQueryParametersError: 400,
  AccessForbidden: 403,
  BadDigest: 400,
  BadRequest: 400,

  BucketAlreadyExists: 409,
  BucketInUse: 409,
  BucketNotEmpty: 409,
  CommitNotReadable: 409,
  EntityTooLarge: 400,
  EntityTooSmall: 400,
  ExpiredToken: 400,
  IdempotencyParameterMismatch: 400,
  IllegalLocationConstraintException: 400,
  IncompleteBody: 400,
  InternalError: 500,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidBucketName: 400,
  InvalidBucketState: 409,
  InvalidChunkSizeError: 400,
  InvalidDigest: 400,
  InvalidPart: 400,
  InvalidPartNumber: 416,
  InvalidPartOrder: 400,
  InvalidRange: 416,
  InvalidRequest: 400,
  InvalidStorageClass: 400,
  InvalidTag: 400,
  InvalidToken: 400,
  InvalidURI: 400,
  KeyTooLongError: 400,
  MalformedTrailerError: 400,
  MalformedXML: 400,
  MetadataTooLarge: 400,
  MethodNotAllowed: 405,
  MissingContentLength: 411,
  MissingRequestBodyError: 400,
  NoSuchBucket: 404,
  NoSuchBucketPolicy: 404,
  NoSuchCORSConfiguration: 404,
  NoSuchKey: 404,
  NoSuchLifecycleConfiguration: 404,
  NoSuchPublicAccessBlockConfiguration: 404,
  NoSuchTagSet: 404,
  NoSuchUpload: 404,
  NoSuchVersion: 404,
  NoSuchWebsiteConfiguration: 404,
  NotImplemented: 501,
  ObjectLockConfigurationNotFoundError: 404,
  OperationAborted: 409,
  OwnershipControlsNotFoundError: 404,
  PreconditionFailed: 412,
  RequestTimeTooSkewed: 403,
  ReplicationConfigurationNotFoundError: 404,
  RequestTimeout: 400,
  ServerSideEncryptionConfigurationNotFoundError: 404,
  ServiceUnavailable: 503,
  SignatureDoesNotMatch: 403,
  SlowDown: 503,
  TooManyBuckets: 400,
  TransactionConflict: 409,
  XAmzContentSHA256Mismatch: 400,
} as const

export type S3Code = keyof typeof statusOfCode

/** A refusal as S3 says it. Operations throw it for what concerns the wire; what the domain throws is translated in `errors.ts`. */
export class S3Error extends Error {
  readonly code: S3Code
  /** Further elements of the error document. */
  readonly fields: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>

  constructor(
    code: S3Code,
    message: string,
    fields: Readonly<Record<string, string>> = {},
    headers: Readonly<Record<string, string>> = {},
    cause?: unknown,
  ) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'S3Error'
    this.code = code
    this.fields = fields
    this.headers = headers
  }

  get status(): number {
    return statusOfCode[this.code]
  }
}

/** An argument that makes no sense, in the form that AWS names it. */
export function invalidArgument(name: string, value: string, message: string): S3Error {
  return new S3Error('InvalidArgument', message, { ArgumentName: name, ArgumentValue: value })
}
