import { operation } from '../operation.ts'
import { document, leaf } from '../xml.ts'

export const getBucketVersioning = operation({
  name: 'GetBucketVersioning',
  on: 'bucket',
  needs: 'read',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => context.describe(await context.target(bucket)),
  write: () => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml' },
    body: document('VersioningConfiguration', leaf('Status', 'Enabled')),
  }),
})
