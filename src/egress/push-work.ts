import type { ObjectStore, Target } from '../cloud/index.ts'
import { type Database, DomainError, type Transaction } from '../kernel/index.ts'
import type { Versioning } from '../versioning/index.ts'
import { again, type Patience } from './again.ts'
import type { Throttle } from './bandwidth.ts'
import type { Lane } from './lanes.ts'
import type { Ledger } from './ledger.ts'
import type { PartMemory } from './limiter.ts'
import type { EgressMeter } from './metrics.ts'
import { type ClaimedPush, type Counts, NO_COUNTS, renewPush } from './pushes.ts'

/** What a push works with. */
export interface PushParts extends Patience {
  readonly db: Database
  readonly versioning: Pick<Versioning, 'content' | 'trees'>
  readonly store: ObjectStore
  readonly target: Target
  readonly ledger: Ledger
  readonly memory: PartMemory
  /** What the target bears at once. */
  readonly lane: Lane
  /** How fast bytes may go. */
  readonly throttle: Throttle
  readonly meter: EgressMeter | undefined
}

/** A push can't go on; the message is the reason that people see. */
export class PushFailed extends DomainError {
  readonly code = 'PushFailed'
}

/** What all steps of one push share: what it works with, how far it is, and the end of all of them when one fails. */
export class PushWork {
  readonly push: ClaimedPush
  readonly parts: PushParts
  readonly counts: { -readonly [Name in keyof Counts]: Counts[Name] } = { ...NO_COUNTS }
  readonly signal: AbortSignal
  readonly #failed = new AbortController()

  constructor(push: ClaimedPush, parts: PushParts) {
    this.push = push
    this.signal = AbortSignal.any([parts.signal, this.#failed.signal])
    this.parts = { ...parts, signal: this.signal }
  }

  /** Throws StalePush if the push is not this attempt's any more. */
  readonly renew = (tx: Transaction): Promise<void> => renewPush(tx, this.push, this.counts)

  /** A transaction that is refused if the push is not this attempt's any more. */
  write<Result>(work: (tx: Transaction) => Promise<Result>): Promise<Result> {
    return this.parts.db.write(async (tx) => {
      await this.renew(tx)
      return work(tx)
    })
  }

  again<Result>(work: () => Promise<Result>): Promise<Result> {
    return again(this.parts, work)
  }

  /** Ends all that is under way. */
  fail(error: unknown): void {
    this.#failed.abort(error)
  }

  /** The failure as people should read it. Throws the signal's reason where that came first. */
  told(what: string, error: unknown): unknown {
    this.signal.throwIfAborted()
    if (!(error instanceof DomainError) || error instanceof PushFailed) return error
    return new PushFailed(`${what}: ${error.message}`, {}, error)
  }
}
