import { DomainError } from '../kernel/index.ts'

/** Every error of this floor that a caller is meant to tell apart, by its literal code: doors map them exhaustively. */
export type EgressError = EgressNotFound | AmbiguousEgress | EgressRefused | TargetFailed

/** No egress has this id or prefix (`data.egress`). */
export class EgressNotFound extends DomainError {
  readonly code = 'EgressNotFound'
  constructor(id: string) {
    super(`there is no egress ${id}: sluice egress list shows those there are`, { egress: id })
  }
}

/** A prefix that several begin with (`data.egresses`). */
export class AmbiguousEgress extends DomainError {
  readonly code = 'AmbiguousEgress'
  constructor(prefix: string, ids: readonly string[]) {
    super(`${prefix} may mean any of ${ids.join(', ')}: give more digits`, { prefix, egresses: ids })
  }
}

/** The target did not answer what a comparison asks it for; the message says what it answered. */
export class TargetFailed extends DomainError {
  readonly code = 'TargetFailed'
}

/** It can't be run, or not again; the message says why and what to do instead. */
export class EgressRefused extends DomainError {
  readonly code = 'EgressRefused'
}
