import { isIP } from 'node:net'
import type { GcsTarget } from '../target.ts'
import type { SecretHint } from './hint.ts'
import { checkSegments, clean, invalid, type RawUrl, refuseCredentials } from './text.ts'

/** `gs://bucket[/folder]`; another endpoint than Google's is named by the secret alone. */
export function parseGcs(raw: RawUrl, secret: SecretHint): GcsTarget {
  refuseCredentials(raw)
  checkSegments(raw, 'bucket')
  const [bucket, ...folder] = raw.segments as [string, ...string[]]
  checkBucket(raw.text, bucket)
  const place = [bucket, ...folder].join('/')
  return {
    kind: 'gcs',
    endpoint: secret.endpoint,
    bucket,
    folder: folder.join('/'),
    url: `gs://${place}`,
    identity: secret.endpoint === undefined ? `gs://${place}` : `${secret.endpoint}/${place}`,
  }
}

/** https://cloud.google.com/storage/docs/buckets#naming: 63 characters, or 222 with dots and at most 63 between them. */
function checkBucket(text: string, bucket: string): void {
  if (bucket.includes(':') || isIP(bucket) !== 0) {
    throw invalid(text, 'names a host: write gs://bucket/folder, and the endpoint in the secret (--endpoint)')
  }
  const labels = bucket.split('.')
  const right =
    /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/.test(bucket) &&
    labels.every((label) => label.length >= 1 && label.length <= 63) &&
    !bucket.startsWith('goog')
  if (right) return
  throw invalid(
    text,
    `names a bucket that Google does not allow: ${clean(bucket)} (3 to 63 lower-case letters, digits, dashes, underscores and dots, not beginning with goog)`,
  )
}
