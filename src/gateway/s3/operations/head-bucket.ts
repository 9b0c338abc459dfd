import { targetHeaders } from '../entry-headers.ts'
import { operation } from '../operation.ts'

export const headBucket = operation({
  name: 'HeadBucket',
  on: 'bucket',
  needs: 'read',
  reach: 'outside',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => ({
    info: await context.describe(await context.target(bucket)),
    region: context.region ?? 'us-east-1',
  }),
  write: ({ info, region }) => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml', 'x-amz-bucket-region': region, ...targetHeaders(info) },
  }),
})
