import { admitBesideVersion } from '../beside-version.ts'
import { findEntry, readVersionId } from '../find-entry.ts'
import { operation } from '../operation.ts'
import { MAX_OBJECT_TAGS, readTaggingDocument, TAGGING_DOCUMENT_BYTES } from '../tagging.ts'
import { versionHeader } from '../write-headers.ts'

export const putObjectTagging = operation({
  name: 'PutObjectTagging',
  on: 'object',
  needs: 'write',
  documentBytes: TAGGING_DOCUMENT_BYTES,
  parameters: ['versionId'],
  read: ({ bucket, key, query }, bytes) => ({
    bucket,
    path: key,
    version: readVersionId(query.get('versionId')),
    tags: readTaggingDocument(bytes, MAX_OBJECT_TAGS),
  }),
  run: async ({ bucket, path, version, tags }, context) => {
    const at = await context.branch(bucket)
    const found = await findEntry(context, bucket, path, version)
    await admitBesideVersion(context, bucket, at, found.entry)
    await context.versioning.tags.replace(at, found.entry, tags)
    return found
  },
  write: (found) => ({ status: 200, headers: versionHeader(found) }),
})
