export type { CheckedEgress } from './check.ts'
export { type Egress, type EgressOptions, openEgress } from './egress.ts'
export type { EgressRequest, EgressStatus } from './pushes.ts'
export { egressMigrations } from './schema.ts'
