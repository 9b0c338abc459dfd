import type { Selectable } from 'kysely'
import type { Database, Queries, Transaction } from '../../kernel/index.ts'
import {
  type Branch,
  type BranchAddress,
  BranchExists,
  type BranchId,
  type BranchName,
  BranchNotFound,
  CONTROL_FOLDER,
  type CommitId,
  CommitNotFound,
  InvalidName,
  isControlPath,
  ReadOnly,
  type Repo,
  RepoExists,
  type RepoInfo,
  type RepoName,
  RepoNotFound,
  TagExists,
} from '../model/index.ts'
import { EMPTY_TREE } from '../tree/index.ts'
import { readBatchRules } from './batches/batch-rules.ts'
import { unavailable } from './commits.ts'
import { readTag } from './graph/commit-tag-rows.ts'
import { setRole } from './repo-roles.ts'
import type { BranchRow, Tables } from './schema.ts'

type StoredBranch = Selectable<BranchRow>

/** The error of a write to a branch that takes none, or undefined. */
export function readOnlyReason(
  at: BranchAddress,
  branch: { readonly pipeline: string | null; readonly protected: number },
  by: 'merge' | 'write' = 'write',
): ReadOnly | undefined {
  if (branch.protected === 1 && by === 'write') {
    return new ReadOnly(
      `${at.repo}@${at.branch} is protected: only merges change it; write to another branch and merge that, or have an owner take the protection off`,
      { repo: at.repo, branch: at.branch, protected: true },
    )
  }
  if (branch.pipeline === null) return undefined
  return new ReadOnly(
    `${at.repo}@${at.branch} is the output of pipeline ${branch.pipeline} and is written by its jobs alone; write to one of its inputs`,
    { repo: at.repo, branch: at.branch, pipeline: branch.pipeline },
  )
}

/** The error of a write to the control folder, or undefined. */
export function controlReason(path: string): ReadOnly | undefined {
  if (!isControlPath(path)) return undefined
  return new ReadOnly(
    `${CONTROL_FOLDER} is the control folder of every bucket and can't be written: choose another key`,
    { path },
  )
}

/** The row of a branch that may be written to, or set, which the protection of its files leaves alone. Throws RepoNotFound, BranchNotFound, ReadOnly. */
export async function writableBranch(
  tx: Transaction,
  at: BranchAddress,
  what: 'files' | 'settings' = 'files',
): Promise<{ readonly id: number; readonly open_commit: string | null }> {
  const row = await tx.get<{ id: number; open_commit: string | null; pipeline: string | null; protected: number }>(
    'SELECT id, open_commit, pipeline, protected FROM branches WHERE repo = ? AND name = ?',
    [at.repo, at.branch],
  )
  if (!row) throw await missing(tx, at)
  const refused = readOnlyReason(at, what === 'files' ? row : { ...row, protected: 0 })
  if (refused) throw refused
  return row
}

/** Makes a repo without branches. Throws RepoExists. */
export async function createRepo(
  db: Database,
  name: RepoName,
  input: { description?: string; owner?: string; nowMs: number; defaultBranch: BranchName; versioned: boolean },
): Promise<Repo> {
  await db.write(async (tx) => {
    if (await tx.get('SELECT 1 FROM repos WHERE name = ?', [name])) throw new RepoExists(name)
    await insertRepo(tx, name, input)
    // A repo without a branch could not be listed as a bucket.
    await insertBranch(
      tx,
      { repo: name, branch: input.defaultBranch },
      { nowMs: input.nowMs, bucket: `${input.defaultBranch}.${name}`, versioned: input.versioned },
    )
  })
  return getRepo(db, name)
}

/** Makes the branch, and its repo, where they are missing. Returns whether it was made. */
export async function ensureBranch(
  tx: Transaction,
  at: BranchAddress,
  input: {
    nowMs: number
    bucket: string
    from?: CommitId
    versioned: boolean
    owner?: string
    repo?: 'new' | 'existing'
  },
): Promise<boolean> {
  const repoIsThere = (await tx.get('SELECT 1 FROM repos WHERE name = ?', [at.repo])) !== undefined
  if (repoIsThere && input.repo === 'new') throw new RepoExists(at.repo)
  if (!repoIsThere && input.repo === 'existing') throw new RepoNotFound(at.repo)
  if (await tx.get('SELECT 1 FROM branches WHERE repo = ? AND name = ?', [at.repo, at.branch])) {
    if (input.from !== undefined) throw new BranchExists(at.repo, at.branch)
    return false
  }
  if (repoIsThere && (await readTag(tx, at.repo, at.branch))) throw new TagExists(at.repo, at.branch)
  if (!repoIsThere) {
    const owner = input.owner === undefined ? {} : { owner: input.owner }
    await insertRepo(tx, at.repo, { nowMs: input.nowMs, defaultBranch: at.branch, ...owner })
  }
  await insertBranch(tx, at, input)
  return true
}

async function insertRepo(
  tx: Transaction,
  name: RepoName,
  input: { description?: string; owner?: string; nowMs: number; defaultBranch: BranchName },
): Promise<void> {
  // Not a rule of all names: a repo of an older store may have one.
  if (name.startsWith('tx-')) {
    throw new InvalidName(
      `a new repo can't be named ${name}: buckets that begin with tx- are transactions, as in ${name}.<branch>.<repo>`,
      { name },
    )
  }
  await tx.run('INSERT INTO repos (name, description, created_ms, default_branch, owner) VALUES (?, ?, ?, ?, ?)', [
    name,
    input.description ?? '',
    input.nowMs,
    input.defaultBranch,
    input.owner ?? null,
  ])
  if (input.owner !== undefined) await setRole(tx, name, input.owner, 'owner')
}

async function insertBranch(
  tx: Transaction,
  at: BranchAddress,
  input: { nowMs: number; bucket: string; from?: CommitId; versioned: boolean },
): Promise<void> {
  let root: string = EMPTY_TREE
  if (input.from !== undefined) {
    const from = await tx.get<{
      id: string
      repo: string
      root: string
      state: string
      failure: string | null
      kind: string
    }>('SELECT id, repo, root, state, failure, kind FROM commits WHERE id = ? AND repo = ?', [input.from, at.repo])
    if (!from) throw new CommitNotFound(`repo ${at.repo} has no commit ${input.from}`, { commit: input.from })
    if (from.state !== 'finished') throw unavailable(from, 'own')
    root = from.root
  }
  const from = input.from ?? null
  await tx.run(
    `INSERT INTO branches (repo, name, root, folded_seq, last_seq, tip, head, ordinals, created_ms, bucket, versioned_from)
     VALUES (?, ?, ?, 0, 0, ?, ?, 0, ?, ?, ?)`,
    [at.repo, at.branch, root, from, from, input.nowMs, input.bucket, input.versioned ? 0 : null],
  )
}

/** Throws RepoNotFound, BranchNotFound. */
export async function getBranch(queries: Queries, at: BranchAddress): Promise<Branch> {
  const row = await queries
    .kysely<Tables>()
    .selectFrom('branches')
    .selectAll()
    .where('repo', '=', at.repo)
    .where('name', '=', at.branch)
    .executeTakeFirst()
  if (!row) throw await missing(queries, at)
  return branchOf(row)
}

/** By name, without transactions. Throws RepoNotFound. */
export async function listBranches(queries: Queries, repo?: RepoName): Promise<readonly Branch[]> {
  let select = queries
    .kysely<Tables>()
    .selectFrom('branches')
    .selectAll()
    .where('kind', '=', 'branch')
    .orderBy('repo')
    .orderBy('name')
  if (repo !== undefined) select = select.where('repo', '=', repo)
  const rows = await select.execute()
  if (rows.length === 0 && repo !== undefined) await getRepo(queries, repo)
  return rows.map(branchOf)
}

/** RepoNotFound or BranchNotFound, whichever it is. */
export async function missing(queries: Queries, at: BranchAddress): Promise<RepoNotFound | BranchNotFound> {
  const repo = await queries.get('SELECT 1 FROM repos WHERE name = ?', [at.repo])
  if (!repo) return new RepoNotFound(at.repo)
  return new BranchNotFound(at.repo, at.branch, (await readTag(queries, at.repo, at.branch)) !== undefined)
}

function branchOf(row: StoredBranch): Branch {
  const readOnly = readOnlyReason({ repo: row.repo as RepoName, branch: row.name as BranchName }, row)
  return {
    id: row.id as BranchId,
    repo: row.repo as RepoName,
    name: row.name as BranchName,
    ...(row.head ? { head: row.head as CommitId } : {}),
    ...(row.open_commit ? { openCommit: row.open_commit as CommitId } : {}),
    createdMs: row.created_ms,
    bucket: row.bucket,
    ...(readOnly ? { readOnly: readOnly.message } : {}),
    derived: row.pipeline !== null,
    protected: row.protected === 1,
    batchRules: readBatchRules(row.batch_rules),
  }
}

/** Throws RepoNotFound. */
export async function getRepo(queries: Queries, name: RepoName): Promise<RepoInfo> {
  const [repo] = await readRepos(queries, name)
  if (!repo) throw new RepoNotFound(name)
  return repo
}

/** By name; all, or only this one. */
export async function readRepos(queries: Queries, only?: RepoName): Promise<readonly RepoInfo[]> {
  const rows = await queries.all<{
    name: string
    description: string
    created_ms: number
    default_branch: string
    branches: string
    derived: number
    files: number | null
    bytes: number | null
  }>(
    `SELECT r.name, r.description, r.created_ms, r.default_branch,
            (SELECT json_group_array(name ORDER BY name) FROM branches WHERE repo = r.name AND kind = 'branch') AS branches,
            EXISTS (SELECT 1 FROM branches WHERE repo = r.name AND pipeline IS NOT NULL) AS derived, c.files, c.bytes
     FROM repos AS r LEFT JOIN branches AS b ON b.repo = r.name AND b.name = r.default_branch
     LEFT JOIN commits AS c ON c.id = b.head
     ${only === undefined ? '' : 'WHERE r.name = ?'} ORDER BY r.name`,
    only === undefined ? [] : [only],
  )
  return rows.map((row) => ({
    name: row.name as RepoName,
    description: row.description,
    createdMs: row.created_ms,
    defaultBranch: row.default_branch as BranchName,
    derived: row.derived === 1,
    branches: JSON.parse(row.branches) as BranchName[],
    sizeBytes: row.bytes ?? 0,
    files: row.files ?? 0,
  }))
}
