import { createHmac, hash } from 'node:crypto'
import { KIB, MAX_PATH_BYTES } from '../../kernel/index.ts'
import type { BoundaryRule } from './types.ts'

/** A node is never cut before this many bytes of items (the last of its level excepted), */
const MIN_NODE_BYTES = 4 * KIB
/** and always after the item that reaches this many, so that no choice of keys makes it grow further. */
const MAX_NODE_BYTES = 8 * KIB
/** In between, an item is a cut with the chance `its bytes / SPREAD_BYTES`: nodes are 5.9 KiB on average. */
const SPREAD_BYTES = 2 * KIB
/** Of the 2^32 values of a key's hash. Where a few large items fill a node, half of the chances must be left to the hash: cuts that
 * only sizes decide would shift all along the level after one insertion. */
const MOST_CHANCES = 2 ** 31
const CHANCES_PER_BYTE = 2 ** 32 / SPREAD_BYTES
const MIN_SALT_BYTES = 16
const LEVEL_SALT_BYTES = 32

/**
 * Decides where the nodes of one level end. The answer depends on nothing but the items since the last cut, so that the same items
 * are cut the same way whatever the order in which they came, and a cut that survives an edit leaves all after it as it was.
 * Who does not know the salt can't choose keys that are, or never are, a cut.
 */
export class Boundary implements BoundaryRule {
  /** The level's salt, then the key that is hashed. */
  readonly #input = Buffer.alloc(LEVEL_SALT_BYTES + MAX_PATH_BYTES)

  constructor(salt: Buffer, level: number) {
    if (salt.length < MIN_SALT_BYTES) throw new RangeError(`the salt of a tree has at least ${MIN_SALT_BYTES} bytes`)
    createHmac('sha256', salt).update(`tree level ${level}`).digest().copy(this.#input)
  }

  /** Whether the node ends with the item that took it from `before` to `after` bytes and whose key is `keys[start..end]`. */
  cutsAfter(before: number, after: number, keys: Buffer, start: number, end: number): boolean {
    if (after < MIN_NODE_BYTES) return false
    if (after >= MAX_NODE_BYTES) return true
    const chances = Math.min(MOST_CHANCES, (after - Math.max(before, MIN_NODE_BYTES)) * CHANCES_PER_BYTE)
    keys.copy(this.#input, LEVEL_SALT_BYTES, start, end)
    // As hex, since this is the hottest call of all and asking for a buffer takes three times as long.
    const digest = hash('sha256', this.#input.subarray(0, LEVEL_SALT_BYTES + end - start), 'hex')
    return Number.parseInt(digest.slice(0, 8), 16) < chances
  }
}
