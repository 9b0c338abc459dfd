import type { CommitId, FileEntry, Path, Target, TargetInfo } from '../../versioning/index.ts'
import type { Bucket } from './addressing.ts'
import { S3Error } from './codes.ts'
import type { Context } from './operation.ts'

/** Which version of a key: exactly one, or the one that was current as of a commit. */
export type VersionClaim =
  | { readonly kind: 'exact'; readonly commit: CommitId; readonly seq: number }
  | { readonly kind: 'asOf'; readonly commit: string }

export interface FoundEntry {
  readonly entry: FileEntry
  readonly info: TargetInfo
}

/** `<commit>-<seq>`, or a commit id (or a prefix of 8 digits or more). */
export function readVersionId(text: string | undefined): VersionClaim | undefined {
  if (text === undefined) return undefined
  const exact = /^([0-9a-f]{32})-(\d{1,15})$/.exec(text)
  if (exact) return { kind: 'exact', commit: exact[1] as CommitId, seq: Number(exact[2]) }
  if (/^[0-9a-f]{8,32}$/.test(text)) return { kind: 'asOf', commit: text }
  throw new S3Error('InvalidArgument', 'Invalid version id specified: it is <commit>-<number>, or a commit id', {
    ArgumentName: 'versionId',
    ArgumentValue: text.slice(0, 255),
  })
}

/** What the bucket holds at the path, and where that is. Throws PathNotFound, NoSuchVersion. */
export async function findEntry(
  context: Context,
  bucket: Bucket,
  path: Path,
  version: VersionClaim | undefined,
): Promise<FoundEntry> {
  const target = await context.target(bucket)
  if (!version) return at(context, target, path)
  if (version.kind === 'asOf') {
    const commit = await context.versioning
      .resolveRevision(bucket.repo, version.commit)
      .catch(orElse('CommitNotFound', undefined))
    if (commit === undefined) throw noSuchVersion(version.commit)
    return at(context, { kind: 'commit', repo: bucket.repo, commit }, path)
  }
  for (const place of [target, { kind: 'commit', repo: bucket.repo, commit: version.commit } as const]) {
    const entry = await statOrNothing(context, place, path)
    if (entry?.version.commit === version.commit && entry.version.seq === version.seq) {
      return { entry, info: await context.describe(place) }
    }
  }
  const commit = await context.versioning
    .getCommit(bucket.repo, version.commit)
    .catch(orElse('CommitNotFound', undefined))
  if (!commit) throw noSuchVersion(`${version.commit}-${version.seq}`)
  throw new S3Error(
    'NotImplemented',
    'This version was replaced within its commit. Reading such versions is not implemented yet; the last version of a commit is ' +
      `read from the bucket ${version.commit}.${bucket.repo}`,
  )
}

function at(context: Context, target: Target, path: Path): Promise<FoundEntry> {
  return context.versioning.find(target, path)
}

function statOrNothing(context: Context, target: Target, path: Path): Promise<FileEntry | undefined> {
  return context.versioning
    .stat(target, path)
    .catch(orElse('PathNotFound', undefined))
    .catch(orElse('CommitNotFound', undefined))
    .catch(orElse('CommitUnavailable', undefined))
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
