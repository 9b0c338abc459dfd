import {
  type BranchAddress,
  ConditionFailed,
  type DeleteResult,
  type Path,
  type VersionName,
  type WriteConditions,
} from '../../../versioning/index.ts'
import { invalidArgument } from '../codes.ts'
import { isMetByNothing, preconditionFailed, readDeleteETag } from '../conditions.ts'
import { versionText } from '../entry-headers.ts'
import { invalidVersionId, readVersionName } from '../find-entry.ts'
import { isFromJob, noteJobDeletes } from '../job-deletes.ts'
import { type Context, operation, type ReplyHeaders } from '../operation.ts'
import type { ObjectRequest } from '../request.ts'
import { commitHeaders, newVersionHeader } from '../write-headers.ts'

interface Input {
  readonly path: Path
  readonly conditions: WriteConditions | undefined
}

export const deleteObject = operation({
  name: 'DeleteObject',
  on: 'object',
  needs: 'write',
  parameters: ['versionId'],
  read: (request) => ({
    bucket: request.bucket,
    path: request.key,
    version: readVersion(request.query.get('versionId')),
    conditions: readDeleteConditions(request),
    fromJob: isFromJob(request.headers),
  }),
  run: async ({ bucket, path, version, conditions, fromJob }, context) => {
    const at = await context.branch(bucket)
    if (version !== undefined) return deleteVersion(context, at, { path, conditions }, version)
    const result = await deleteLatest(context, at, { path, conditions })
    if (fromJob && result) noteJobDeletes(context, at, [{ path, existed: result.existed }])
    return result ? markerHeaders(at, result) : {}
  },
  write: (headers) => ({ status: 204, headers }),
})

async function deleteLatest(
  context: Context,
  at: BranchAddress,
  { path, conditions }: Input,
): Promise<DeleteResult | undefined> {
  try {
    return await context.versioning.delete(at, path, {
      author: context.caller.name,
      ...(conditions ? { conditions } : {}),
    })
  } catch (error) {
    if (!(error instanceof ConditionFailed)) throw error
    if (await isMarkerInstead(context, at, path, error.data)) throw preconditionFailed('If-Match')
    if (isMetByNothing(conditions, error.data)) return undefined
    throw error
  }
}

/** Whether a condition found nothing because the key's latest version is a delete marker: that is something, and does not match. */
export async function isMarkerInstead(
  { versioning }: Context,
  at: BranchAddress,
  path: Path,
  failure: ConditionFailed['data'],
): Promise<boolean> {
  if (failure['missing'] !== true) return false
  return (await versioning.versions.marker({ kind: 'branch', ...at }, path)) !== undefined
}

function markerHeaders(at: BranchAddress, result: DeleteResult): ReplyHeaders {
  const id = newVersionHeader(result)
  const marker = 'x-amz-version-id' in id ? { 'x-amz-delete-marker': 'true' } : {}
  return { ...id, ...marker, ...commitHeaders(at, result.commit) }
}

async function deleteVersion(
  context: Context,
  at: BranchAddress,
  { path, conditions }: Input,
  version: VersionName,
): Promise<ReplyHeaders> {
  const wish = { path, version, ...(conditions ? { conditions } : {}) }
  const [result] = await context.versioning.versions.delete(at, [wish], context.caller.name)
  if (result?.kind === 'refused') throw preconditionFailed(String(result.error.data['condition'] ?? 'If-Match'))
  // AWS: a version that is not there is deleted all the same.
  if (result?.kind !== 'hidden' || result.unversioned) return {}
  return {
    'x-amz-version-id': versionText(version),
    ...(result.marker ? { 'x-amz-delete-marker': 'true' } : {}),
  }
}

function readVersion(text: string | undefined): VersionName | undefined {
  const version = text === undefined ? undefined : readVersionName(text)
  if (text !== undefined && version === undefined) throw invalidVersionId('versionId', text)
  return version
}

function readDeleteConditions({ headers }: ObjectRequest): WriteConditions | undefined {
  const etag = headers['if-match']
  const size = headers['x-amz-if-match-size']
  const time = headers['x-amz-if-match-last-modified-time']
  if (etag === undefined && size === undefined && time === undefined) return undefined
  if (size !== undefined && !/^\d{1,15}$/.test(size))
    throw invalidArgument('x-amz-if-match-size', size, 'It must be a number of bytes')
  const modifiedMs = time === undefined ? undefined : Date.parse(time)
  if (modifiedMs !== undefined && Number.isNaN(modifiedMs)) {
    throw invalidArgument('x-amz-if-match-last-modified-time', time ?? '', 'It must be an HTTP date')
  }
  return {
    ...(etag === undefined ? {} : { ifMatch: readDeleteETag(etag) }),
    ...(size === undefined ? {} : { ifMatchSize: Number(size) }),
    ...(modifiedMs === undefined ? {} : { ifMatchModifiedMs: modifiedMs }),
  }
}
