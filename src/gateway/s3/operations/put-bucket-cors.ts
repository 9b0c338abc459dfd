import { settableBranch } from '../bucket-settings.ts'
import { CORS_DOCUMENT_BYTES, readCorsConfiguration } from '../cors.ts'
import { operation } from '../operation.ts'

export const putBucketCors = operation({
  name: 'PutBucketCors',
  on: 'bucket',
  needs: 'owner',
  reach: 'outside',
  documentBytes: CORS_DOCUMENT_BYTES,
  read: ({ bucket }, bytes) => ({ bucket, rules: readCorsConfiguration(bytes) }),
  run: async ({ bucket, rules }, context) =>
    context.versioning.settings.setCrossOrigin(await settableBranch(context, bucket), rules),
  write: () => ({ status: 200, headers: {} }),
})
