import { operation } from '../operation.ts'
import { document, leaf } from '../xml.ts'

export const getBucketVersioning = operation({
  name: 'GetBucketVersioning',
  on: 'bucket',
  needs: 'read',
  reach: 'outside',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => context.versioning.versions.state(await context.target(bucket)),
  write: (state) => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml' },
    // AWS: a bucket on which versioning was never enabled has no Status.
    body: document('VersioningConfiguration', state === 'enabled' ? leaf('Status', 'Enabled') : ''),
  }),
})
