export type { AzureCredentials, Credentials, GcsCredentials, S3Credentials } from './credentials.ts'
export { openFileStore } from './file/file-store.ts'
export * from './object-store.ts'
export { type RetryPolicy, retrying } from './retry.ts'
export { openS3Store, type S3StoreOptions } from './s3/s3-store.ts'
export {
  cloudMigrations,
  type OpenSecret,
  openSecretStore,
  SecretExists,
  type SecretInfo,
  type SecretInput,
  SecretNotFound,
  type SecretStore,
} from './secrets.ts'
export type { AzureTarget, GcsTarget, S3Target, Target } from './target.ts'
export { createTargetGuard, type TargetGuard } from './target-guard.ts'
export { type EndpointHint, type LaterTarget, parseTargetUrl } from './target-url.ts'
