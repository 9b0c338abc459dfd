import type { SharedMarks } from '../content/index.ts'
import type { WhyResult } from '../maintenance.ts'
import type { TreeHash } from '../model/index.ts'
import type { ReferenceSource } from './references.ts'

/** What the thread that marks and sweeps is started with. */
export interface GcWorkerData {
  readonly databaseFile: string
  readonly nodesFile: string
  readonly packsFolder: string
  readonly sources: readonly ReferenceSource[]
  /** Left out of the roots: what would go, where it is only asked. */
  readonly without: readonly string[]
}

export type GcRequest =
  /** How many chunks there are. */
  | { readonly kind: 'count' }
  /** From here on nodes that are put are written down. */
  | { readonly kind: 'barrier' }
  /** Marks all that the rows and these refer to; `contents`: also what rows refer to without a tree. */
  | {
      readonly kind: 'mark'
      readonly marks: SharedMarks
      readonly roots: readonly TreeHash[]
      readonly manifests: readonly Uint8Array[]
      readonly contents: boolean
      /** Results of floors above: only what is marked already counts, or all of them. */
      readonly results: boolean
    }
  /** Results whose content is not all marked. */
  | { readonly kind: 'results' }
  /** The next nodes that are not marked: removed, or only counted. */
  | { readonly kind: 'nodes'; readonly remove: boolean }
  /** The next chunks that are not marked. */
  | { readonly kind: 'chunks' }
  /** Who refers to this. */
  | { readonly kind: 'why'; readonly sha256: string }
  /** Live bytes by pack, once all chunks were looked at. */
  | { readonly kind: 'packs' }

export type WhyReply = Pick<WhyResult, 'kind' | 'bytes' | 'held' | 'total'>

export interface MarkResult {
  readonly nodes: number
  readonly entries: number
}

export interface NodesResult {
  readonly looked: number
  readonly unmarked: number
  readonly bytes: number
  readonly ended: boolean
}

export interface UnmarkedChunk {
  readonly sha256: Uint8Array
  readonly length: number
}

export interface ChunksResult {
  readonly looked: number
  readonly unmarked: readonly UnmarkedChunk[]
  /** Marked, although they were doomed before. */
  readonly back: readonly Uint8Array[]
  readonly ended: boolean
}

export interface PackLive {
  readonly pack: number
  readonly liveBytes: number
}

/** Keys (JSON) of results to be dropped, by the place of their statement among all of them. */
export interface WeakResults {
  readonly source: number
  readonly statement: number
  readonly keys: readonly string[]
}

export type GcReply =
  | { readonly id: number; readonly ok: true; readonly result: unknown }
  | {
      readonly id: number
      readonly ok: false
      readonly code: string
      readonly message: string
      readonly data?: Readonly<Record<string, unknown>>
    }
  /** While it marks: how many nodes so far. */
  | { readonly id: 0; readonly ok: true; readonly marked: number }
