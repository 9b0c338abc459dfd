import { timingSafeEqual } from 'node:crypto'
import { DomainError } from '../errors.ts'

/** Why a request is not believed. */
export type SignatureErrorCode =
  | 'MissingAuthentication'
  | 'SeveralAuthentications'
  | 'UnsupportedSignatureVersion'
  | 'MalformedAuthorization'
  | 'MalformedQueryAuthorization'
  | 'UnknownAccessKey'
  | 'SignatureMismatch'
  | 'RequestTimeSkewed'
  | 'RequestExpired'
  | 'RequestNotYetValid'
  | 'HeadersNotSigned'
  | 'DuplicateHeader'
  | 'MissingPayloadHash'
  | 'InvalidPayloadHash'
  | 'InvalidSecurityToken'
  | 'ExpiredSecurityToken'
  | 'MalformedUrl'

/** The request is refused before anything was done. `data` is safe to show: it never holds a secret or the right signature. */
export class SignatureError extends DomainError {
  readonly code: SignatureErrorCode
  constructor(code: SignatureErrorCode, message: string, data: Readonly<Record<string, unknown>> = {}) {
    super(message, data)
    this.code = code
  }
}

/** Compares two signatures (64 lower-case hex digits each) in constant time. */
export function signaturesEqual(expected: string, given: string): boolean {
  if (given.length !== expected.length) return false
  return timingSafeEqual(Buffer.from(expected, 'latin1'), Buffer.from(given, 'latin1'))
}
