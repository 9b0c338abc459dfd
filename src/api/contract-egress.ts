/** What the contract says of egress; a part of `contract.ts`, by which it is read. */

/** The push of a job's output. */
export interface JobEgressJson {
  readonly id: string
  readonly url: string
  readonly state: 'waiting' | 'running' | 'success' | 'failed'
  readonly filesTotal: number
  readonly filesDone: number
  readonly filesSkipped: number
  readonly filesDeleted: number
  readonly bytesTotal: number
  readonly bytesDone: number
  readonly attempts: number
  /** When its first try began; null: not yet, or not known. */
  readonly started: string | null
  readonly finished: string | null
  readonly reason?: string
  /** Over the last seconds while it runs; over its last try when it has ended. */
  readonly bytesPerSecond?: number
  readonly secondsLeft?: number
  /** Only while it runs and its requests fail: what the last failed with, how often it was tried, and since when none has succeeded. */
  readonly trying?: { readonly reason: string; readonly times: number; readonly since: string }
}

/** A push to an object store outside. */
export interface EgressJson extends JobEgressJson {
  /** Left out: it was asked for by hand. */
  readonly job?: string
  readonly repo: string
  readonly commit: string
  /** The name of its credentials. */
  readonly secret?: string
  readonly settings: {
    readonly layout: 'plain' | 'commit'
    readonly keep?: number
    readonly manifests: readonly { readonly path: string; readonly glob?: string }[]
    readonly success: boolean
    readonly parallel?: number
    readonly bandwidth?: number
  }
  readonly created: string | null
  readonly askedBy?: string
  /** When the target was last compared with what was put there, and how many files were not as they should be. */
  readonly verified?: { readonly at: string; readonly drift: number }
  /** Not in lists. */
  readonly history?: readonly EgressAttemptJson[]
}

export interface EgressAttemptJson {
  readonly attempt: number
  readonly started: string
  readonly finished: string | null
  readonly result: 'running' | 'success' | 'failed' | 'cancelled' | 'interrupted' | 'lost'
  readonly reason?: string
  readonly files: number
  readonly bytes: number
}

/** A line of a comparison of a target with what was put there. `verified` is the last. */
export type VerifyJson =
  | { readonly kind: 'drift'; readonly path: string; readonly drift: 'missing' | 'changed'; readonly why: string }
  /** In the folder, and not ours. The first hundred are named. */
  | { readonly kind: 'foreign'; readonly path: string; readonly size: number }
  | VerifiedJson

export interface VerifiedJson {
  readonly kind: 'verified'
  /** That should be there. */
  readonly files: number
  readonly bytes: number
  readonly missing: number
  readonly changed: number
  /** Not compared: on their way, or of an egress that failed. */
  readonly unsent: number
  readonly foreign: number
  /** Every object was read, but for `unread` ones whose content is not known any more. */
  readonly deep: boolean
  readonly unread: number
  /** Id of the egress that sends again what has drifted. */
  readonly repair?: string
}

export interface EgressRequestedJson {
  readonly egress: EgressJson
  /** Where it goes, and what is to be known of that. */
  readonly notes: readonly string[]
}
