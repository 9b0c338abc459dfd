import { createHash } from 'node:crypto'
import type { Entry } from '../versioning/index.ts'

/**
 * What a file is at the target: its bytes (by SHA-256, not by an MD5 that somebody could have made to match) and how they are
 * described. Two entries with one fingerprint need not be pushed twice.
 */
export function fingerprintOf(entry: Entry): string {
  const { content, size, attributes } = entry
  const identity = content.kind === 'inline' ? sha256(content.bytes) : content.sha256.toString('base64url')
  const metadata = Object.entries(attributes.metadata).sort(([a], [b]) => (a < b ? -1 : 1))
  return sha256(JSON.stringify([content.kind === 'manifest', identity, size, attributes.contentType ?? null, metadata]))
}

/** The MD5 of an entry's bytes where its ETag says it: that of a multipart object is something else. */
export function md5Of(entry: Entry): string | undefined {
  return entry.parts === undefined && /^[0-9a-f]{32}$/.test(entry.etag) ? entry.etag : undefined
}

/** The SHA-256 of an entry's bytes (base64url) where it is known without reading them: up to one chunk. */
export function sha256Of({ content }: Entry): string | undefined {
  if (content.kind === 'inline') return sha256(content.bytes)
  return content.kind === 'chunk' ? content.sha256.toString('base64url') : undefined
}

function sha256(data: string | Buffer): string {
  return createHash('sha256').update(data).digest('base64url')
}
