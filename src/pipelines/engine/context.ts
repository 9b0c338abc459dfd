import type { Clock, Config, Database, Log } from '../../kernel/index.ts'
import type { Versioning } from '../../versioning/index.ts'
import type { LogFiles } from '../logs/index.ts'
import type { EgressPort } from '../pipelines.ts'
import type { Runner } from '../runners/index.ts'
import type { Pool } from './pool.ts'

/** What the engine's parts share. */
export interface EngineContext {
  readonly db: Database
  readonly versioning: Versioning
  readonly egress: EgressPort
  readonly runner: Runner
  readonly config: Pick<Config, 'dataFolder' | 'workers'>
  readonly clock: Clock
  readonly log: Log
  readonly logs: LogFiles
  /** 32 hex digits that nobody has had. */
  readonly newId: () => string
  readonly scratchFolder: string
  /** Datums that run at once, over all jobs. */
  readonly pool: Pool
  /** How long a job rests after an error that is not its own, times the number of errors; and while the disk is full. */
  readonly rest: { readonly afterErrorMs: number; readonly whileFullMs: number }
  /** The name that this engine holds leases by. */
  readonly owner: string
}
