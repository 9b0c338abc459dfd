import { operation } from '../operation.ts'
import { document, escapeXml } from '../xml.ts'

export const getBucketLocation = operation({
  name: 'GetBucketLocation',
  on: 'bucket',
  needs: 'read',
  reach: 'outside',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => {
    await context.describe(await context.target(bucket))
    return context.region
  },
  // AWS says nothing for us-east-1, and clients read nothing as that.
  write: (region) => ({
    status: 200,
    headers: { 'Content-Type': 'application/xml' },
    body: document('LocationConstraint', region === undefined || region === 'us-east-1' ? '' : escapeXml(region)),
  }),
})
