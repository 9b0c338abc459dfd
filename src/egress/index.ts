export type { RunRequest } from './by-hand.ts'
export type { CheckedEgress } from './check.ts'
export { type Egress, type EgressOptions, openEgress } from './egress.ts'
export { type EgressError, EgressNotFound } from './errors.ts'
export { measureEgress } from './metrics.ts'
export type { EgressRequest } from './pushes.ts'
export {
  EGRESS_STATES,
  type EgressAttempt,
  type EgressInfo,
  type EgressQuery,
  type EgressState,
  type EgressStatus,
} from './queries.ts'
export { egressReferences } from './references.ts'
export { egressMigrations } from './schema.ts'
export type { VerifyEvent } from './verify.ts'
