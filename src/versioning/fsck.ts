/** What a check of a store looks at, and how hard it works. */
export interface FsckOptions {
  /** Also every stored byte against its hash, and every index against its table. */
  readonly deep?: boolean
  /** Mends what can be made again from what is sound; never removes anything. */
  readonly repair?: boolean
  /** Ends the check between two steps. */
  readonly signal?: AbortSignal
  /** How much of the time of one core it may take, 0.05 to 1; half of it where it is left out, so that requests keep theirs. */
  readonly share?: number
}

/** The parts of a check, in their order. */
export type FsckPhase = 'database' | 'rows' | 'packs' | 'trees' | 'versions' | 'paths' | 'repair'

/**
 * What is wrong:
 * - `database`: SQLite finds its file damaged, `pages`: a page of it is not what was written;
 * - `row`: rows that contradict one another, or hold what nothing can read;
 * - `pack`: the file of a pack is missing, too short, or none;
 * - `chunk`: a piece of content that is not where it should be, or not what it was;
 * - `content`: content that is referred to and that no pack is known to hold, or whose pieces do not make it up;
 * - `node`: a node of a tree that is missing, changed, or not as the rules of the tree would have it;
 * - `counts`: the files and bytes of a commit are not those of its tree.
 */
export type FaultKind = 'database' | 'pages' | 'row' | 'pack' | 'chunk' | 'content' | 'node' | 'counts'

/** A commit or branch that a fault touches; `commit` is left out for what a branch holds above its last commit. */
export interface TouchedHolder {
  readonly repo: string
  readonly branch: string
  readonly commit?: string
}

/** A file that a fault touches; `version` where it is found among the versions only, in no tree. */
export interface TouchedPath {
  readonly repo: string
  readonly path: string
  readonly version?: string
}

/** The first few of what a fault touches, and how many there are. */
export interface Touched {
  readonly holders: readonly TouchedHolder[]
  readonly holdersTotal: number
  readonly paths: readonly TouchedPath[]
  readonly pathsTotal: number
}

/** Something that is damaged. Nothing of it is ever served: reading it fails. */
export interface Fault {
  readonly kind: FaultKind
  /** One sentence for people. */
  readonly message: string
  /** `note`: nothing is lost by it (a chunk that nothing refers to, a file that is no pack). */
  readonly severity: 'damage' | 'note'
  /** SHA-256 of the node or content, if it is about one. */
  readonly sha256?: string
  readonly pack?: string
  readonly touched?: Touched
}

/** How much was looked at. */
export interface FsckCounts {
  readonly pages: number
  readonly branches: number
  readonly commits: number
  readonly versions: number
  readonly trees: number
  readonly nodes: number
  readonly files: number
  readonly packs: number
  readonly chunks: number
  /** Stored bytes that were read and hashed. */
  readonly hashedBytes: number
}

/** What a check tells as it goes; `verdict` is the last. */
export type FsckEvent =
  | { readonly kind: 'phase'; readonly phase: FsckPhase }
  | {
      readonly kind: 'progress'
      readonly phase: FsckPhase
      readonly counts: FsckCounts
      readonly faults: number
      /** Of the content that was hashed lately. */
      readonly bytesPerSecond?: number
    }
  | { readonly kind: 'fault'; readonly fault: Fault }
  | { readonly kind: 'mended'; readonly message: string }
  | {
      readonly kind: 'verdict'
      /** `stopped`: it did not come to its end; what was found until then is told. */
      readonly verdict: 'clean' | 'damaged' | 'stopped'
      readonly counts: FsckCounts
      readonly faults: number
      /** More than are told one by one. */
      readonly untold: number
      readonly mended: number
      readonly elapsedMs: number
      /** While packs were hashed. */
      readonly bytesPerSecond?: number
    }
