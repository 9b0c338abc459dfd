export * from './access/index.ts'
export { type AccessLog, noAccessLog, openAccessLog } from './access-log.ts'
export { BYTE_SIZE_FORM, parseByteSize } from './byte-size.ts'
export { type CliConfig, cliConfigOfProcess, type KeyPair, readCliConfig } from './cli-config.ts'
export { type Clock, systemClock } from './clock.ts'
export {
  BATCH_BOUNDS,
  type BatchConfig,
  type Config,
  configOfProcess,
  type Environment,
  type LogLevel,
  readConfig,
} from './config.ts'
export { contentTypeOf } from './content-types.ts'
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
export {
  armFaults,
  die,
  FAULT_MARK,
  FAULT_POINTS,
  type FaultKind,
  type FaultPlan,
  type FaultPoint,
  faultPoint,
  faultyLength,
} from './fault-points.ts'
export { type Brand, randomHexId, requestIds } from './ids.ts'
export * from './limits.ts'
export { createLog, type Log, silentLog } from './log.ts'
export { METRICS_TYPE, Metrics, type Sample } from './metrics.ts'
export { measureProcess } from './process-metrics.ts'
export { loadRootKey, type RootKey, readRootKey, rootKeyFile } from './root-key.ts'
export { openSecretBox, type SecretBox } from './secret-box.ts'
export * from './sigv4/index.ts'
export { createHttpServer, openTls, type Tls, type TlsFiles } from './tls.ts'
export { UnusedConnections } from './unused-connections.ts'
