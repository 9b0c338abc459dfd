import type { BranchAddress, CannedAccess, FileEntry, Tag, VersionId } from './model/index.ts'

/** Tags of versions. They stand outside the tree: setting them makes no version and no commit. */
export interface ObjectTags {
  /** False while no version of the whole store has a tag: what asks often need not ask. */
  readonly some: boolean
  /** In the order they were given; none at all for a version that has none. */
  of(version: VersionId): Promise<readonly Tag[]>
  /**
   * In place of those it has; none to remove them. Throws RepoNotFound, BranchNotFound, ReadOnly: also where the version is one of a
   * protected branch, which `at` shows too.
   */
  replace(at: BranchAddress, file: Pick<FileEntry, 'path' | 'version'>, tags: readonly Tag[]): Promise<void>
}

/** Who besides the users with a role may use a branch or a version. What that means at a door, the door decides. */
export interface Sharing {
  /** False while nothing of the whole store was ever shared. */
  readonly some: boolean
  /** Throws RepoNotFound, BranchNotFound. */
  ofBranch(at: BranchAddress): Promise<CannedAccess>
  ofVersion(version: VersionId): Promise<CannedAccess>
  shareBranch(at: BranchAddress, access: CannedAccess): Promise<void>
  /** Throws as `ObjectTags.replace`. */
  shareVersion(at: BranchAddress, file: Pick<FileEntry, 'path' | 'version'>, access: CannedAccess): Promise<void>
}

/** Which pages in a browser may read or write a branch: a rule of the CORS configuration, kept for the door that serves it. */
export interface CrossOriginRule {
  readonly id?: string
  readonly origins: readonly string[]
  readonly methods: readonly string[]
  readonly headers: readonly string[]
  readonly exposed: readonly string[]
  readonly maxAgeSeconds?: number
}

/** What a branch is set to besides its content; undefined where nothing is set. Throws RepoNotFound, BranchNotFound. */
export interface BranchSettings {
  crossOrigin(at: BranchAddress): Promise<readonly CrossOriginRule[] | undefined>
  setCrossOrigin(at: BranchAddress, rules: readonly CrossOriginRule[] | undefined): Promise<void>
  tags(at: BranchAddress): Promise<readonly Tag[] | undefined>
  setTags(at: BranchAddress, tags: readonly Tag[] | undefined): Promise<void>
}
