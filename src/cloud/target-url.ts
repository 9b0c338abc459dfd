import { isIP } from 'node:net'
import { InvalidInput } from '../kernel/index.ts'
import { isLoopback } from './addresses.ts'
import type { S3Target } from './target.ts'

/** A URL of a store that Pachyderm knows and this release does not push to. */
export interface LaterTarget {
  readonly kind: 'gs' | 'azure'
  /** What the store is called. */
  readonly service: string
  readonly url: string
}

/** What a named secret says about where it belongs. */
export interface EndpointHint {
  readonly endpoint?: string | undefined
}

const later: Readonly<Record<string, { kind: LaterTarget['kind']; service: string; shape: string; host: RegExp }>> = {
  gs: { kind: 'gs', service: 'Google Cloud Storage', shape: 'gs://bucket/folder', host: /^[a-z0-9][a-z0-9._-]+$/ },
  ...Object.fromEntries(
    ['wasb', 'wasbs', 'abfs', 'abfss', 'azblob'].map((scheme) => [
      scheme,
      {
        kind: 'azure' as const,
        service: 'Azure Blob Storage',
        shape: `${scheme}://container@account/folder`,
        host: /^[a-z0-9$-]+@[a-z0-9.-]+$/,
      },
    ]),
  ),
}

/**
 * Parses a target URL. In `s3://x/y/z`, x is an endpoint if it has a port, is `localhost` or an IP, or is the host of the
 * secret's endpoint; else it is the bucket. An endpoint in a URL is reached by https, on loopback by http; a secret's endpoint
 * as it says. Throws InvalidInput that says what is wrong and what is right.
 */
export function parseTargetUrl(text: string, secret: EndpointHint = {}): S3Target | LaterTarget {
  const match = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(.*)$/s.exec(text)
  if (!match) throw invalid(text, 'is not a URL: write s3://bucket/folder or s3://endpoint/bucket/folder')
  const scheme = match[1]!.toLowerCase()
  const rest = match[2]!
  if (scheme === 's3') return parseS3(text, rest, secret)
  const known = later[scheme]
  if (known) return parseLater(text, scheme, rest, known)
  if (scheme === 's3a' || scheme === 's3n')
    throw invalid(text, `is Hadoop's way to write it: write s3://${withoutUser(rest)}`)
  throw invalid(text, `has a scheme that is not known: s3:// is`)
}

/** Only of http and https URLs of a host and a port, in their normal form. Throws InvalidInput. */
export function parseEndpoint(text: string): string {
  const match = /^(https?):\/\/([^/?#@\s]+)\/?$/i.exec(text)
  if (!match)
    throw new InvalidInput('an endpoint is written https://host[:port], without user, path or query', {
      endpoint: clean(text),
    })
  const host = parseHost(match[2]!)
  if (!host) throw new InvalidInput('an endpoint is written https://host[:port]', { endpoint: clean(text) })
  return endpointUrl(match[1]!.toLowerCase() as 'http' | 'https', host)
}

function parseS3(text: string, rest: string, secret: EndpointHint): S3Target {
  if (rest.split('/')[0]!.includes('@')) {
    throw invalid(
      text,
      'holds credentials, which a URL must not: name a secret (sluice secret create NAME --access-key … --secret-key …)',
    )
  }
  if (/[?#\s\\]/.test(rest) || !isPrintable(rest)) {
    throw invalid(text, 'holds a character that is not allowed: no ?, #, backslash, space or control character')
  }
  const segments = rest.replace(/\/+$/, '').split('/')
  if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) {
    throw invalid(text, rest === '' ? 'names no bucket' : "has an empty segment, '.' or '..' in its path")
  }
  const inUrl = endpointOf(text, segments[0]!, secret)
  if (inUrl && secret.endpoint && inUrl !== secret.endpoint) {
    throw invalid(text, `names the endpoint ${inUrl}, but its secret is for ${secret.endpoint} only`)
  }
  const endpoint = inUrl ?? secret.endpoint
  const [bucket, ...folder] = inUrl ? segments.slice(1) : segments
  if (bucket === undefined) throw invalid(text, 'names no bucket: write s3://endpoint/bucket/folder')
  checkBucket(text, bucket, endpoint)
  const place = [bucket, ...folder].join('/')
  const host = endpoint?.replace(/^https?:\/\//, '')
  return {
    kind: 's3',
    endpoint,
    bucket,
    folder: folder.join('/'),
    url: host === undefined ? `s3://${place}` : `s3://${host}/${place}`,
    identity: endpoint === undefined ? `s3://${place}` : `${endpoint}/${place}`,
  }
}

function endpointOf(text: string, first: string, secret: EndpointHint): string | undefined {
  const host = parseHost(first)
  if (!host) {
    if (first.includes(':') || first.includes('[')) throw invalid(text, 'has a host or port that is not one')
    return undefined
  }
  const named = secret.endpoint ? parseHost(secret.endpoint.replace(/^https?:\/\//, '')) : undefined
  if (secret.endpoint && named?.name === host.name && (host.port === undefined || host.port === named.port)) {
    return secret.endpoint
  }
  const isEndpoint = host.port !== undefined || host.name === 'localhost' || isIP(host.name) !== 0
  if (!isEndpoint) return undefined
  return endpointUrl(host.name === 'localhost' || isLoopback(host.name) ? 'http' : 'https', host)
}

interface Host {
  /** Lower case; an IPv6 address without brackets. */
  readonly name: string
  readonly port: number | undefined
}

function parseHost(text: string): Host | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text)
  if (!match) return undefined
  const [, v6, name, port] = match
  if (v6 !== undefined && isIP(v6) !== 6) return undefined
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return undefined
  return { name: (v6 ?? name!).toLowerCase(), port: port === undefined ? undefined : Number(port) }
}

function endpointUrl(scheme: 'http' | 'https', { name, port }: Host): string {
  const host = isIP(name) === 6 ? `[${name}]` : name
  const isDefault = port === undefined || port === (scheme === 'http' ? 80 : 443)
  return isDefault ? `${scheme}://${host}` : `${scheme}://${host}:${port}`
}

function checkBucket(text: string, bucket: string, endpoint: string | undefined): void {
  if (endpoint !== undefined) {
    // Other stores allow what Amazon does not.
    if (!/^[A-Za-z0-9._-]{1,255}$/.test(bucket))
      throw invalid(text, `names a bucket that can not be one: ${clean(bucket)}`)
    return
  }
  if (/\.amazonaws\.com(\.cn)?$/.test(bucket)) {
    throw invalid(text, 'begins with a host of Amazon S3: leave it out and write s3://bucket/folder')
  }
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket) || bucket.includes('..')) {
    throw invalid(
      text,
      `names a bucket that Amazon S3 does not allow: ${clean(bucket)} (3 to 63 lower-case letters, digits, dots and dashes)`,
    )
  }
}

function parseLater(
  text: string,
  scheme: string,
  rest: string,
  known: { kind: LaterTarget['kind']; service: string; shape: string; host: RegExp },
): LaterTarget {
  const [host, ...folder] = rest.replace(/\/+$/, '').split('/')
  if (!host || !known.host.test(host.toLowerCase()) || folder.some((segment) => segment === '')) {
    throw invalid(text, `is not of the form ${known.shape} (and ${known.service} comes in a later release)`)
  }
  return { kind: known.kind, service: known.service, url: `${scheme}://${[host.toLowerCase(), ...folder].join('/')}` }
}

function isPrintable(text: string): boolean {
  return text.isWellFormed() && !/\p{Cc}/u.test(text)
}

/** What may be shown of a URL: never the part that could be a password, and no control characters. */
function clean(text: string): string {
  return withoutUser(text.toWellFormed().replace(/\p{Cc}/gu, '?')).slice(0, 300)
}

function withoutUser(text: string): string {
  return text.replace(/^([A-Za-z][A-Za-z0-9+.-]*:\/\/)?[^/]*:[^/]*@/, '$1…@')
}

function invalid(text: string, what: string): InvalidInput {
  return new InvalidInput(`${clean(text)} ${what}`, { url: clean(text) })
}
