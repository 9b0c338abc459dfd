import { isIP } from 'node:net'
import type { S3Target } from '../target.ts'
import type { SecretHint } from './hint.ts'
import { endpointUrl, type Host, isLoopbackName, isPlainlyHost, parseHost } from './host.ts'
import { checkSegments, clean, invalid, type RawUrl, refuseCredentials } from './text.ts'

/** `s3://[endpoint/]bucket[/folder]`, or `minio://host[:port]/bucket[/folder]`, where the first part always is the endpoint. */
export function parseS3(raw: RawUrl, secret: SecretHint): S3Target {
  const { text, scheme, segments } = raw
  refuseCredentials(raw)
  checkSegments(raw, 'bucket')
  const inUrl = endpointOf(raw, secret)
  if (inUrl && secret.endpoint && inUrl !== secret.endpoint) {
    throw invalid(text, `names the endpoint ${inUrl}, but its secret is for ${secret.endpoint} only`)
  }
  const endpoint = inUrl ?? secret.endpoint
  const [bucket, ...folder] = inUrl ? segments.slice(1) : segments
  if (bucket === undefined) {
    throw invalid(text, `names no bucket: write ${scheme === 'minio' ? 'minio://host' : 's3://endpoint'}/bucket/folder`)
  }
  checkBucket(text, bucket, endpoint)
  const place = [bucket, ...folder].join('/')
  return {
    kind: 's3',
    endpoint,
    bucket,
    folder: folder.join('/'),
    url: endpoint === undefined ? `s3://${place}` : `s3://${shownHost(endpoint, secret)}/${place}`,
    identity: endpoint === undefined ? `s3://${place}` : `${endpoint}/${place}`,
  }
}

function endpointOf({ text, scheme, segments }: RawUrl, secret: SecretHint): string | undefined {
  const first = segments[0]!
  const host = parseHost(first)
  if (!host) {
    if (scheme === 'minio' || first.includes(':') || first.includes('[')) {
      throw invalid(text, 'has a host or port that is not one')
    }
    return undefined
  }
  const named = secret.endpoint ? parseHost(secret.endpoint.replace(/^https?:\/\//, '')) : undefined
  if (
    secret.endpoint &&
    named?.name === host.name &&
    (host.port === undefined || host.port === portOf(secret.endpoint))
  ) {
    return secret.endpoint
  }
  const isEndpoint = scheme === 'minio' || host.port !== undefined || isPlainlyHost(host.name)
  if (!isEndpoint) return undefined
  return endpointUrl(isLoopbackName(host.name) ? 'http' : 'https', host)
}

function portOf(endpoint: string): number {
  const [, scheme, port] = /^(https?):.*?(?::(\d+))?$/.exec(endpoint)!
  return port === undefined ? (scheme === 'http' ? 80 : 443) : Number(port)
}

/** The host as it must be written for the URL to mean the same again: a name without a port would be read as a bucket. */
function shownHost(endpoint: string, secret: SecretHint): string {
  const shown = endpoint.replace(/^https?:\/\//, '')
  const { name, port } = parseHost(shown) as Host
  if (port !== undefined || isPlainlyHost(name) || endpoint === secret.endpoint) return shown
  return `${isIP(name) === 6 ? `[${name}]` : name}:${portOf(endpoint)}`
}

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
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
