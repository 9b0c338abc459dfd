import { ConditionFailed, type WriteConditions } from '../../../versioning/index.ts'
import { invalidArgument, S3Error } from '../codes.ts'
import { isMetByNothing, readDeleteETag } from '../conditions.ts'
import { versionText } from '../entry-headers.ts'
import { operation } from '../operation.ts'
import type { ObjectRequest } from '../request.ts'
import { commitHeaders } from '../write-headers.ts'

export const deleteObject = operation({
  name: 'DeleteObject',
  on: 'object',
  needs: 'write',
  parameters: ['versionId'],
  read: (request) => {
    if (request.query.has('versionId')) {
      throw new S3Error('NotImplemented', 'Deleting a version is not implemented yet: delete the key without versionId')
    }
    return { bucket: request.bucket, path: request.key, conditions: readDeleteConditions(request) }
  },
  run: async ({ bucket, path, conditions }, context) => {
    const at = await context.branch(bucket)
    try {
      const options = { author: context.caller.name, ...(conditions ? { conditions } : {}) }
      return { at, result: await context.versioning.delete(at, path, options) }
    } catch (error) {
      if (error instanceof ConditionFailed && isMetByNothing(conditions, error.data)) return { at, result: undefined }
      throw error
    }
  },
  write: ({ at, result }) => ({
    status: 204,
    headers: result
      ? {
          'x-amz-version-id': versionText(result.version),
          'x-amz-delete-marker': 'true',
          ...commitHeaders(at, result.commit),
        }
      : {},
  }),
})

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
