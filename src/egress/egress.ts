import { createTargetGuard, type RetryPolicy, type SecretStore } from '../cloud/index.ts'
import type { Clock, Config, Database, Log, Transaction } from '../kernel/index.ts'
import type { Versioning } from '../versioning/index.ts'
import { type CheckedEgress, checkEgress } from './check.ts'
import { releasePipeline } from './ledger.ts'
import { DEFAULT_RETRY } from './limits.ts'
import type { EgressMeter } from './metrics.ts'
import { cancelPush, type EgressRequest, type EgressStatus, insertPush, pushStatus } from './pushes.ts'
import { type OpenStore, s3Stores, targetOpener } from './targets.ts'
import { Worker } from './worker.ts'

/** Pushes the output of jobs to object stores outside. It has the shape of the port that pipelines ask for. */
export interface Egress {
  /** Reads a spec's `egress` field and says its normal form back. Throws InvalidInput that names what is wrong and what to do. */
  check(egress: unknown): Promise<CheckedEgress>
  /** Queues the push of a job's output tree. Asked again for a job: no effect. */
  request(tx: Transaction, input: EgressRequest): Promise<void>
  status(job: string): Promise<EgressStatus | undefined>
  /** Gives a push up; it fails with the reason `cancelled`. What has arrived at the target stays there. */
  cancel(tx: Transaction, job: string): Promise<void>
  /**
   * For when a pipeline is deleted: its objects stay at the target and belong to nobody any more, so that another pipeline may
   * write there. Until then, a key belongs to the pipeline that pushed it first.
   */
  release(tx: Transaction, pipeline: string): Promise<void>
  /** Called when a push has ended; carries nothing and may be missed. Returns how to stop listening. */
  onChange(listener: () => void): () => void
  /** Begins to run pushes, first of all those that an earlier process left unfinished. */
  start(): Promise<void>
  /** Interrupts what runs; it goes on at the next start without sending again what the ledger has. */
  stop(): Promise<void>
}

/** What egress is opened on. */
export interface EgressOptions {
  readonly db: Database
  readonly versioning: Pick<Versioning, 'content' | 'trees'>
  readonly secrets: Pick<SecretStore, 'inspect' | 'open'>
  readonly config: Pick<Config, 'allowTargets' | 'egressDefaultCredentials'>
  readonly clock: Clock
  readonly log: Log
  /** From 0 up to 1; spreads retries. */
  readonly random?: () => number
  /** How often a request is tried, and how long between. */
  readonly retry?: RetryPolicy
  /** Told of what arrives at targets. */
  readonly meter?: EgressMeter
  /** Another way to open targets than the S3 driver. */
  readonly openStore?: OpenStore
}

/** Makes the egress floor; its migrations must have run. Throws InvalidConfig if SLUICE_ALLOW_TARGETS has patterns that are none. */
export function openEgress(options: EgressOptions): Egress {
  const { db, versioning, secrets, config, clock, log, random = Math.random, retry = DEFAULT_RETRY } = options
  const guard = createTargetGuard({ allowTargets: config.allowTargets })
  const defaultCredentials = config.egressDefaultCredentials
  const openStore = options.openStore ?? s3Stores({ guard, clock, random })
  const listeners = new Set<() => void>()
  const worker = new Worker({
    db,
    versioning,
    openTarget: targetOpener({ secrets, defaultCredentials, openStore }),
    retry,
    random,
    log,
    meter: options.meter,
    onEnd: () => {
      for (const listener of listeners) listener()
    },
  })
  return {
    check: (egress) => checkEgress(egress, { secrets, guard, defaultCredentials }),
    async request(tx, input) {
      await insertPush(tx, input)
      tx.afterCommit(() => worker.wake())
    },
    status: (job) => pushStatus(db, job),
    async cancel(tx, job) {
      await cancelPush(tx, job)
      tx.afterCommit(() => {
        worker.interrupt(job)
        worker.wake()
      })
    },
    release: releasePipeline,
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    start: () => worker.start(),
    stop: () => worker.stop(),
  }
}
