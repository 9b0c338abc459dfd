import { operation } from '../operation.ts'

export const deleteBucketTagging = operation({
  name: 'DeleteBucketTagging',
  on: 'bucket',
  needs: 'owner',
  reach: 'outside',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => context.versioning.settings.setTags(await context.branch(bucket), undefined),
  write: () => ({ status: 204, headers: {} }),
})
