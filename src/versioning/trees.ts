import type { FileEntry, Path, TreeHash } from './model/index.ts'

/** One page of a listing. */
export interface ListQuery {
  readonly prefix?: string
  /** Any non-empty string. */
  readonly delimiter?: string
  /** Exclusive: keys and common prefixes at or before it (in UTF-8 order) are not shown. */
  readonly after?: string
  /** At most 1,000. */
  readonly limit: number
}

/** Entries and prefixes are each in UTF-8 byte order, and together at most `limit`. */
export interface ListResult {
  readonly entries: readonly FileEntry[]
  readonly prefixes: readonly string[]
  /** Set when there is more: the last key or common prefix shown, to pass as `after`. */
  readonly next?: string
}

/** A path that two trees do not have alike. */
export type Difference =
  | { readonly kind: 'added'; readonly path: Path; readonly after: FileEntry }
  | { readonly kind: 'deleted'; readonly path: Path; readonly before: FileEntry }
  | { readonly kind: 'changed'; readonly path: Path; readonly before: FileEntry; readonly after: FileEntry }

/** Immutable, content-addressed maps path → entry. */
export interface Trees {
  get(root: TreeHash, path: Path): Promise<FileEntry | undefined>
  list(root: TreeHash, query: ListQuery): Promise<ListResult>
  /** All entries below a prefix, in UTF-8 byte order. */
  walk(root: TreeHash, prefix?: string): AsyncIterable<FileEntry>
  /**
   * Differences from `before` to `after` in path order; equal subtrees are not visited. Entries that differ only in version,
   * time or origin do not count, unless `strict`. `after`: only paths that come after this one.
   */
  diff(
    before: TreeHash,
    after: TreeHash,
    options?: { prefix?: string; after?: string; strict?: boolean },
  ): AsyncIterable<Difference>
  /** Objects and bytes below a prefix: O(log n). Markers are counted as objects here. */
  measure(root: TreeHash, prefix?: string): Promise<{ objects: number; bytes: number }>
}
