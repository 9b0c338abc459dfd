import { readBucketSetting } from '../bucket-settings.ts'
import { S3Error } from '../codes.ts'
import { operation } from '../operation.ts'
import { taggingDocument } from '../tagging.ts'

export const getBucketTagging = operation({
  name: 'GetBucketTagging',
  on: 'bucket',
  needs: 'read',
  reach: 'outside',
  read: ({ bucket }) => bucket,
  run: async (bucket, context) => {
    const tags = await readBucketSetting(context, bucket, (at) => context.versioning.settings.tags(at))
    if (!tags) throw new S3Error('NoSuchTagSet', 'The TagSet does not exist', { BucketName: bucket.text })
    return tags
  },
  write: (tags) => ({ status: 200, headers: { 'Content-Type': 'application/xml' }, body: taggingDocument(tags) }),
})
