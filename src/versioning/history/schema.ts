import type { Generated } from 'kysely'
import type { MigrationSet } from '../../kernel/index.ts'
import { collectedSchema, contentSchema } from '../content/index.ts'
import { letGoSchema } from './let-go.ts'

/** Rows as the queries of this folder see them. Hashes and ids are lower-case hex text, times are ms since 1970, flags 0 and 1. */
export interface Tables {
  store: { key: string; value: Buffer }
  /** `owner`: the canonical id of who made it; null: the root user. `retention`: JSON of what is kept of it; null: everything. */
  repos: { name: string; description: string; created_ms: number; default_branch: string; owner: string | null }
  repo_roles: { repo: string; user: string; role: string }
  branches: BranchRow
  branch_inputs: { branch_id: number; input_branch_id: number; position: number }
  commits: CommitRow & { number: Generated<number> }
  commit_authors: { commit_id: string; name: string }
  provenance: ProvenanceRow
  propagations: { commit_id: string; origin_id: string }
  changes: ChangeRow
  hidden_versions: { branch_id: number; commit_id: string; seq: number; path: string; at_seq: number }
  hidden_runs: { branch_id: number; segment_id: number; path: string; high: number; low: number }
  version_tags: { commit_id: string; seq: number; tags: string }
  version_access: { commit_id: string; seq: number; access: string }
  scratch: { branch_id: number; path: string; area: string; at_ms: number; entry: Buffer }
  dropped_changes: { branch_id: number; from_seq: number }
  uploads: UploadRow
  parts: PartRow
  commit_tags: CommitTagRow
  branch_moves: BranchMoveRow
}

export interface BranchRow {
  id: Generated<number>
  repo: string
  name: string
  /** With the changes above `folded_seq` this is the live view. */
  root: string
  folded_seq: number
  last_seq: number
  open_commit: string | null
  /** Newest sealed commit: the parent of the next one. */
  tip: string | null
  /** Newest finished commit. */
  head: string | null
  /** How many commits were made on it. */
  ordinals: number
  created_ms: number
  bucket: string
  /** The pipeline whose output it is. */
  pipeline: string | null
  paused: number
  /** `transaction`: isolated until it is finished on the branch `onto`; never listed as a branch. */
  kind: Generated<'branch' | 'transaction'>
  onto: number | null
  /** The commit that a transaction was opened on. */
  base_commit: string | null
  /** Changes above this seq are shown with version ids, those up to it as `null`; null: versioning was never enabled. */
  versioned_from: Generated<number | null>
  /** The commit that holds what was there when versioning was enabled: the `null` versions. Null: enabled from the beginning, or never. */
  unversioned: string | null
  /** JSON of the batch rules that differ from the server's. */
  batch_rules: string | null
  /** JSON of the bucket's CORS rules. */
  cors: string | null
  /** JSON of the bucket's own tags. */
  tags: string | null
  /** Who besides its users may use it; null: nobody. */
  access: Generated<string | null>
  /** Of a transaction: what was deleted by its id on the branch up to this number is deleted in it too. */
  hidden_to: Generated<number | null>
  /** 1: nothing is written to it but by merges. */
  protected: Generated<number>
}

export interface ChangeRow {
  branch_id: number
  seq: number
  commit_id: string
  path: string
  at_ms: number
  entry: Buffer | null
  /**
   * Where the version that this change shows has another id than `<commit_id>-<seq>`: it came back when a later one was deleted, or was
   * written in a transaction. Seq 0 of no commit: nothing is there any more, and there is no marker that says so.
   */
  of_commit: string | null
  of_seq: number | null
  /** 0: not a version of its own, but an earlier one that came back. */
  listed: Generated<number>
  /** 1: written on a condition. */
  conditional: Generated<number>
}

export interface CommitRow {
  id: string
  repo: string
  branch_id: number
  branch: string
  ordinal: number
  /** `batch`: its diff is its changes; `tree`: its tree was given (restore); `derived`: made by a pipeline. */
  kind: 'batch' | 'tree' | 'derived'
  state: 'open' | 'sealed' | 'finished' | 'failed'
  parent: string | null
  root: string
  /** How far folding has come: the tree of the parent plus the changes up to this seq is `root`. */
  folded_seq: number
  /** Its changes are those above `from_seq`, up to and with `last_seq` (set when it is sealed). */
  from_seq: number
  last_seq: number | null
  started_ms: number
  finished_ms: number | null
  files: number
  bytes: number
  message: string
  pinned: number
  pipeline: string | null
  /** JSON of a CommitFailure. */
  failure: string | null
  /** The transaction that it was written in, as `tx-<name>.<branch>`, once that is finished. */
  made_by: string | null
  /** The second parent of a merge. */
  merge_parent: string | null
  /** When it became the head of its branch, and never before those that were it earlier: by it a commit is found by date. Null: it never was. */
  head_ms: number | null
  /** Of a restore: the commit whose tree it took. */
  tree_of: string | null
}

/** A name for a commit that never moves; branches and these share the names of a repo. */
export interface CommitTagRow {
  repo: string
  name: string
  commit_id: string
  created_ms: number
  author: string | null
  message: string
}

/** A branch was pointed at another commit. Its changes above `seq` go on from there; those below belong to the line it left. */
export interface BranchMoveRow {
  branch_id: number
  seq: number
  to_commit: string
  /** What was the newest commit until then. */
  from_commit: string | null
  at_ms: number
  author: string | null
}

export interface ProvenanceRow {
  commit_id: string
  upstream_id: string
  upstream_repo: string
  upstream_branch: string
  direct: number
}

export interface UploadRow {
  id: string
  branch_id: number
  path: string
  attributes: string
  algorithm: string | null
  type: string | null
  author: string | null
  /** The canonical id of the author. */
  initiator: string | null
  created_ms: number
  state: 'open' | 'completed'
  /** JSON of what Complete answered, so that asked again it answers the same. */
  result: string | null
  completed_ms: number | null
  /** JSON of the tags that the object gets. */
  tags: string | null
  /** Who besides the users may read the object. */
  access: string | null
}

export interface PartRow {
  upload_id: string
  number: number
  size: number
  md5: string
  /** The part's content and checksum, encoded as an entry. */
  entry: Buffer
  modified_ms: number
}

const history: readonly string[] = [
  'CREATE TABLE store (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID',
  `CREATE TABLE repos (
    name TEXT PRIMARY KEY, description TEXT NOT NULL, created_ms INTEGER NOT NULL, default_branch TEXT NOT NULL
  ) WITHOUT ROWID`,
  `CREATE TABLE branches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repo TEXT NOT NULL REFERENCES repos (name),
    name TEXT NOT NULL,
    root TEXT NOT NULL,
    folded_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    open_commit TEXT,
    tip TEXT,
    head TEXT,
    ordinals INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    bucket TEXT NOT NULL,
    pipeline TEXT,
    paused INTEGER NOT NULL DEFAULT 0,
    UNIQUE (repo, name)
  )`,
  `CREATE TABLE branch_inputs (
    branch_id INTEGER NOT NULL REFERENCES branches (id),
    input_branch_id INTEGER NOT NULL REFERENCES branches (id),
    position INTEGER NOT NULL,
    PRIMARY KEY (branch_id, input_branch_id)
  ) WITHOUT ROWID`,
  'CREATE INDEX branch_inputs_by_input ON branch_inputs (input_branch_id)',
  `CREATE TABLE commits (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    repo TEXT NOT NULL,
    branch_id INTEGER NOT NULL,
    branch TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('batch', 'tree', 'derived')),
    state TEXT NOT NULL CHECK (state IN ('open', 'sealed', 'finished', 'failed')),
    parent TEXT,
    root TEXT NOT NULL,
    folded_seq INTEGER NOT NULL,
    from_seq INTEGER NOT NULL,
    last_seq INTEGER,
    started_ms INTEGER NOT NULL,
    finished_ms INTEGER,
    files INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    message TEXT NOT NULL,
    pinned INTEGER NOT NULL DEFAULT 0,
    pipeline TEXT,
    failure TEXT
  )`,
  'CREATE UNIQUE INDEX commits_by_branch ON commits (branch_id, ordinal)',
  'CREATE INDEX commits_by_repo ON commits (repo, number)',
  'CREATE INDEX commits_by_repo_branch ON commits (repo, branch, number)',
  // Few, however many commits there are: every pass of the engine looks at them.
  'CREATE INDEX commits_unfinished ON commits (branch_id, ordinal) WHERE finished_ms IS NULL',
  'CREATE TABLE commit_authors (commit_id TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (commit_id, name)) WITHOUT ROWID',
  `CREATE TABLE provenance (
    commit_id TEXT NOT NULL,
    upstream_id TEXT NOT NULL,
    upstream_repo TEXT NOT NULL,
    upstream_branch TEXT NOT NULL,
    direct INTEGER NOT NULL,
    PRIMARY KEY (commit_id, upstream_id)
  ) WITHOUT ROWID`,
  'CREATE INDEX provenance_by_upstream ON provenance (upstream_id)',
  // Which root commits' propagation made an output commit.
  'CREATE TABLE propagations (commit_id TEXT NOT NULL, origin_id TEXT NOT NULL, PRIMARY KEY (commit_id, origin_id)) WITHOUT ROWID',
  'CREATE INDEX propagations_by_origin ON propagations (origin_id)',
  // Kept after folding: they are the versions of the keys.
  `CREATE TABLE changes (
    branch_id INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    commit_id TEXT NOT NULL,
    path TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    entry BLOB,
    PRIMARY KEY (branch_id, seq)
  ) WITHOUT ROWID`,
  'CREATE INDEX changes_by_path ON changes (branch_id, path, seq)',
  `CREATE TABLE uploads (
    id TEXT PRIMARY KEY,
    branch_id INTEGER NOT NULL,
    path TEXT NOT NULL,
    attributes TEXT NOT NULL,
    algorithm TEXT,
    type TEXT,
    author TEXT,
    created_ms INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('open', 'completed')),
    result TEXT,
    completed_ms INTEGER
  ) WITHOUT ROWID`,
  "CREATE INDEX uploads_open ON uploads (branch_id, path, id) WHERE state = 'open'",
  'CREATE INDEX uploads_completed ON uploads (completed_ms) WHERE completed_ms IS NOT NULL',
  `CREATE TABLE parts (
    upload_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    size INTEGER NOT NULL,
    md5 TEXT NOT NULL,
    entry BLOB NOT NULL,
    modified_ms INTEGER NOT NULL,
    PRIMARY KEY (upload_id, number)
  ) WITHOUT ROWID`,
]

/** S3's versions, tags and bucket settings; transactions; scratch files. */
const endpoint: readonly string[] = [
  'ALTER TABLE repos ADD COLUMN owner TEXT',
  // By canonical id; they go with their repo, so that one made again under its name starts without.
  `CREATE TABLE repo_roles (
    repo TEXT NOT NULL, user TEXT NOT NULL, role TEXT NOT NULL CHECK (role IN ('reader', 'writer', 'owner')),
    PRIMARY KEY (user, repo)
  ) WITHOUT ROWID`,
  'CREATE INDEX repo_roles_by_repo ON repo_roles (repo)',
  "ALTER TABLE branches ADD COLUMN kind TEXT NOT NULL DEFAULT 'branch' CHECK (kind IN ('branch', 'transaction'))",
  'ALTER TABLE branches ADD COLUMN onto INTEGER',
  'ALTER TABLE branches ADD COLUMN base_commit TEXT',
  // Stores of before version 2 showed every change with its id.
  'ALTER TABLE branches ADD COLUMN versioned_from INTEGER DEFAULT 0',
  'ALTER TABLE branches ADD COLUMN unversioned TEXT',
  'ALTER TABLE branches ADD COLUMN batch_rules TEXT',
  'ALTER TABLE branches ADD COLUMN cors TEXT',
  'ALTER TABLE branches ADD COLUMN tags TEXT',
  'ALTER TABLE changes ADD COLUMN of_commit TEXT',
  'ALTER TABLE changes ADD COLUMN of_seq INTEGER',
  'ALTER TABLE changes ADD COLUMN listed INTEGER NOT NULL DEFAULT 1',
  'ALTER TABLE changes ADD COLUMN conditional INTEGER NOT NULL DEFAULT 0',
  'ALTER TABLE uploads ADD COLUMN tags TEXT',
  'ALTER TABLE uploads ADD COLUMN initiator TEXT',
  // Newest first, as versions are listed: so that a page is read in order.
  'DROP INDEX changes_by_path',
  'CREATE INDEX changes_by_path ON changes (branch_id, path, seq DESC)',
  'CREATE INDEX changes_by_other_id ON changes (branch_id, of_commit, of_seq) WHERE of_commit IS NOT NULL AND listed = 1',
  // Deleted by their id in this branch; the change rows and the commits stay. Commits that end below `at_seq` know nothing of it.
  `CREATE TABLE hidden_versions (
    branch_id INTEGER NOT NULL, commit_id TEXT NOT NULL, seq INTEGER NOT NULL, path TEXT NOT NULL, at_seq INTEGER NOT NULL,
    PRIMARY KEY (branch_id, path, commit_id, seq)
  ) WITHOUT ROWID`,
  // Those that follow one another in the changes of one branch, to be jumped over.
  `CREATE TABLE hidden_runs (
    branch_id INTEGER NOT NULL, segment_id INTEGER NOT NULL, path TEXT NOT NULL, high INTEGER NOT NULL, low INTEGER NOT NULL,
    PRIMARY KEY (branch_id, segment_id, path, high)
  ) WITHOUT ROWID`,
  'CREATE TABLE version_tags (commit_id TEXT NOT NULL, seq INTEGER NOT NULL, tags TEXT NOT NULL, PRIMARY KEY (commit_id, seq)) WITHOUT ROWID',
  // What jobs leave behind them on the way (`_temporary/` and its like): readable, and outside commits and versions.
  `CREATE TABLE scratch (
    branch_id INTEGER NOT NULL, path TEXT NOT NULL, area TEXT NOT NULL, at_ms INTEGER NOT NULL, entry BLOB NOT NULL,
    PRIMARY KEY (branch_id, path)
  ) WITHOUT ROWID`,
  'CREATE INDEX scratch_by_area ON scratch (branch_id, area, at_ms)',
  // The transaction that made a commit of a branch, so that finishing it asked again is known.
  'ALTER TABLE commits ADD COLUMN made_by TEXT',
  'CREATE INDEX commits_by_transaction ON commits (repo, made_by) WHERE made_by IS NOT NULL',
  // Branches (of ended transactions) whose changes are removed bit by bit.
  'CREATE TABLE dropped_changes (branch_id INTEGER PRIMARY KEY) WITHOUT ROWID',
  // Who besides its users may use a branch or a version; null: nobody.
  'ALTER TABLE branches ADD COLUMN access TEXT',
  'ALTER TABLE uploads ADD COLUMN access TEXT',
  'CREATE TABLE version_access (commit_id TEXT NOT NULL, seq INTEGER NOT NULL, access TEXT NOT NULL, PRIMARY KEY (commit_id, seq)) WITHOUT ROWID',
  // Renames that were done under a token, so that one asked again is not done twice.
  `CREATE TABLE rename_tokens (
    branch_id INTEGER NOT NULL, token TEXT NOT NULL, source TEXT NOT NULL, path TEXT NOT NULL,
    commit_id TEXT NOT NULL, seq INTEGER NOT NULL, at_ms INTEGER NOT NULL, PRIMARY KEY (branch_id, token)
  ) WITHOUT ROWID`,
  'CREATE INDEX rename_tokens_by_time ON rename_tokens (at_ms)',
]

/** Merges, tags of commits, protected branches, and what is kept. */
const graph: readonly string[] = [
  'ALTER TABLE commits ADD COLUMN merge_parent TEXT',
  'ALTER TABLE branches ADD COLUMN protected INTEGER NOT NULL DEFAULT 0 CHECK (protected IN (0, 1))',
  `CREATE TABLE commit_tags (
    repo TEXT NOT NULL, name TEXT NOT NULL, commit_id TEXT NOT NULL, created_ms INTEGER NOT NULL, author TEXT, message TEXT NOT NULL,
    PRIMARY KEY (repo, name)
  ) WITHOUT ROWID`,
  'CREATE INDEX commit_tags_by_commit ON commit_tags (commit_id)',
  'ALTER TABLE repos ADD COLUMN retention TEXT',
  ...collectedSchema,
  // Commits that no branch and no tag leads to, and when that was first seen.
  'CREATE TABLE unreachable_commits (commit_id TEXT PRIMARY KEY, since_ms INTEGER NOT NULL) WITHOUT ROWID',
  // Where a branch was pointed at another commit: its changes from `seq` on follow `to_commit`, and not what was there before.
  `CREATE TABLE branch_moves (
    branch_id INTEGER NOT NULL, seq INTEGER NOT NULL, to_commit TEXT NOT NULL, from_commit TEXT, at_ms INTEGER NOT NULL, author TEXT,
    PRIMARY KEY (branch_id, seq)
  ) WITHOUT ROWID`,
]

/** Finding commits by time, and what came onto a branch as a tree. */
const lookingBack: readonly string[] = [
  'ALTER TABLE commits ADD COLUMN head_ms INTEGER',
  'ALTER TABLE commits ADD COLUMN tree_of TEXT',
  'ALTER TABLE branches ADD COLUMN hidden_to INTEGER',
  'CREATE INDEX hidden_versions_by_number ON hidden_versions (branch_id, at_seq)',
  // Of older stores: a clock that went back counts as having stood still.
  `UPDATE commits SET head_ms = w.head_ms FROM (
     SELECT number, max(finished_ms) OVER (PARTITION BY branch_id ORDER BY ordinal) AS head_ms FROM commits WHERE state = 'finished'
   ) AS w WHERE w.number = commits.number`,
  'CREATE INDEX commits_by_head_time ON commits (branch_id, head_ms, ordinal) WHERE head_ms IS NOT NULL',
  'CREATE INDEX commits_by_repo_time ON commits (repo, head_ms, number) WHERE head_ms IS NOT NULL',
  // Few among many: what they changed is no list of changes.
  "CREATE INDEX commits_as_trees ON commits (branch_id, ordinal) WHERE kind <> 'batch'",
]

/** A branch that is deleted may leave its finished changes behind: only those above a number go, bit by bit. */
const slices: readonly string[] = ['ALTER TABLE dropped_changes ADD COLUMN from_seq INTEGER NOT NULL DEFAULT 0']

/** The metadata of repos, branches, commits and content. */
export const versioningMigrations: MigrationSet = {
  floor: 'versioning',
  migrations: [
    { version: 1, up: [...contentSchema, ...history] },
    { version: 2, up: endpoint },
    { version: 3, up: [...graph, ...lookingBack, ...slices] },
    { version: 4, up: letGoSchema },
  ],
}
