export * from './backups.ts'
export * from './beside.ts'
export * from './changes.ts'
export * from './commit-tags.ts'
export type { FileLayer } from './content/index.ts'
export * from './content-store.ts'
export * from './derived.ts'
export * from './flush.ts'
export * from './fsck.ts'
export { measureHistory, parseTime, versioningMigrations } from './history/index.ts'
export { checkStoreFolder } from './identity.ts'
export * from './imports.ts'
export * from './looking-back.ts'
export {
  BackupNotFound,
  BackupPlaceRefused,
  BackupRunning,
  checkStopped,
  listPlace,
  measureUpkeep,
  openStoppedBackups,
  type ReferenceSource,
  type RestoreEvent,
  restoreBackup,
  verifyPlace,
} from './maintenance/index.ts'
export * from './maintenance.ts'
export * from './merges.ts'
export * from './model/index.ts'
export * from './moves.ts'
export { openVersioning, type VersioningOptions } from './open.ts'
export * from './purges.ts'
export * from './retention.ts'
export * from './roles.ts'
export * from './stats.ts'
export * from './transactions.ts'
export { EMPTY_TREE } from './tree/index.ts'
export * from './trees.ts'
export * from './uploads.ts'
export * from './versioning.ts'
export * from './versions.ts'
export * from './work.ts'
