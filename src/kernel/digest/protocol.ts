import type { CutRule } from './gear.ts'
import type { DigestName } from './hashers.ts'

/** A stretch of shared memory. */
export interface Segment {
  readonly memory: SharedArrayBuffer
  readonly offset: number
  readonly length: number
}

/** What goes to a worker. Messages of one lane are worked off in order. */
export type LaneRequest =
  | {
      readonly op: 'open'
      readonly lane: number
      readonly names: readonly DigestName[]
      readonly memory: SharedArrayBuffer
      readonly slotBytes: number
    }
  | { readonly op: 'update'; readonly lane: number; readonly slot: number; readonly length: number }
  | { readonly op: 'digest'; readonly lane: number }
  | {
      readonly op: 'once'
      readonly lane: number
      readonly names: readonly DigestName[]
      readonly segments: readonly Segment[]
      /** Digests of what is before the next cut only; if there is none yet, nothing. */
      readonly cut?: { readonly rule: CutRule; readonly scanned: number; readonly last: boolean }
    }
  | { readonly op: 'abandon'; readonly lane: number }

/** What comes back: `done` frees the slot, `digested` ends the lane, and so does a `cut` that was not found. */
export type LaneReply =
  | { readonly op: 'done'; readonly lane: number; readonly slot: number }
  | { readonly op: 'cut'; readonly lane: number; readonly bytes: number | undefined }
  | { readonly op: 'digested'; readonly lane: number; readonly digests: readonly (readonly [DigestName, Uint8Array])[] }
