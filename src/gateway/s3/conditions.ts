import type { DomainError } from '../../kernel/index.ts'
import type { Entry, WriteConditions } from '../../versioning/index.ts'
import { S3Error } from './codes.ts'
import type { RequestHeaders } from './request.ts'

/** The conditions of a read, as RFC 9110 §13 has them. */
export interface ReadConditions {
  /** ETags without quotes; '*' is any. */
  readonly ifMatch: readonly string[] | undefined
  readonly ifNoneMatch: readonly string[] | undefined
  readonly ifModifiedSinceMs: number | undefined
  readonly ifUnmodifiedSinceMs: number | undefined
}

type Verdict =
  | { readonly kind: 'go' }
  | { readonly kind: 'notModified' }
  | { readonly kind: 'failed'; readonly condition: string }

/** `prefix` is `x-amz-copy-source-` for the source of a copy. Undefined if there are none. */
export function readConditions(headers: RequestHeaders, prefix = ''): ReadConditions | undefined {
  const ifMatch = readETags(headers[`${prefix}if-match`])
  const ifNoneMatch = readETags(headers[`${prefix}if-none-match`])
  const ifModifiedSinceMs = readDate(headers[`${prefix}if-modified-since`])
  const ifUnmodifiedSinceMs = readDate(headers[`${prefix}if-unmodified-since`])
  if (
    ifMatch === undefined &&
    ifNoneMatch === undefined &&
    ifModifiedSinceMs === undefined &&
    ifUnmodifiedSinceMs === undefined
  ) {
    return undefined
  }
  return { ifMatch, ifNoneMatch, ifModifiedSinceMs, ifUnmodifiedSinceMs }
}

/** In the order of precedence of RFC 9110 §13.2.2; times count in whole seconds, since that is all that Last-Modified says. */
export function evaluateConditions(
  conditions: ReadConditions | undefined,
  entry: Pick<Entry, 'etag' | 'modifiedMs'>,
): Verdict {
  if (!conditions) return { kind: 'go' }
  const modifiedMs = Math.floor(entry.modifiedMs / 1000) * 1000
  const { ifMatch, ifNoneMatch, ifModifiedSinceMs, ifUnmodifiedSinceMs } = conditions
  if (ifMatch) {
    if (!matches(ifMatch, entry.etag)) return { kind: 'failed', condition: 'If-Match' }
  } else if (ifUnmodifiedSinceMs !== undefined && modifiedMs > ifUnmodifiedSinceMs) {
    return { kind: 'failed', condition: 'If-Unmodified-Since' }
  }
  if (ifNoneMatch) {
    if (matches(ifNoneMatch, entry.etag)) return { kind: 'notModified' }
  } else if (ifModifiedSinceMs !== undefined && modifiedMs <= ifModifiedSinceMs) {
    return { kind: 'notModified' }
  }
  return { kind: 'go' }
}

export function preconditionFailed(condition: string): S3Error {
  return new S3Error('PreconditionFailed', 'At least one of the pre-conditions you specified did not hold', {
    Condition: condition,
  })
}

/** The conditions of a write: one ETag, or `*` for any object at all. Lists are refused, not ignored. */
export function readWriteConditions(headers: RequestHeaders): WriteConditions | undefined {
  const ifNoneMatch = headers['if-none-match']
  const ifMatch = headers['if-match']
  if (ifNoneMatch === undefined && ifMatch === undefined) return undefined
  if (ifNoneMatch !== undefined && ifMatch !== undefined) {
    throw new S3Error('InvalidRequest', 'If-Match and If-None-Match can not be used together')
  }
  if (ifNoneMatch !== undefined) return { ifNoneMatch: readSingleETag('If-None-Match', ifNoneMatch) }
  return { ifMatch: readSingleETag('If-Match', ifMatch ?? '') }
}

/** A rename may also ask when what it replaces was written. */
export function readRenameConditions(headers: RequestHeaders): WriteConditions | undefined {
  const conditions = readWriteConditions(headers)
  const ifModifiedSinceMs = readDate(headers['if-modified-since'])
  const ifUnmodifiedSinceMs = readDate(headers['if-unmodified-since'])
  if (ifModifiedSinceMs === undefined && ifUnmodifiedSinceMs === undefined) return conditions
  return {
    ...conditions,
    ...(ifModifiedSinceMs === undefined ? {} : { ifModifiedSinceMs }),
    ...(ifUnmodifiedSinceMs === undefined ? {} : { ifUnmodifiedSinceMs }),
  }
}

function readSingleETag(header: string, text: string): string {
  const [etag, ...more] = readETags(text) ?? []
  if (etag === undefined || more.length > 0) throw unsupportedCondition(header)
  return etag
}

/** Of a delete, also in a list. */
export function readDeleteETag(text: string): string {
  return readSingleETag('If-Match', text)
}

/** AWS: a delete on a condition of size or time alone succeeds if there is nothing to delete; an ETag asks for an object. */
export function isMetByNothing(conditions: WriteConditions | undefined, failure: DomainError['data']): boolean {
  return conditions !== undefined && conditions.ifMatch === undefined && failure['missing'] === true
}

function unsupportedCondition(header: string): S3Error {
  return new S3Error(
    'NotImplemented',
    `A header you provided implies functionality that is not implemented: ${header} on a write takes one ETag, or *`,
    { Header: header },
  )
}

function matches(etags: readonly string[], etag: string): boolean {
  return etags.includes('*') || etags.includes(etag)
}

/** `"a", W/"b"` → a, b: S3's ETags are never weak, and clients leave the quotes out at will. */
function readETags(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined
  return text.split(',').map((item) => stripQuotes(item.trim().replace(/^W\//, '')))
}

export function stripQuotes(text: string): string {
  return text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text
}

/** A date that can't be read is as if it were not there (RFC 9110 §13.1.3). */
function readDate(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms
}
