import { readBucketSetting } from '../bucket-settings.ts'
import { S3Error } from '../codes.ts'
import { corsDocument } from '../cors.ts'
import { operation } from '../operation.ts'

export const getBucketCors = operation({
  name: 'GetBucketCors',
  on: 'bucket',
  needs: 'read',
  reach: 'outside',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => {
    const rules = await readBucketSetting(context, bucket, (at) => context.versioning.settings.crossOrigin(at))
    if (rules) return rules
    throw new S3Error('NoSuchCORSConfiguration', 'The CORS configuration does not exist', { BucketName: bucket.text })
  },
  write: (rules) => ({ status: 200, headers: { 'Content-Type': 'application/xml' }, body: corsDocument(rules) }),
})
