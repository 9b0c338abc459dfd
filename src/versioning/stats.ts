import type { RepoName } from './model/index.ts'

/** How much there is of what in a store. */
export interface StoreStats {
  readonly repos: readonly RepoStats[]
  readonly commits: number
  /** Acknowledged writes and deletes that are kept. */
  readonly versions: number
  /** Files and bytes at the heads of all branches; a head that several branches have counts once. */
  readonly files: number
  readonly bytes: number
  /** What all finished commits would take if each were a copy of its own. */
  readonly historyBytes: number
  readonly nodes: { readonly count: number; readonly fileBytes: number }
  readonly chunks: {
    readonly count: number
    /** Of the contents, each once. Contents of up to 512 bytes stand in the entries and are not among them. */
    readonly bytes: number
    /** Found unused by garbage collection, and going. */
    readonly doomed: number
    readonly doomedBytes: number
  }
  readonly packs: {
    readonly count: number
    /** Of their files. What is more than the chunks take is headers, and what nothing refers to any more. */
    readonly fileBytes: number
  }
  readonly metadata: { readonly fileBytes: number; readonly logBytes: number }
  /** `bytes` by the bytes of chunks; undefined while there are none. */
  readonly headRatio?: number
  /** `historyBytes` by the bytes of chunks: what sharing content over all commits saves. */
  readonly historyRatio?: number
}

/** The same of one repo, without transactions. */
export interface RepoStats {
  readonly repo: RepoName
  readonly branches: number
  readonly commits: number
  readonly files: number
  readonly bytes: number
  readonly historyBytes: number
}
