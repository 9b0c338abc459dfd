import { settableBranch } from '../bucket-settings.ts'
import { operation } from '../operation.ts'
import { MAX_BUCKET_TAGS, readTaggingDocument, TAGGING_DOCUMENT_BYTES } from '../tagging.ts'

export const putBucketTagging = operation({
  name: 'PutBucketTagging',
  on: 'bucket',
  needs: 'owner',
  reach: 'outside',
  documentBytes: TAGGING_DOCUMENT_BYTES,
  read: ({ bucket }, bytes) => ({ bucket, tags: readTaggingDocument(bytes, MAX_BUCKET_TAGS) }),
  run: async ({ bucket, tags }, context) => {
    const at = await settableBranch(context, bucket)
    await context.versioning.settings.setTags(at, tags.length > 0 ? tags : undefined)
  },
  write: () => ({ status: 204, headers: {} }),
})
