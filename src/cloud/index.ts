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
export { createTargetGuard, type TargetGuard } from './target-guard.ts'
export {
  type EndpointHint,
  type LaterTarget,
  parseTargetUrl,
  type S3Target,
  type Target,
} from './target-url.ts'
