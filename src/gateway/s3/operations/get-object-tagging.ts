import { findEntry, readVersionId } from '../find-entry.ts'
import { operation } from '../operation.ts'
import { taggingDocument } from '../tagging.ts'
import { versionHeader } from '../write-headers.ts'

export const getObjectTagging = operation({
  name: 'GetObjectTagging',
  on: 'object',
  needs: 'read',
  parameters: ['versionId'],
  read: ({ bucket, key, query }) => ({ bucket, path: key, version: readVersionId(query.get('versionId')) }),
  run: async ({ bucket, path, version }, context) => {
    const found = await findEntry(context, bucket, path, version)
    return { found, tags: await context.versioning.tags.of(found.entry.version) }
  },
  write: ({ found, tags }) => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml', ...versionHeader(found) },
    body: taggingDocument(tags),
  }),
})
