/** What the contract says of garbage collection and purges; a part of `contract.ts`, by which it is read. */

/** A line of a collection. `done` is the last; with `dryRun` it says what would go. */
export type GcEventJson =
  | {
      readonly kind: 'progress'
      readonly phase: 'commits' | 'mark' | 'nodes' | 'chunks' | 'packs'
      readonly done: number
      readonly total?: number
    }
  | ({ readonly kind: 'done'; readonly dryRun: boolean } & GcResultJson)

export interface GcResultJson {
  readonly commits: number
  /** Nodes of trees. */
  readonly nodes: number
  readonly nodeBytes: number
  /** Pieces of content found unused: their bytes go when the grace is over. */
  readonly chunks: number
  readonly chunkBytes: number
  /** Those found unused before, whose bytes went now. */
  readonly removedChunks: number
  readonly removedBytes: number
  readonly packsRemoved: number
  readonly packsRepacked: number
  /** What the packs take less on the disk. */
  readonly reclaimedBytes: number
  /** Results of datums that can't be used again. */
  readonly results: number
  /** What is unused and still in its grace. */
  readonly waitingBytes: number
  /** Packs that could not be rewritten, since something in them is damaged. */
  readonly damagedPacks: readonly string[]
  readonly durationMs: number
}

/** Who refers to something. Which members there are depends on `kind`. */
export interface HolderJson {
  readonly kind: 'commit' | 'branch' | 'transaction' | 'version' | 'upload' | 'scratch' | 'other'
  readonly repo?: string
  readonly branch?: string
  readonly commit?: string
  readonly id?: string
  /** Of `other`: what it is, in words. */
  readonly what?: string
  /** The first path under which it is there. */
  readonly path?: string
}

/** Who holds a piece of content or a node of a tree. */
export interface WhyJson {
  readonly sha256: string
  /** `gone`: it is in no pack and no tree. */
  readonly kind: 'node' | 'chunk' | 'manifest' | 'gone'
  readonly bytes?: number
  /** The first of them. */
  readonly held: readonly HolderJson[]
  readonly total: number
  /** When it was found unused. */
  readonly unusedSince?: string
}

/** The record of a purge. */
export interface PurgeJson {
  readonly id: number
  readonly repo: string
  readonly path: string
  /** True: everything that begins with `path`. */
  readonly prefix: boolean
  readonly reason: string
  readonly by: string
  readonly asked: string
  /** Null: it is under way, or goes on at the next start. */
  readonly finished: string | null
  readonly commits: number
  readonly versions: number
}

/** A line of a purge. `done` is the last. */
export type PurgeEventJson =
  | { readonly kind: 'progress'; readonly phase: 'versions' | 'trees' | 'content' | 'databases'; readonly done: number }
  | {
      readonly kind: 'done'
      readonly purge: PurgeJson
      /** Commits of other repos that were computed from commits which held it, the first of them: they are as they were. */
      readonly derived: readonly { readonly repo: string; readonly commit: string }[]
      readonly derivedTotal: number
      readonly reclaimedBytes: number
      /** How long both databases were written anew at its end; who wanted to write waited for most of it. */
      readonly scrubMs: number
    }
