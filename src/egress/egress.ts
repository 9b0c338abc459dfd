import { createTargetGuard, type RetryPolicy, type SecretStore } from '../cloud/index.ts'
import type { Clock, Config, Database, Log, Transaction } from '../kernel/index.ts'
import type { Versioning } from '../versioning/index.ts'
import type { Pace } from './bandwidth.ts'
import { notFailed, placeFinder, type RunRequest, retryByHand, runByHand } from './by-hand.ts'
import { type CheckedEgress, checkEgress } from './check.ts'
import { EgressRefused } from './errors.ts'
import { TargetLanes } from './lanes.ts'
import { releasePipeline } from './ledger.ts'
import { DEFAULT_RETRY } from './limits.ts'
import type { EgressMeter } from './metrics.ts'
import { cancelPush, type EgressRequest, insertPush, requeuePush } from './pushes.ts'
import { type EgressInfo, EgressQueries, type EgressQuery, type EgressStatus } from './queries.ts'
import { pushesWithSecret } from './secret-use.ts'
import { PLAIN_SETTINGS, type PushSettings } from './settings.ts'
import { type OpenStore, targetOpener, targetStores } from './targets.ts'
import type { VerifyEvent } from './verify.ts'
import { type VerifyOptions, verifyByHand } from './verify-by-hand.ts'
import { Worker } from './worker.ts'

/** A push as pipelines ask for it: `settings` is what `check` gave, kept as JSON, or nothing of specs of before there were any. */
export type PushRequest = Omit<EgressRequest, 'settings'> & { readonly settings: unknown }

/**
 * Pushes the output of jobs, and any commit by hand, to object stores outside. It has the shape of the port that pipelines ask for.
 * Pushes of one owner to one bucket go one after the other, in the order of asking; to different buckets they run side by side.
 */
export interface Egress {
  /** Reads a spec's `egress` field and says its normal form back. Throws InvalidInput that names what is wrong and what to do. */
  check(egress: unknown): Promise<CheckedEgress>
  /** Queues the push of a job's output tree. Asked again for a job: no effect. */
  request(tx: Transaction, input: PushRequest): Promise<void>
  status(id: string): Promise<EgressStatus | undefined>
  /** Gives a push up; it fails with the reason `cancelled`. What has arrived at the target stays there. */
  cancel(tx: Transaction, id: string): Promise<void>
  /** Lets a push that failed wait for its turn again. Throws EgressRefused if it has not. What else must be so, the caller knows. */
  requeue(tx: Transaction, id: string): Promise<void>

  /**
   * Queues the push of a finished commit by hand. `notes` say, one line each, where it goes. Throws InvalidInput, RepoNotFound,
   * CommitNotFound, AmbiguousCommit, CommitUnavailable, EgressRefused.
   */
  run(request: RunRequest): Promise<{ readonly egress: EgressInfo; readonly notes: readonly string[] }>
  /** Newest first. Throws EgressNotFound if there is none that the page is to begin after. */
  list(query?: EgressQuery): Promise<readonly EgressStatus[]>
  /** By id or by a prefix of 8 digits or more. Throws EgressNotFound, AmbiguousEgress, InvalidInput. */
  inspect(idOrPrefix: string): Promise<EgressInfo>
  /**
   * Runs a push again that failed and was asked for by hand; it goes on from what the ledger has. Throws EgressRefused: also for one of
   * a job, which is retried with its job.
   */
  retry(idOrPrefix: string): Promise<EgressInfo>
  /** Gives a push up; one that has ended stays as it ended. A job whose push it is fails. */
  kill(idOrPrefix: string): Promise<EgressInfo>
  /**
   * Compares the target of a push with the ledger: what the owner's pushes, this one or newer, have put there. Nothing is changed,
   * unless `repair` asks for a new push of what has drifted. Throws EgressNotFound, AmbiguousEgress, EgressRefused, InvalidInput,
   * SecretNotFound, TargetFailed.
   */
  verify(idOrPrefix: string, options: VerifyOptions): AsyncIterable<VerifyEvent>

  /** The ids of pushes that have not ended and sign with this secret; at most ten of them. */
  usesOf(secret: string): Promise<readonly string[]>
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
  readonly versioning: Pick<
    Versioning,
    'content' | 'trees' | 'listRepos' | 'resolveRevision' | 'getCommit' | 'provenance'
  >
  readonly secrets: Pick<SecretStore, 'inspect' | 'open'>
  readonly config: Pick<Config, 'allowTargets' | 'egressDefaultCredentials'> & Partial<Pick<Config, 'egressBandwidth'>>
  readonly clock: Clock
  readonly log: Log
  /** From 0 up to 1; spreads retries. */
  readonly random?: () => number
  /** How often a request is tried, and how long between. */
  readonly retry?: RetryPolicy
  /** How time passes for limits of bandwidth. */
  readonly pace?: Pace
  /** Told of what arrives at targets. */
  readonly meter?: EgressMeter
  /** Another way to open targets than the drivers. */
  readonly openStore?: OpenStore
}

/** Makes the egress floor; its migrations must have run. Throws InvalidConfig if SLUICE_ALLOW_TARGETS has patterns that are none. */
export function openEgress(options: EgressOptions): Egress {
  const { db, versioning, secrets, config, clock, log, random = Math.random, retry = DEFAULT_RETRY } = options
  const guard = createTargetGuard({ allowTargets: config.allowTargets })
  const defaultCredentials = config.egressDefaultCredentials
  const openStore = options.openStore ?? targetStores({ guard, clock, random })
  const listeners = new Set<() => void>()
  const onEnd = () => {
    for (const listener of listeners) listener()
  }
  const openTarget = targetOpener({ secrets, defaultCredentials, openStore, clock })
  const worker = new Worker({
    db,
    versioning,
    openTarget,
    lanes: new TargetLanes({ bandwidth: config.egressBandwidth, ...(options.pace ? { pace: options.pace } : {}) }),
    retry,
    random,
    clock,
    log,
    meter: options.meter,
    onEnd,
  })
  const queries = new EgressQueries(db, (id) => worker.live(id))
  const check = (egress: unknown) => checkEgress(egress, { secrets, guard, clock, defaultCredentials })
  const placeFor = placeFinder(secrets)
  const cancel = async (tx: Transaction, id: string) => {
    if (!(await cancelPush(tx, id))) return
    tx.afterCommit(() => {
      worker.interrupt(id)
      onEnd()
      worker.wake()
    })
  }
  return {
    check,
    async request(tx, input) {
      const place = await placeFor(input.url, input.secret)
      await insertPush(
        tx,
        { ...input, settings: (input.settings as PushSettings | undefined) ?? PLAIN_SETTINGS },
        { place },
      )
      tx.afterCommit(() => worker.wake())
    },
    usesOf: (secret) => pushesWithSecret(db, secret),
    status: (id) => queries.status(id),
    cancel,
    async requeue(tx, id) {
      const status = await queries.status(id)
      const place = status && (await placeFor(status.url, status.secret))
      if (!(await requeuePush(tx, id, place))) throw notFailed(id)
      tx.afterCommit(() => worker.wake())
    },
    async run(request) {
      const { id, notes } = await runByHand({ db, versioning, check, placeFor }, request)
      worker.wake()
      return { egress: await queries.inspect(id), notes }
    },
    list: (query = {}) => queries.list(query),
    inspect: (id) => queries.inspect(id),
    async retry(idOrPrefix) {
      const status = await queries.inspect(idOrPrefix)
      if (status.job !== undefined) {
        throw new EgressRefused(`egress ${status.id} is retried with its job`, { egress: status.id, job: status.job })
      }
      await retryByHand({ db, versioning, placeFor }, status)
      worker.wake()
      return queries.inspect(status.id)
    },
    async kill(idOrPrefix) {
      const { id } = await queries.inspect(idOrPrefix)
      await db.write((tx) => cancel(tx, id))
      return queries.inspect(id)
    },
    async *verify(idOrPrefix, options) {
      const parts = { db, versioning, openTarget, placeFor, clock, retry, random, onQueued: () => worker.wake() }
      yield* verifyByHand(parts, await queries.inspect(idOrPrefix), options)
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
