import type { CommitRef, RepoName } from './model/index.ts'

export interface PurgeInput {
  readonly repo: RepoName
  /** A path, or with `prefix` the beginning of paths. */
  readonly path: string
  readonly prefix?: boolean
  /** Kept with the record: it says why there is less than there was. */
  readonly reason: string
  /** Who asked for it. */
  readonly by: string
  readonly signal?: AbortSignal
}

/** The record of a purge. It stays. */
export interface PurgeRecord {
  readonly id: number
  readonly repo: RepoName
  readonly path: string
  readonly prefix: boolean
  readonly reason: string
  readonly by: string
  readonly askedMs: number
  /** Undefined: it is under way, or goes on at the next start. */
  readonly finishedMs?: number
  /** Commits that held it, each counted once for every time that it was looked at. */
  readonly commits: number
  readonly versions: number
}

export type PurgeEvent =
  | { readonly kind: 'progress'; readonly phase: 'versions' | 'trees' | 'content' | 'databases'; readonly done: number }
  | {
      readonly kind: 'done'
      readonly purge: PurgeRecord
      /** Commits of other repos that were computed from commits which held it: the first of them. What they hold was not touched. */
      readonly derived: readonly CommitRef[]
      readonly derivedTotal: number
      /** What the packs take less than before. */
      readonly reclaimedBytes: number
      /** How long both databases were written anew at its end; who wanted to write waited for most of it. */
      readonly scrubMs: number
    }

/** Removes paths from all of history, which nothing else does. */
export interface Purges {
  /**
   * Removes a path (or all that begin with one) from every commit and every version of a repo, then its content from the store, wherever
   * nothing else refers to it, packs included. What a crash interrupts goes on at the next start. Throws RepoNotFound, InvalidInput,
   * InUse (a job reads or writes the repo), GcRunning.
   */
  run(input: PurgeInput): AsyncIterable<PurgeEvent>
  /** Newest first. */
  list(): Promise<readonly PurgeRecord[]>
}
