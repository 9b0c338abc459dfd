import { isTransactionName } from '../../../versioning/index.ts'
import { operation } from '../operation.ts'

export const deleteBucket = operation({
  name: 'DeleteBucket',
  on: 'bucket',
  needs: 'owner',
  needsInTransaction: 'write',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => {
    const { versioning } = context
    const at = await context.branch(bucket)
    // A transaction is aborted with all that was written in it: that is what it is for.
    await (isTransactionName(at.branch) ? versioning.transactions.abort(at) : versioning.deleteBranch(at))
  },
  write: () => ({ status: 204, headers: {} }),
})
