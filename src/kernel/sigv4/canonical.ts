import type { IncomingHttpHeaders } from 'node:http'
import { SignatureError } from './errors.ts'

/** Sent twice, these could mean one thing to the signature and another to the operation. */
const singleHeaders = new Set([
  'authorization',
  'host',
  'date',
  'content-length',
  'content-md5',
  'content-type',
  'content-encoding',
  'range',
])

/**
 * Checks that the signature covers what it must: `host` (when the claim was read) and every `x-amz-` header, and that no header
 * that matters is there twice.
 */
export function checkHeaders(
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  signedHeaders: readonly string[],
): void {
  let distinct = 0
  let unsigned: string[] | undefined
  for (const name in headers) {
    distinct++
    if (name.startsWith('x-amz-') && !signedHeaders.includes(name)) {
      unsigned ??= []
      unsigned.push(name)
    }
  }
  if (distinct * 2 !== rawHeaders.length) refuseDuplicates(rawHeaders)
  if (unsigned) {
    throw new SignatureError(
      'HeadersNotSigned',
      `There were headers present in the request which were not signed: ${unsigned.join(', ')}`,
      { headersNotSigned: unsigned.join(', ') },
    )
  }
}

/** What is said twice could mean one thing here and another to a proxy. Throws SignatureError DuplicateHeader. */
export function refuseDuplicates(rawHeaders: readonly string[]): void {
  const seen = new Set<string>()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase()
    if (seen.has(name) && (singleHeaders.has(name) || name.startsWith('x-amz-'))) {
      throw new SignatureError('DuplicateHeader', `the header ${name} is there twice`, { header: name })
    }
    seen.add(name)
  }
}

/** `name:value\n` of each signed header, values trimmed and their runs of spaces made one. */
export function canonicalHeaders(
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  signedHeaders: readonly string[],
): string {
  const once = Object.keys(headers).length * 2 === rawHeaders.length
  let text = ''
  for (const name of signedHeaders) {
    const value = once ? headers[name] : joinValues(rawHeaders, name)
    text += `${name}:${typeof value === 'string' ? canonicalValue(value) : ''}\n`
  }
  return text
}

/** A header that may come several times counts as one, its values joined by commas (Node joins with a space as well, or drops). */
function joinValues(rawHeaders: readonly string[], name: string): string {
  const values: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.toLowerCase() === name) values.push(canonicalValue(rawHeaders[i + 1]!))
  }
  return values.join(',')
}

export function canonicalValue(value: string): string {
  const trimmed = value.trim()
  return trimmed.includes('  ') ? trimmed.replace(/ {2,}/g, ' ') : trimmed
}
