/** What the contract says of backups and of what is kept; a part of `contract.ts`, by which it is read. */

/** A backup at a place. */
export interface BackupJson {
  readonly id: string
  readonly created: string
  /** The id of the store that it is of. */
  readonly store: string
  /** Of everything in it; backups share most of it. */
  readonly sizeBytes: number
  readonly packs: number
  /** Whether root-key.json and secrets.key are in it. */
  readonly keys: boolean
}

/** A line of a backup that is being made. `done` is the last. */
export type BackupEventJson =
  | { readonly kind: 'progress'; readonly bytesDone: number; readonly bytesTotal: number; readonly bytesSent: number }
  | { readonly kind: 'done'; readonly backup: BackupJson; readonly bytesSent: number }

/** A line of a verification. `done` is the last. */
export type BackupVerifyJson =
  | { readonly kind: 'fault'; readonly backup: string; readonly object: string; readonly why: string }
  | { readonly kind: 'progress'; readonly bytesDone: number; readonly bytesTotal: number }
  | {
      readonly kind: 'done'
      readonly backups: number
      readonly objects: number
      readonly bytes: number
      readonly faults: number
    }

export interface BackupsRemovedJson {
  readonly backups: readonly string[]
  /** What no backup that is left needs. */
  readonly objects: number
  readonly bytes: number
}

/** What is kept of a repo: what any of the rules keeps; without any, everything that a branch or a tag leads to. */
export interface RetentionJson {
  readonly keepDays?: number
  readonly keepCommits?: number
}

/** A line of a preview: a commit that the next garbage collection removes. */
export interface ExpiredJson {
  readonly repo: string
  readonly branch: string
  readonly commit: string
  readonly finished: string
  readonly why: 'unreachable' | 'retention'
}
