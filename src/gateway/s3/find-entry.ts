import type { CommitId, FileEntry, FileVersion, Path, Target, TargetInfo, VersionName } from '../../versioning/index.ts'
import type { Bucket } from './addressing.ts'
import { S3Error } from './codes.ts'
import { httpDate, versionText } from './entry-headers.ts'
import type { Context } from './operation.ts'

/** Which version of a key: exactly one, or the one that was current as of a commit. */
export type VersionClaim =
  | { readonly kind: 'exact'; readonly version: VersionName }
  | { readonly kind: 'asOf'; readonly commit: string }

export interface FoundEntry {
  readonly entry: FileEntry
  readonly info: TargetInfo
}

/** `<commit>-<seq>`, `null`, or a commit id (or a prefix of 8 digits or more). */
export function readVersionId(text: string | undefined): VersionClaim | undefined {
  if (text === undefined) return undefined
  const version = readVersionName(text)
  if (version) return { kind: 'exact', version }
  if (/^[0-9a-f]{8,32}$/.test(text)) return { kind: 'asOf', commit: text }
  throw invalidVersionId('versionId', text)
}

/** `<commit>-<seq>` or `null`; undefined if it is neither. */
export function readVersionName(text: string): VersionName | undefined {
  if (text === 'null') return 'null'
  const exact = /^([0-9a-f]{32})-(\d{1,15})$/.exec(text)
  return exact ? { commit: exact[1] as CommitId, seq: Number(exact[2]) } : undefined
}

export function invalidVersionId(argument: string, text: string): S3Error {
  return new S3Error('InvalidArgument', 'Invalid version id specified: it is <commit>-<number>, null, or a commit id', {
    ArgumentName: argument,
    ArgumentValue: text.slice(0, 255),
  })
}

/** What the bucket holds at the path, and where that is. Throws S3Error NoSuchKey, NoSuchVersion, MethodNotAllowed (a delete marker). */
export async function findEntry(
  context: Context,
  bucket: Bucket,
  path: Path,
  version: VersionClaim | undefined,
): Promise<FoundEntry> {
  const target = await context.target(bucket)
  if (!version) return findLatest(context, target, path)
  if (version.kind === 'exact') {
    const { found, info } = await context.versioning.versions.find(target, path, version.version)
    if (!found.entry) throw isMarker(found)
    return { entry: found.entry, info }
  }
  const commit = await context.versioning
    .resolveRevision(bucket.repo, version.commit)
    .catch(orElse('CommitNotFound', undefined))
  if (commit === undefined) throw noSuchVersion(version.commit)
  return findLatest(context, { kind: 'commit', repo: bucket.repo, commit }, path)
}

async function findLatest({ versioning }: Context, target: Target, path: Path): Promise<FoundEntry> {
  const found = await versioning.find(target, path).catch(orElse('PathNotFound', undefined))
  if (found) return found
  const marker = await versioning.versions.marker(target, path)
  const message = 'The specified key does not exist.'
  throw new S3Error('NoSuchKey', message, { Key: path }, marker ? markerHeaders(marker) : {})
}

/** AWS: a delete marker can only be deleted. */
function isMarker(marker: FileVersion): S3Error {
  return new S3Error(
    'MethodNotAllowed',
    'The specified method is not allowed against this resource: the version is a delete marker.',
    { ResourceType: 'DeleteMarker' },
    { ...markerHeaders(marker), 'Last-Modified': httpDate(marker.modifiedMs), Allow: 'DELETE' },
  )
}

function markerHeaders({ version }: FileVersion): Record<string, string> {
  return { 'x-amz-delete-marker': 'true', 'x-amz-version-id': versionText(version) }
}

/** For a promise's `catch`: what to give for one code of error; any other is passed on. */
export function orElse<T>(code: string, fallback: T): (error: unknown) => T {
  return (error) => {
    if ((error as { code?: unknown } | null)?.code === code) return fallback
    throw error
  }
}

function noSuchVersion(version: string): S3Error {
  return new S3Error('NoSuchVersion', 'The specified version does not exist.', { VersionId: version })
}
