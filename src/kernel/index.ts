export { type Clock, systemClock } from './clock.ts'
export { type BatchConfig, type Config, type Environment, type LogLevel, readConfig } from './config.ts'
export * from './database/index.ts'
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
