import { aclDocument } from '../acl.ts'
import { findEntry, readVersionId } from '../find-entry.ts'
import { operation } from '../operation.ts'
import { versionHeader } from '../write-headers.ts'

export const getObjectAcl = operation({
  name: 'GetObjectAcl',
  on: 'object',
  needs: 'read',
  parameters: ['versionId'],
  read: ({ bucket, key, query }) => ({ bucket, path: key, version: readVersionId(query.get('versionId')) }),
  run: async ({ bucket, path, version }, context) => {
    const found = await findEntry(context, bucket, path, version)
    const access = await context.versioning.sharing.ofVersion(found.entry.version)
    return { found, access, owner: await context.ownerOf(bucket.repo) }
  },
  write: ({ found, access, owner }) => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml', ...versionHeader(found) },
    body: aclDocument(owner, access),
  }),
})
