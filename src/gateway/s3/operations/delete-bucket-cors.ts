import { operation } from '../operation.ts'

export const deleteBucketCors = operation({
  name: 'DeleteBucketCors',
  on: 'bucket',
  needs: 'owner',
  reach: 'outside',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => context.versioning.settings.setCrossOrigin(await context.branch(bucket), undefined),
  write: () => ({ status: 204, headers: {} }),
})
