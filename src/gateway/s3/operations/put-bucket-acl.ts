import { ACL_DOCUMENT_BYTES, checkAclOwner, readAcl } from '../acl.ts'
import { settableBranch } from '../bucket-settings.ts'
import { operation } from '../operation.ts'
import { refuseUnsupportedHeaders } from '../unsupported.ts'

export const putBucketAcl = operation({
  name: 'PutBucketAcl',
  on: 'bucket',
  needs: 'owner',
  reach: 'outside',
  documentBytes: ACL_DOCUMENT_BYTES,
  partly: 'canned ACLs and the documents equal to them; no grants to single users',
  read: ({ bucket, headers }, bytes) => {
    refuseUnsupportedHeaders(headers)
    return { bucket, access: readAcl(headers, bytes), bytes }
  },
  run: async ({ bucket, access, bytes }, context) => {
    checkAclOwner(bytes, await context.ownerOf(bucket.repo))
    await context.versioning.sharing.shareBranch(await settableBranch(context, bucket), access)
  },
  write: () => ({ status: 200, headers: {} }),
})
