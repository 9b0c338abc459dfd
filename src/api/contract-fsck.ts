/** What the contract says of checking a store and of its figures; a part of `contract.ts`, by which it is read. */

export type FsckPhaseJson = 'database' | 'rows' | 'packs' | 'trees' | 'versions' | 'paths' | 'repair'

/** A commit or branch that a fault touches; `commit` is left out for what a branch holds above its last commit. */
export interface TouchedHolderJson {
  readonly repo: string
  readonly branch: string
  readonly commit?: string
}

/** A file that a fault touches; `version` where it is found among the versions only. */
export interface TouchedPathJson {
  readonly repo: string
  readonly path: string
  readonly version?: string
}

export interface FaultJson {
  readonly kind: 'database' | 'pages' | 'row' | 'pack' | 'chunk' | 'content' | 'node' | 'counts'
  readonly message: string
  /** `note`: nothing is lost by it. */
  readonly severity: 'damage' | 'note'
  readonly sha256?: string
  readonly pack?: string
  /** The first few of what it touches, and how many there are. */
  readonly touched?: {
    readonly holders: readonly TouchedHolderJson[]
    readonly holdersTotal: number
    readonly paths: readonly TouchedPathJson[]
    readonly pathsTotal: number
  }
}

export interface FsckCountsJson {
  readonly pages: number
  readonly branches: number
  readonly commits: number
  readonly versions: number
  readonly trees: number
  readonly nodes: number
  readonly files: number
  readonly packs: number
  readonly chunks: number
  readonly hashedBytes: number
}

/** The last line of a check. */
export interface FsckVerdictJson {
  readonly kind: 'verdict'
  /** `stopped`: it did not come to its end. */
  readonly verdict: 'clean' | 'damaged' | 'stopped'
  readonly counts: FsckCountsJson
  readonly faults: number
  /** More than were told one by one. */
  readonly untold: number
  readonly mended: number
  readonly elapsedMs: number
  /** While packs were hashed. */
  readonly bytesPerSecond?: number
}

/** A line of a check. */
export type FsckJson =
  | { readonly kind: 'phase'; readonly phase: FsckPhaseJson }
  | {
      readonly kind: 'progress'
      readonly phase: FsckPhaseJson
      readonly counts: FsckCountsJson
      readonly faults: number
      readonly bytesPerSecond?: number
    }
  | { readonly kind: 'fault'; readonly fault: FaultJson }
  | { readonly kind: 'mended'; readonly message: string }
  | FsckVerdictJson

export interface RepoStatsJson {
  readonly repo: string
  readonly branches: number
  readonly commits: number
  readonly files: number
  readonly bytes: number
  /** What all its finished commits would take if each were a copy of its own. */
  readonly historyBytes: number
}

export interface StatsJson {
  readonly repos: readonly RepoStatsJson[]
  readonly commits: number
  /** Acknowledged writes and deletes that are kept. */
  readonly versions: number
  /** At the heads of all branches. */
  readonly files: number
  readonly bytes: number
  readonly historyBytes: number
  readonly nodes: { readonly count: number; readonly fileBytes: number }
  readonly chunks: {
    readonly count: number
    readonly bytes: number
    /** Found unused by garbage collection, and going. */
    readonly doomed: number
    readonly doomedBytes: number
  }
  readonly packs: { readonly count: number; readonly fileBytes: number }
  readonly metadata: { readonly fileBytes: number; readonly logBytes: number }
  /** `bytes` by the bytes of chunks. */
  readonly headRatio?: number
  /** `historyBytes` by the bytes of chunks. */
  readonly historyRatio?: number
}
