export type { AzureCredentials, Credentials, GcsCredentials, S3Credentials } from './credentials.ts'
export { openFileStore } from './file/file-store.ts'
export * from './object-store.ts'
export { type OpenTargetParts, openTargetStore } from './open-target.ts'
export { createPlaces, type Places } from './places.ts'
export { type RetryPolicy, retrying } from './retry.ts'
export { openS3Store, type S3StoreOptions } from './s3/s3-store.ts'
export {
  type AzureSecretInfo,
  expiryOf,
  type GcsSecretInfo,
  hintOf,
  type OpenSecret,
  type S3SecretInfo,
  type SecretInfo,
} from './secrets/info.ts'
export { SECRET_KINDS, type SecretInput, type SecretKind, type SecretParts } from './secrets/parts.ts'
export { cloudMigrations } from './secrets/schema.ts'
export {
  openKeptSecret,
  openSecretStore,
  SecretExists,
  SecretNotFound,
  type SecretStore,
  secretOfParts,
} from './secrets/store.ts'
export { type AzureTarget, type GcsTarget, locationOf, rootOf, type S3Target, type Target } from './target.ts'
export { createTargetGuard, type TargetGuard } from './target-guard.ts'
export { kindOfUrl, parseTargetUrl } from './target-url.ts'
export type { SecretHint } from './urls/hint.ts'
export { hostAndPort, isLoopbackName } from './urls/host.ts'
