import type { FsckEvent, FsckOptions } from './fsck.ts'
import type { BranchName, CommitId, RepoName } from './model/index.ts'
import type { Purges } from './purges.ts'
import type { StoreStats } from './stats.ts'

/** The upkeep of a store that is in use. */
export interface Maintenance {
  readonly purges: Purges
  /**
   * Removes what nothing refers to any more, while the store is used: commits that retention gives, tree nodes, chunks, packs. Ends by
   * itself; a consumer that leaves, or the signal, stops it between steps, with everything it has done valid. Throws GcRunning.
   */
  gc(options?: GcOptions): AsyncIterable<GcEvent>
  /**
   * Looks for damage, while the store is used: the graph of what refers to what, with `deep` all stored bytes. One at a time. Throws CheckRunning.
   */
  fsck(options?: FsckOptions): AsyncIterable<FsckEvent>
  /** How much there is of what. Reads no trees and no content. */
  stats(): Promise<StoreStats>
  /** Who holds a chunk, a manifest or a tree node (SHA-256 in hex). */
  why(sha256: string, options?: { readonly signal?: AbortSignal }): Promise<WhyResult>
}

export interface GcOptions {
  /** Only says what would go. */
  readonly dryRun?: boolean
  /** How long what was found unused is kept before its bytes go: clients may be about to send, or to read, just that. Default 1 h. */
  readonly graceMs?: number
  /** Leaves no unused byte in any pack, however little it is: for purges. */
  readonly thorough?: boolean
  readonly signal?: AbortSignal
}

export type GcPhase = 'commits' | 'mark' | 'nodes' | 'chunks' | 'packs'

/** Progress and the end of a collection. */
export type GcEvent =
  | {
      readonly kind: 'progress'
      readonly phase: GcPhase
      /** Looked at so far in this phase. */
      readonly done: number
      /** How many there are, where that is known. */
      readonly total?: number
    }
  | ({ readonly kind: 'done'; readonly dryRun: boolean } & GcResult)

/** What went, or with `dryRun` what would go. */
export interface GcResult {
  readonly commits: number
  readonly nodes: number
  readonly nodeBytes: number
  /** Found unused: their bytes go when the grace is over. */
  readonly chunks: number
  readonly chunkBytes: number
  /** Chunks found unused before, whose bytes went now. */
  readonly removedChunks: number
  readonly removedBytes: number
  readonly packsRemoved: number
  readonly packsRepacked: number
  /** What the packs take less than before. */
  readonly reclaimedBytes: number
  /** Results of datums that can't be used again, since their files are gone from every commit. */
  readonly results: number
  /** What is still unused and in its grace. */
  readonly waitingBytes: number
  /** Packs that could not be rewritten, since something in them is damaged: run fsck. */
  readonly damagedPacks: readonly string[]
  readonly durationMs: number
}

/** Who refers to a tree or to a content. */
export type Holder =
  | { readonly kind: 'commit'; readonly repo: RepoName; readonly branch: BranchName; readonly commit: CommitId }
  | { readonly kind: 'branch' | 'transaction'; readonly repo: RepoName; readonly branch: BranchName }
  | { readonly kind: 'version'; readonly repo: RepoName; readonly branch: BranchName; readonly commit: CommitId }
  | { readonly kind: 'upload' | 'scratch'; readonly repo: RepoName; readonly branch: BranchName; readonly id: string }
  /** Something of a floor above, or in memory: by its own words. */
  | { readonly kind: 'other'; readonly what: string; readonly id: string }

export interface WhyResult {
  readonly sha256: string
  /** `node`: of a tree; `gone`: it is in no pack and no tree. */
  readonly kind: 'node' | 'chunk' | 'manifest' | 'gone'
  readonly bytes?: number
  /** The first of them; `total` says how many there are. */
  readonly held: readonly { readonly holder: Holder; readonly path?: string }[]
  readonly total: number
  /** Set if it was found unused: when (ms since 1970). */
  readonly doomedMs?: number
}
