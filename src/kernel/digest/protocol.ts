import type { DigestName } from './hashers.ts'

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
      readonly memory: SharedArrayBuffer
      readonly offset: number
      readonly length: number
    }
  | { readonly op: 'abandon'; readonly lane: number }

/** What comes back: `done` frees the slot, `digested` ends the lane. */
export type LaneReply =
  | { readonly op: 'done'; readonly lane: number; readonly slot: number }
  | { readonly op: 'digested'; readonly lane: number; readonly digests: readonly (readonly [DigestName, Uint8Array])[] }
