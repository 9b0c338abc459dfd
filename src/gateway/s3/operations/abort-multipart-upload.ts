import { required } from '../numbers.ts'
import { operation } from '../operation.ts'

export const abortMultipartUpload = operation({
  name: 'AbortMultipartUpload',
  on: 'object',
  needs: 'write',
  read: ({ bucket, key, query }) => ({ bucket, path: key, uploadId: required('uploadId', query.get('uploadId')) }),
  run: async ({ bucket, path, uploadId }, context) =>
    context.versioning.uploads.abort(await context.branch(bucket), path, uploadId),
  write: () => ({ status: 204, headers: {} }),
})
