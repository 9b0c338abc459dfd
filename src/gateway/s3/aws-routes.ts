import type { Level } from './operation.ts'

/** How a request is known to be an operation: its method, its level, and parameters (with this value, if one is given) or a header. */
export interface Route {
  readonly name: string
  readonly method: string
  readonly on: Level
  readonly parameters: Readonly<Record<string, string | true>>
  readonly header?: string
}

type Row = readonly [name: string, method: string, on: Level, parameters?: string, header?: string]

/** Every operation that AWS documents for S3, and how it looks on the wire. */
const rows: readonly Row[] = [
  ['ListBuckets', 'GET', 'service'],
  ['ListDirectoryBuckets', 'GET', 'service', 'x-id=ListDirectoryBuckets'],
  ['WriteGetObjectResponse', 'POST', 'service'],

  ['CreateBucket', 'PUT', 'bucket'],
  ['CreateBucketMetadataConfiguration', 'POST', 'bucket', 'metadataConfiguration'],
  ['CreateBucketMetadataTableConfiguration', 'POST', 'bucket', 'metadataTable'],
  ['CreateSession', 'GET', 'bucket', 'session'],
  ['DeleteBucket', 'DELETE', 'bucket'],
  ['DeleteBucketAnalyticsConfiguration', 'DELETE', 'bucket', 'analytics'],
  ['DeleteBucketCors', 'DELETE', 'bucket', 'cors'],
  ['DeleteBucketEncryption', 'DELETE', 'bucket', 'encryption'],
  ['DeleteBucketIntelligentTieringConfiguration', 'DELETE', 'bucket', 'intelligent-tiering'],
  ['DeleteBucketInventoryConfiguration', 'DELETE', 'bucket', 'inventory'],
  ['DeleteBucketLifecycle', 'DELETE', 'bucket', 'lifecycle'],
  ['DeleteBucketMetadataConfiguration', 'DELETE', 'bucket', 'metadataConfiguration'],
  ['DeleteBucketMetadataTableConfiguration', 'DELETE', 'bucket', 'metadataTable'],
  ['DeleteBucketMetricsConfiguration', 'DELETE', 'bucket', 'metrics'],
  ['DeleteBucketOwnershipControls', 'DELETE', 'bucket', 'ownershipControls'],
  ['DeleteBucketPolicy', 'DELETE', 'bucket', 'policy'],
  ['DeleteBucketReplication', 'DELETE', 'bucket', 'replication'],
  ['DeleteBucketTagging', 'DELETE', 'bucket', 'tagging'],
  ['DeleteBucketWebsite', 'DELETE', 'bucket', 'website'],
  ['DeleteObjects', 'POST', 'bucket', 'delete'],
  ['DeletePublicAccessBlock', 'DELETE', 'bucket', 'publicAccessBlock'],
  ['GetBucketAbac', 'GET', 'bucket', 'abac'],
  ['GetBucketAccelerateConfiguration', 'GET', 'bucket', 'accelerate'],
  ['GetBucketAcl', 'GET', 'bucket', 'acl'],
  ['GetBucketAnalyticsConfiguration', 'GET', 'bucket', 'analytics&x-id=GetBucketAnalyticsConfiguration'],
  ['GetBucketCors', 'GET', 'bucket', 'cors'],
  ['GetBucketEncryption', 'GET', 'bucket', 'encryption'],
  [
    'GetBucketIntelligentTieringConfiguration',
    'GET',
    'bucket',
    'intelligent-tiering&x-id=GetBucketIntelligentTieringConfiguration',
  ],
  ['GetBucketInventoryConfiguration', 'GET', 'bucket', 'inventory&x-id=GetBucketInventoryConfiguration'],
  ['GetBucketLifecycleConfiguration', 'GET', 'bucket', 'lifecycle'],
  ['GetBucketLocation', 'GET', 'bucket', 'location'],
  ['GetBucketLogging', 'GET', 'bucket', 'logging'],
  ['GetBucketMetadataConfiguration', 'GET', 'bucket', 'metadataConfiguration'],
  ['GetBucketMetadataTableConfiguration', 'GET', 'bucket', 'metadataTable'],
  ['GetBucketMetricsConfiguration', 'GET', 'bucket', 'metrics&x-id=GetBucketMetricsConfiguration'],
  ['GetBucketNotificationConfiguration', 'GET', 'bucket', 'notification'],
  ['GetBucketOwnershipControls', 'GET', 'bucket', 'ownershipControls'],
  ['GetBucketPolicy', 'GET', 'bucket', 'policy'],
  ['GetBucketPolicyStatus', 'GET', 'bucket', 'policyStatus'],
  ['GetBucketReplication', 'GET', 'bucket', 'replication'],
  ['GetBucketRequestPayment', 'GET', 'bucket', 'requestPayment'],
  ['GetBucketTagging', 'GET', 'bucket', 'tagging'],
  ['GetBucketVersioning', 'GET', 'bucket', 'versioning'],
  ['GetBucketWebsite', 'GET', 'bucket', 'website'],
  ['GetObjectLockConfiguration', 'GET', 'bucket', 'object-lock'],
  ['GetPublicAccessBlock', 'GET', 'bucket', 'publicAccessBlock'],
  ['HeadBucket', 'HEAD', 'bucket'],
  ['ListBucketAnalyticsConfigurations', 'GET', 'bucket', 'analytics'],
  ['ListBucketIntelligentTieringConfigurations', 'GET', 'bucket', 'intelligent-tiering'],
  ['ListBucketInventoryConfigurations', 'GET', 'bucket', 'inventory'],
  ['ListBucketMetricsConfigurations', 'GET', 'bucket', 'metrics'],
  ['ListMultipartUploads', 'GET', 'bucket', 'uploads'],
  ['ListObjects', 'GET', 'bucket'],
  ['ListObjectsV2', 'GET', 'bucket', 'list-type'],
  ['ListObjectVersions', 'GET', 'bucket', 'versions'],
  ['PostObject', 'POST', 'bucket'],
  ['PutBucketAbac', 'PUT', 'bucket', 'abac'],
  ['PutBucketAccelerateConfiguration', 'PUT', 'bucket', 'accelerate'],
  ['PutBucketAcl', 'PUT', 'bucket', 'acl'],
  ['PutBucketAnalyticsConfiguration', 'PUT', 'bucket', 'analytics'],
  ['PutBucketCors', 'PUT', 'bucket', 'cors'],
  ['PutBucketEncryption', 'PUT', 'bucket', 'encryption'],
  ['PutBucketIntelligentTieringConfiguration', 'PUT', 'bucket', 'intelligent-tiering'],
  ['PutBucketInventoryConfiguration', 'PUT', 'bucket', 'inventory'],
  ['PutBucketLifecycleConfiguration', 'PUT', 'bucket', 'lifecycle'],
  ['PutBucketLogging', 'PUT', 'bucket', 'logging'],
  ['PutBucketMetricsConfiguration', 'PUT', 'bucket', 'metrics'],
  ['PutBucketNotificationConfiguration', 'PUT', 'bucket', 'notification'],
  ['PutBucketOwnershipControls', 'PUT', 'bucket', 'ownershipControls'],
  ['PutBucketPolicy', 'PUT', 'bucket', 'policy'],
  ['PutBucketReplication', 'PUT', 'bucket', 'replication'],
  ['PutBucketRequestPayment', 'PUT', 'bucket', 'requestPayment'],
  ['PutBucketTagging', 'PUT', 'bucket', 'tagging'],
  ['PutBucketVersioning', 'PUT', 'bucket', 'versioning'],
  ['PutBucketWebsite', 'PUT', 'bucket', 'website'],
  ['PutObjectLockConfiguration', 'PUT', 'bucket', 'object-lock'],
  ['PutPublicAccessBlock', 'PUT', 'bucket', 'publicAccessBlock'],
  ['UpdateBucketMetadataAnnotationTableConfiguration', 'PUT', 'bucket', 'metadataAnnotationTable'],
  ['UpdateBucketMetadataInventoryTableConfiguration', 'PUT', 'bucket', 'metadataInventoryTable'],
  ['UpdateBucketMetadataJournalTableConfiguration', 'PUT', 'bucket', 'metadataJournalTable'],

  ['AbortMultipartUpload', 'DELETE', 'object', 'uploadId'],
  ['CompleteMultipartUpload', 'POST', 'object', 'uploadId'],
  ['CopyObject', 'PUT', 'object', '', 'x-amz-copy-source'],
  ['CreateMultipartUpload', 'POST', 'object', 'uploads'],
  ['DeleteObject', 'DELETE', 'object'],
  ['DeleteObjectAnnotation', 'DELETE', 'object', 'annotation'],
  ['DeleteObjectTagging', 'DELETE', 'object', 'tagging'],
  ['GetObject', 'GET', 'object'],
  ['GetObjectAcl', 'GET', 'object', 'acl'],
  ['GetObjectAnnotation', 'GET', 'object', 'annotation&x-id=GetObjectAnnotation'],
  ['GetObjectAttributes', 'GET', 'object', 'attributes'],
  ['GetObjectLegalHold', 'GET', 'object', 'legal-hold'],
  ['GetObjectRetention', 'GET', 'object', 'retention'],
  ['GetObjectTagging', 'GET', 'object', 'tagging'],
  ['GetObjectTorrent', 'GET', 'object', 'torrent'],
  ['HeadObject', 'HEAD', 'object'],
  ['ListObjectAnnotations', 'GET', 'object', 'annotation'],
  ['ListParts', 'GET', 'object', 'uploadId'],
  ['PutObject', 'PUT', 'object'],
  ['PutObjectAcl', 'PUT', 'object', 'acl'],
  ['PutObjectAnnotation', 'PUT', 'object', 'annotation'],
  ['PutObjectLegalHold', 'PUT', 'object', 'legal-hold'],
  ['PutObjectRetention', 'PUT', 'object', 'retention'],
  ['PutObjectTagging', 'PUT', 'object', 'tagging'],
  ['RenameObject', 'PUT', 'object', 'renameObject'],
  ['RestoreObject', 'POST', 'object', 'restore'],
  ['SelectObjectContent', 'POST', 'object', 'select&select-type'],
  ['UpdateObjectEncryption', 'PUT', 'object', 'encryption'],
  ['UploadPart', 'PUT', 'object', 'partNumber&uploadId'],
  ['UploadPartCopy', 'PUT', 'object', 'partNumber&uploadId', 'x-amz-copy-source'],

  // Not AWS's: ours, and a browser's.
  ['Flush', 'GET', 'bucket', 'flush'],
  ['Flush', 'POST', 'bucket', 'flush'],
  ['Preflight', 'OPTIONS', 'service'],
  ['Preflight', 'OPTIONS', 'bucket'],
  ['Preflight', 'OPTIONS', 'object'],
]

export const routes: readonly Route[] = rows.map(([name, method, on, parameters, header]) => ({
  name,
  method,
  on,
  parameters: readParameters(parameters ?? ''),
  ...(header === undefined ? {} : { header }),
}))

/** Parameters that choose an operation: one that is left over means an operation that is not there. */
export const subresources: ReadonlySet<string> = new Set(
  routes.flatMap(({ parameters }) => Object.keys(parameters)).filter((name) => name !== 'x-id'),
)

function readParameters(text: string): Record<string, string | true> {
  const parameters: Record<string, string | true> = {}
  for (const piece of text.split('&').filter(Boolean)) {
    const [name = '', value] = piece.split('=')
    parameters[name] = value ?? true
  }
  return parameters
}
