import { readAttributes } from '../attributes.ts'
import { checksumHeaders, DEFAULT_CHECKSUM } from '../checksums.ts'
import { readWriteConditions } from '../conditions.ts'
import { versionText } from '../entry-headers.ts'
import { operation } from '../operation.ts'
import { refuseUnsupportedHeaders } from '../unsupported.ts'
import { commitHeaders } from '../write-headers.ts'

export const putObject = operation({
  name: 'PutObject',
  on: 'object',
  needs: 'write',
  read: ({ bucket, key, headers }) => {
    refuseUnsupportedHeaders(headers)
    return { bucket, path: key, attributes: readAttributes(headers), conditions: readWriteConditions(headers) }
  },
  run: async ({ bucket, path, attributes, conditions }, context) => {
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
    })
    return { at, result, md5, checksum }
  },
  write: ({ at, result, md5, checksum }) => ({
    status: 200,
    headers: {
      ETag: `"${md5}"`,
      'x-amz-version-id': versionText(result.version),
      ...checksumHeaders(checksum),
      ...commitHeaders(at, result.commit),
    },
  }),
})
