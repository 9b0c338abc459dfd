import { SignatureError } from './errors.ts'

/** A request target, decoded once. Signature and operation use this same value, so what is signed is what is done. */
export interface RequestUrl {
  /** Percent-decoded, as text; begins with `/`. */
  readonly path: string
  /** The path as SigV4 for S3 writes it: decoded and encoded again, once. */
  readonly canonicalPath: string
  /** Decoded names and values in the order they came; `name` without `=` has the value ''. */
  readonly query: readonly (readonly [name: string, value: string])[]
}

const plainPath = /^[A-Za-z0-9\-._~/]*$/
const plainQueryText = /^[A-Za-z0-9\-._~]*$/
/** A request has a handful of parameters; more than this is somebody trying to keep us busy. */
const MAX_QUERY_PARAMETERS = 100

/** `A-Za-z0-9-._~` stay, all else is %XX of its UTF-8 bytes (RFC 3986, as SigV4 wants it). */
export function encodeRfc3986(text: string): string {
  if (plainQueryText.test(text)) return text
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

/**
 * Takes the raw request target (Node's `req.url`) apart. Throws SignatureError `MalformedUrl` for what can't be decoded: a broken
 * `%`, bytes that are no UTF-8, an absolute URL.
 */
export function parseRequestUrl(rawUrl: string): RequestUrl {
  if (!rawUrl.startsWith('/')) {
    throw new SignatureError('MalformedUrl', 'the request target must be a path that begins with /')
  }
  const mark = rawUrl.indexOf('?')
  const rawPath = mark < 0 ? rawUrl : rawUrl.slice(0, mark)
  if (plainPath.test(rawPath)) {
    return { path: rawPath, canonicalPath: rawPath, query: mark < 0 ? [] : parseQuery(rawUrl.slice(mark + 1)) }
  }
  const path = decode(rawPath)
  return {
    path,
    canonicalPath: path.split('/').map(encodeRfc3986).join('/'),
    query: mark < 0 ? [] : parseQuery(rawUrl.slice(mark + 1)),
  }
}

/** SigV4's canonical query: encoded, sorted by name and value; `leaveOut` is the signature itself. */
export function canonicalQuery(query: RequestUrl['query'], leaveOut?: string): string {
  if (query.length === 0) return ''
  const pieces: [string, string][] = []
  for (const [name, value] of query) {
    if (name !== leaveOut) pieces.push([encodeRfc3986(name), encodeRfc3986(value)])
  }
  pieces.sort((a, b) => compare(a[0], b[0]) || compare(a[1], b[1]))
  return pieces.map(([name, value]) => `${name}=${value}`).join('&')
}

function compare(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}

function parseQuery(raw: string): [string, string][] {
  const pairs: [string, string][] = []
  for (const piece of raw.split('&', MAX_QUERY_PARAMETERS + 1)) {
    if (piece === '') continue
    const equals = piece.indexOf('=')
    const name = equals < 0 ? piece : piece.slice(0, equals)
    const value = equals < 0 ? '' : piece.slice(equals + 1)
    pairs.push([decodeQueryText(name), decodeQueryText(value)])
  }
  if (pairs.length > MAX_QUERY_PARAMETERS) {
    throw new SignatureError('MalformedUrl', `a request may have at most ${MAX_QUERY_PARAMETERS} query parameters`)
  }
  return pairs
}

function decodeQueryText(raw: string): string {
  if (plainQueryText.test(raw)) return raw
  return decode(raw.includes('+') ? raw.replaceAll('+', '%20') : raw)
}

function decode(raw: string): string {
  // Node hands bytes above 0x7f through as Latin-1: they are the UTF-8 bytes that the client did not encode.
  const ascii = raw.replace(/[\x80-\xff]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)
  try {
    return decodeURIComponent(ascii)
  } catch {
    throw new SignatureError('MalformedUrl', 'the URL is not percent-encoded UTF-8: encode every byte as %XX')
  }
}
