import { admitBesideVersion } from '../beside-version.ts'
import { findEntry, readVersionId } from '../find-entry.ts'
import { operation } from '../operation.ts'
import { versionHeader } from '../write-headers.ts'

export const deleteObjectTagging = operation({
  name: 'DeleteObjectTagging',
  on: 'object',
  needs: 'write',
  parameters: ['versionId'],
  read: ({ bucket, key, query }) => ({ bucket, path: key, version: readVersionId(query.get('versionId')) }),
  run: async ({ bucket, path, version }, context) => {
    const at = await context.branch(bucket)
    const found = await findEntry(context, bucket, path, version)
    await admitBesideVersion(context, bucket, at, found.entry)
    await context.versioning.tags.replace(at, found.entry, [])
    return found
  },
  write: (found) => ({ status: 204, headers: versionHeader(found) }),
})
