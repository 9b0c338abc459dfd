import type { BranchName, Commit, CommitFailure, CommitId, CommitRef } from './model/index.ts'

/** What is awaited, first; then each commit as it ends; last, the verdict over all of them. */
export type FlushEvent =
  | { readonly kind: 'waiting'; readonly flushed: readonly CommitRef[]; readonly commits: readonly FlushCommit[] }
  | { readonly kind: 'ended'; readonly commit: FlushCommit }
  | { readonly kind: 'verdict'; readonly ok: boolean; readonly branches: readonly FlushVerdict[] }

/** A commit that a flush waits for. */
export interface FlushCommit extends CommitRef {
  readonly branch: BranchName
  readonly state: Commit['state']
  readonly parent?: CommitId
  readonly startedMs: number
  readonly finishedMs?: number
  readonly sizeBytes: number
  readonly failure?: CommitFailure
}

/** How a branch came out of a flush: `timed-out` is what was still open at the end of the time. */
export interface FlushVerdict extends CommitRef {
  readonly branch: BranchName
  readonly verdict: 'finished' | 'failed' | 'unrunnable' | 'stopped' | 'timed-out'
  readonly reason?: string
}
