import {
  type Checksum,
  type FileEntry,
  isVersion,
  type Provenance,
  type TargetInfo,
  type VersionName,
} from '../../versioning/index.ts'
import { DEFAULT_CONTENT_TYPE, headerBytes, OWN_METADATA_PREFIX } from './attributes.ts'
import { checksumHeaders } from './checksums.ts'
import type { ReplyHeaders } from './operation.ts'

/** What is made on read: half of what AWS allows for a client's own metadata, so that readers with limits take both. */
const MAX_OWN_METADATA_BYTES = 1024
/** Proxies allow 8 KiB for all headers together. */
const MAX_PROVENANCE_BYTES = 2048

export function versionText(version: VersionName): string {
  return version === 'null' ? version : `${version.commit}-${version.seq}`
}

/** The version id as S3 shows it; undefined where it shows none: of a scratch file, and before versioning is enabled. */
export function shownVersion(
  { version, isNull }: Pick<FileEntry, 'version' | 'isNull'>,
  { unversioned }: Pick<TargetInfo, 'unversioned'>,
): string | undefined {
  if (unversioned || !isVersion(version)) return undefined
  return isNull ? 'null' : versionText(version)
}

let lastSecond = -1
let lastText = ''

/** `Last-Modified` and its kin: whole seconds. Objects written together share them, so the last one is kept. */
export function httpDate(ms: number): string {
  const second = Math.floor(ms / 1000)
  if (second !== lastSecond) {
    lastText = new Date(second * 1000).toUTCString()
    lastSecond = second
  }
  return lastText
}

/** Where the answer comes from: repo, branch, commit, its state and what it was computed from. */
export function targetHeaders(info: TargetInfo): ReplyHeaders {
  const headers: ReplyHeaders = { 'x-sluice-repo': info.repo, 'x-sluice-branch': info.branch }
  if (info.commit !== undefined) headers['x-sluice-commit'] = info.commit
  if (info.commitState !== undefined) headers['x-sluice-commit-state'] = info.commitState
  if (info.pipeline !== undefined) headers['x-sluice-pipeline'] = info.pipeline
  if (info.provenance.length > 0) headers['x-sluice-provenance'] = provenanceText(info.provenance, MAX_PROVENANCE_BYTES)
  return headers
}

/** Everything that GET and HEAD say about an object, but for its length and range. */
export function entryHeaders(entry: FileEntry, info: TargetInfo, checksum: Checksum | undefined): ReplyHeaders {
  const { attributes } = entry
  const headers: ReplyHeaders = {
    ETag: `"${entry.etag}"`,
    'Last-Modified': httpDate(entry.modifiedMs),
    'Accept-Ranges': 'bytes',
    'Content-Type': headerBytes(attributes.contentType ?? DEFAULT_CONTENT_TYPE),
    ...targetHeaders(info),
  }
  const version = shownVersion(entry, info)
  if (version !== undefined) headers['x-amz-version-id'] = version
  if (attributes.cacheControl !== undefined) headers['Cache-Control'] = headerBytes(attributes.cacheControl)
  if (attributes.contentDisposition !== undefined)
    headers['Content-Disposition'] = headerBytes(attributes.contentDisposition)
  if (attributes.contentEncoding !== undefined) headers['Content-Encoding'] = headerBytes(attributes.contentEncoding)
  if (attributes.contentLanguage !== undefined) headers['Content-Language'] = headerBytes(attributes.contentLanguage)
  if (attributes.expires !== undefined) headers['Expires'] = headerBytes(attributes.expires)
  for (const name of Object.keys(attributes.metadata)) {
    headers[`x-amz-meta-${name}`] = headerBytes(attributes.metadata[name] ?? '')
  }
  if (checksum) Object.assign(headers, checksumHeaders(checksum))
  if (entry.origin) Object.assign(headers, originHeaders(entry.origin, info))
  return headers
}

/** The facts about a pipeline's output, once more as user metadata: that is all that Spark, the AWS CLI and most SDKs show. */
function originHeaders(origin: NonNullable<FileEntry['origin']>, info: TargetInfo): ReplyHeaders {
  const headers: ReplyHeaders = { 'x-sluice-job': origin.job, 'x-sluice-datum': origin.datum }
  const facts: [string, string][] = [
    ['job', origin.job],
    ['datum', origin.datum],
  ]
  if (info.pipeline !== undefined) facts.unshift(['pipeline', info.pipeline])
  let left = MAX_OWN_METADATA_BYTES
  for (const [name, value] of facts) {
    headers[`x-amz-meta-${OWN_METADATA_PREFIX}${name}`] = value
    left -= OWN_METADATA_PREFIX.length + name.length + value.length
  }
  const provenance = provenanceText(info.provenance, left - OWN_METADATA_PREFIX.length - 'provenance'.length)
  if (provenance !== '') headers[`x-amz-meta-${OWN_METADATA_PREFIX}provenance`] = provenance
  return headers
}

/** `repo@commit, …`, direct inputs first; what does not fit is counted. */
function provenanceText(provenance: readonly Provenance[], maxBytes: number): string {
  const ordered = [...provenance.filter((item) => item.direct), ...provenance.filter((item) => !item.direct)]
  let text = ''
  for (const [index, item] of ordered.entries()) {
    const next = `${index === 0 ? '' : ', '}${item.repo}@${item.commit}`
    // Room for ", +12345 more".
    if (text.length + next.length + 14 > maxBytes) {
      return text === '' ? '' : `${text}, +${ordered.length - index} more`
    }
    text += next
  }
  return text
}
