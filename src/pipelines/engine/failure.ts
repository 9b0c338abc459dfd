import { errnoOf, StorageFull } from '../../kernel/index.ts'

/** A datum did not succeed, for a reason that is the user's: the message is shown to them. */
export class DatumFailure extends Error {
  readonly exitCode: number | undefined
  /** False if trying again can't help. */
  readonly retryable: boolean

  constructor(message: string, options: { exitCode?: number; retryable?: boolean } = {}) {
    super(message)
    this.name = 'DatumFailure'
    this.exitCode = options.exitCode
    this.retryable = options.retryable ?? true
  }
}

/** Why an attempt at a job is stopped. */
export type Stop =
  | { readonly kind: 'timeout'; readonly reason: string }
  /** This process does not run it any more; its rows say whether it has ended, or who runs it. */
  | { readonly kind: 'given-up' }

export class JobStopped extends Error {
  readonly stop: Stop

  constructor(stop: Stop) {
    super(stop.kind === 'given-up' ? 'the job is given up by this process' : stop.reason)
    this.name = 'JobStopped'
    this.stop = stop
  }
}

/** A full scratch disk is the machine's trouble, not the datum's. */
export function asStorageError(error: unknown): unknown {
  const code = errnoOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT' ? new StorageFull(error) : error
}
