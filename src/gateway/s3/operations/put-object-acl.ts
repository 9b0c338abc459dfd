import { ACL_DOCUMENT_BYTES, admitSharing, checkAclOwner, readAcl } from '../acl.ts'
import { admitBesideVersion } from '../beside-version.ts'
import { findEntry, readVersionId } from '../find-entry.ts'
import { operation } from '../operation.ts'
import { refuseUnsupportedHeaders } from '../unsupported.ts'
import { versionHeader } from '../write-headers.ts'

export const putObjectAcl = operation({
  name: 'PutObjectAcl',
  on: 'object',
  needs: 'write',
  documentBytes: ACL_DOCUMENT_BYTES,
  parameters: ['versionId'],
  partly: 'canned ACLs and the documents equal to them; no grants to single users',
  read: ({ bucket, key, query, headers }, bytes) => {
    refuseUnsupportedHeaders(headers)
    return {
      bucket,
      path: key,
      version: readVersionId(query.get('versionId')),
      access: readAcl(headers, bytes),
      bytes,
    }
  },
  run: async ({ bucket, path, version, access, bytes }, context) => {
    await admitSharing(context, bucket.repo, access)
    checkAclOwner(bytes, await context.ownerOf(bucket.repo))
    const at = await context.branch(bucket)
    const found = await findEntry(context, bucket, path, version)
    await admitBesideVersion(context, bucket, at, found.entry)
    await context.versioning.sharing.shareVersion(at, found.entry, access)
    return found
  },
  write: (found) => ({ status: 200, headers: versionHeader(found) }),
})
