import { admitSharing, readCannedAcl } from '../acl.ts'
import { readAttributes } from '../attributes.ts'
import { checksumHeaders, DEFAULT_CHECKSUM } from '../checksums.ts'
import { readWriteConditions } from '../conditions.ts'
import { isFromJob, noteJobFolder } from '../job-deletes.ts'
import { operation } from '../operation.ts'
import { readTaggingHeader } from '../tagging.ts'
import { refuseUnsupportedHeaders, UNSUPPORTED_ON_WRITE } from '../unsupported.ts'
import { commitHeaders, newVersionHeader } from '../write-headers.ts'

export const putObject = operation({
  name: 'PutObject',
  on: 'object',
  partly: UNSUPPORTED_ON_WRITE,
  needs: 'write',
  read: ({ bucket, key, headers }) => {
    refuseUnsupportedHeaders(headers)
    return {
      bucket,
      path: key,
      attributes: readAttributes(headers),
      conditions: readWriteConditions(headers),
      tags: readTaggingHeader(headers['x-amz-tagging']),
      access: readCannedAcl(headers),
      isFromJob: isFromJob(headers),
    }
  },
  run: async ({ bucket, path, attributes, conditions, tags, access, isFromJob }, context) => {
    await admitSharing(context, bucket.repo, access)
    const at = await context.branch(bucket)
    const { staged, md5, checksum } = await context.receive(at, { checksum: DEFAULT_CHECKSUM })
    const result = await context.versioning.put(at, {
      path,
      staged,
      etag: md5,
      attributes,
      author: context.caller.name,
      ...(checksum ? { checksum } : {}),
      ...(conditions ? { conditions } : {}),
      ...(tags ? { tags } : {}),
      ...(access ? { access } : {}),
    })
    if (isFromJob) noteJobFolder(context, at, path)
    return { at, result, md5, checksum }
  },
  write: ({ at, result, md5, checksum }) => ({
    status: 200,
    headers: {
      ETag: `"${md5}"`,
      ...newVersionHeader(result),
      ...checksumHeaders(checksum),
      ...commitHeaders(at, result.commit),
    },
  }),
})
