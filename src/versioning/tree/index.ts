export { apply } from './apply.ts'
export { applyCounted, comparedWith, countItem } from './apply-counted.ts'
export { build } from './build.ts'
export { afterPrefix, startsWith } from './bytes.ts'
export { decodeEntry, decodeLeaf, encodeEntry, encodeLeaf } from './codec.ts'
export { contentsOf } from './contents.ts'
export { type Cursor, mergedCursor, type OverlayCursor, treeCursor } from './cursor.ts'
export { type DiffRange, diffTrees, type TreeDifference } from './diff.ts'
export { listPage } from './list.ts'
export { lookup, lookupMany } from './lookup.ts'
export { measure } from './measure.ts'
export {
  decideMerge,
  isUndecided,
  type MergeConflictItem,
  type MergeOptions,
  type MergeSlice,
  mergeTrees,
} from './merge.ts'
export { EMPTY_TREE } from './node.ts'
export { endNodeSweep, nodeMigrations, openNodeStore } from './node-store.ts'
export { createTrees, differenceOf, rangeOf, sameFile } from './trees.ts'
export type { LeafItem, NodeStore, StoredNode, TreeChange, TreeSettings } from './types.ts'
export { type ChildClaim, type LeafContent, NodeVerifier, type VerifiedNode } from './verify.ts'
