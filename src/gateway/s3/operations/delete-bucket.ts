import { operation } from '../operation.ts'

export const deleteBucket = operation({
  name: 'DeleteBucket',
  on: 'bucket',
  needs: 'owner',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => context.versioning.deleteBranch(await context.branch(bucket)),
  write: () => ({ status: 204, headers: {} }),
})
