import { aclDocument } from '../acl.ts'
import { operation } from '../operation.ts'

export const getBucketAcl = operation({
  name: 'GetBucketAcl',
  on: 'bucket',
  needs: 'read',
  reach: 'outside',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => {
    const target = await context.target(bucket)
    await context.describe(target)
    // A commit is never shared, whatever its branch is.
    const access = target.kind === 'branch' ? await context.versioning.sharing.ofBranch(target) : 'private'
    return { owner: await context.ownerOf(bucket.repo), access }
  },
  write: ({ owner, access }) => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml' },
    body: aclDocument(owner, access),
  }),
})
