import type { ByteRange } from '../../versioning/index.ts'
import { S3Error } from './codes.ts'

/** A Range header: from a byte on, or the last so many. Undefined for what RFC 9110 says to ignore (other units, several ranges). */
export type RangeClaim =
  | { readonly kind: 'from'; readonly first: number; readonly last: number | undefined }
  | { readonly kind: 'suffix'; readonly length: number }

const rangeForm = /^bytes=(?:(\d{1,16})-(\d{0,16})|-(\d{1,16}))$/

export function readRange(header: string | undefined): RangeClaim | undefined {
  if (header === undefined) return undefined
  const match = rangeForm.exec(header.replaceAll(' ', ''))
  if (!match) return undefined
  const [, first, last, suffix] = match
  if (first === undefined) return { kind: 'suffix', length: Number(suffix) }
  const claim = { kind: 'from', first: Number(first), last: last ? Number(last) : undefined } as const
  return claim.last !== undefined && claim.last < claim.first ? undefined : claim
}

/** The bytes that are meant, of an object of this size. Throws InvalidRange if there is none of them, and for an empty object. */
export function resolveRange(claim: RangeClaim, size: number): ByteRange {
  const start = claim.kind === 'suffix' ? Math.max(0, size - claim.length) : claim.first
  const end = claim.kind === 'suffix' || claim.last === undefined ? size : Math.min(size, claim.last + 1)
  if (start < end) return { start, end }
  throw new S3Error(
    'InvalidRange',
    'The requested range is not satisfiable',
    { RangeRequested: rangeText(claim), ActualObjectSize: String(size) },
    { 'Content-Range': `bytes */${size}` },
  )
}

function rangeText(claim: RangeClaim): string {
  return claim.kind === 'suffix' ? `bytes=-${claim.length}` : `bytes=${claim.first}-${claim.last ?? ''}`
}
