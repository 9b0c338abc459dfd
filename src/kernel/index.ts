export { AccessDenied, type AccessKey, authorize, type KeyRing, type Need, rootKeyRing } from './access.ts'
export { type CliConfig, cliConfigOfProcess, type KeyPair, readCliConfig } from './cli-config.ts'
export { type Clock, systemClock } from './clock.ts'
export {
  type BatchConfig,
  type Config,
  configOfProcess,
  type Environment,
  type LogLevel,
  readConfig,
} from './config.ts'
export * from './database/index.ts'
export * from './digest/index.ts'
export {
  Corrupt,
  DomainError,
  errnoOf,
  errorMessage,
  InvalidConfig,
  InvalidInput,
  NewerStore,
  StorageFull,
  StoreLocked,
  unreachable,
} from './errors.ts'
export { type Brand, randomHexId } from './ids.ts'
export * from './limits.ts'
export { createLog, type Log, silentLog } from './log.ts'
export { loadRootKey, type RootKey, readRootKey, rootKeyFile } from './root-key.ts'
export * from './sigv4/index.ts'
