import { type S3Code, S3Error } from '../codes.ts'
import { findEntry, readVersionId } from '../find-entry.ts'
import { type Operation, operation } from '../operation.ts'
import { document, leaf } from '../xml.ts'

/**
 * Tools look at what a bucket is configured to before they use it, and take the documented "nothing" for an answer, but not 501. What
 * is not there can also be removed. Setting any of these up is not implemented, and says so.
 */
const missingConfigurations: readonly (readonly [name: string, code: S3Code, message: string])[] = [
  [
    'BucketEncryption',
    'ServerSideEncryptionConfigurationNotFoundError',
    'The server side encryption configuration was not found',
  ],
  ['BucketLifecycleConfiguration', 'NoSuchLifecycleConfiguration', 'The lifecycle configuration does not exist'],
  ['BucketOwnershipControls', 'OwnershipControlsNotFoundError', 'The bucket ownership controls were not found'],
  ['BucketPolicy', 'NoSuchBucketPolicy', 'The bucket policy does not exist'],
  ['BucketPolicyStatus', 'NoSuchBucketPolicy', 'The bucket policy does not exist'],
  ['BucketReplication', 'ReplicationConfigurationNotFoundError', 'The replication configuration was not found'],
  ['BucketWebsite', 'NoSuchWebsiteConfiguration', 'The specified bucket does not have a website configuration'],
  [
    'ObjectLockConfiguration',
    'ObjectLockConfigurationNotFoundError',
    'Object Lock configuration does not exist for this bucket',
  ],
  ['PublicAccessBlock', 'NoSuchPublicAccessBlockConfiguration', 'The public access block configuration was not found'],
]

const emptyConfigurations: readonly (readonly [name: string, body: string])[] = [
  ['BucketAccelerateConfiguration', document('AccelerateConfiguration')],
  ['BucketLogging', document('BucketLoggingStatus')],
  ['BucketNotificationConfiguration', document('NotificationConfiguration')],
  ['BucketRequestPayment', document('RequestPaymentConfiguration', leaf('Payer', 'BucketOwner'))],
]

const removable: readonly string[] = [
  'DeleteBucketEncryption',
  'DeleteBucketLifecycle',
  'DeleteBucketOwnershipControls',
  'DeleteBucketPolicy',
  'DeleteBucketReplication',
  'DeleteBucketWebsite',
  'DeletePublicAccessBlock',
]

const getMissing = missingConfigurations.map(([name, code, message]) =>
  operation({
    name: `Get${name}`,
    on: 'bucket',
    needs: 'read',
    reach: 'outside',
    partly: 'there is never one: the documented 404',
    read: ({ bucket }) => bucket,
    run: async (bucket, context) => {
      await context.describe(await context.target(bucket))
      throw new S3Error(code, message, { BucketName: bucket.text })
    },
    write: () => ({ status: 404, headers: {} }),
  }),
)

const getEmpty = emptyConfigurations.map(([name, body]) =>
  operation({
    name: `Get${name}`,
    on: 'bucket',
    needs: 'read',
    reach: 'outside',
    partly: 'always as it is by default',
    read: ({ bucket }) => bucket,
    run: async (bucket, context) => context.describe(await context.target(bucket)),
    write: () => ({ status: 200, headers: { 'Content-Type': 'application/xml' }, body }),
  }),
)

const deletes = removable.map((name) =>
  operation({
    name,
    on: 'bucket',
    needs: 'owner',
    reach: 'outside',
    partly: 'there is nothing to remove',
    read: ({ bucket }) => bucket,
    run: async (bucket, context) => context.describe(await context.target(bucket)),
    write: () => ({ status: 204, headers: {} }),
  }),
)

const locks = ['GetObjectLegalHold', 'GetObjectRetention'].map((name) =>
  operation({
    name,
    on: 'object',
    needs: 'read',
    parameters: ['versionId'],
    partly: 'there is never one',
    read: ({ bucket, key, query }) => ({ bucket, path: key, version: readVersionId(query.get('versionId')) }),
    run: async ({ bucket, path, version }, context) => {
      await findEntry(context, bucket, path, version)
      throw new S3Error('InvalidRequest', 'Bucket is missing Object Lock Configuration')
    },
    write: () => ({ status: 400, headers: {} }),
  }),
)

/** The operations on configurations that no bucket has. */
export const notConfigured: readonly Operation[] = [...getMissing, ...getEmpty, ...deletes, ...locks]
