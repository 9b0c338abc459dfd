import { MIN_COMMIT_PREFIX, type Queries } from '../../kernel/index.ts'
import {
  AmbiguousCommit,
  type BranchName,
  type CommitId,
  CommitNotFound,
  type CommitRef,
  isCommitPrefix,
  isTransactionName,
  parseBranchName,
  type RepoName,
  RepoNotFound,
  splitTransaction,
  type Target,
  transactionBranch,
} from '../model/index.ts'
import { missing } from './branches.ts'
import { unavailable } from './commits.ts'
import { readTag } from './graph/commit-tag-rows.ts'
import type { StoredCommitTags } from './graph/commit-tags.ts'
import { commitAt } from './log/commit-times.ts'
import { parseRevision } from './log/revision.ts'

/** Candidates named in an AmbiguousCommit. */
const MAX_CANDIDATES = 10

/** What knows whether a name in a branch's place is a tag. */
type TagFinder = Pick<StoredCommitTags, 'find'>

interface Candidate {
  readonly id: string
  readonly repo: string
  readonly state: 'open' | 'sealed' | 'finished' | 'failed'
  readonly failure: string | null
  readonly kind: string
}

/**
 * What a bucket means. A branch is not looked up here: whatever is done with it will find out, in one statement, and names never
 * stand for a branch and a commit at once.
 */
export async function resolveTarget(
  queries: Queries,
  tags: TagFinder,
  repo: RepoName,
  name: string | undefined,
): Promise<Target> {
  if (name !== undefined && isTransactionName(name)) return resolveTransaction(queries, tags, repo, name)
  if (name === undefined) {
    const row = await queries.get<{ default_branch: string }>('SELECT default_branch FROM repos WHERE name = ?', [repo])
    if (!row) throw new RepoNotFound(repo)
    return { kind: 'branch', repo, branch: row.default_branch as BranchName }
  }
  if (!isCommitPrefix(name)) {
    const branch = parseBranchName(name)
    const tagged = await tags.find(repo, branch)
    return tagged === undefined ? { kind: 'branch', repo, branch } : { kind: 'commit', repo, commit: tagged }
  }
  const { commit, via } = await findInRepo(queries, repo, name)
  if (commit.state !== 'finished') throw unavailable(commit, via)
  return { kind: 'commit', repo, commit: commit.id as CommitId }
}

/** `tx-<name>` is on the default branch. */
async function resolveTransaction(queries: Queries, tags: TagFinder, repo: RepoName, text: string): Promise<Target> {
  const { name, onto } = splitTransaction(text)
  if (onto !== undefined) return { kind: 'branch', repo, branch: transactionBranch(name, onto) }
  const target = await resolveTarget(queries, tags, repo, undefined)
  if (target.kind !== 'branch') throw new RepoNotFound(repo)
  return { kind: 'branch', repo, branch: transactionBranch(name, target.branch) }
}

/** A commit of the repo by its own id, else the one that another repo's commit led to. */
async function findInRepo(
  queries: Queries,
  repo: RepoName,
  prefix: string,
): Promise<{ commit: Candidate; via: 'own' | 'propagation' }> {
  if (!(await queries.get('SELECT 1 FROM repos WHERE name = ?', [repo]))) throw new RepoNotFound(repo)
  const all = await byPrefix(queries, prefix)
  const own = all.filter((commit) => commit.repo === repo)
  if (own.length > 0) return { commit: theOne(own, prefix), via: 'own' }
  // Of other repos nothing is told that the caller did not say, not even whether they have such a commit.
  const nothing = () =>
    new CommitNotFound(`${repo} has no commit that begins with ${prefix}, and none that was made by one`, {
      commit: prefix,
    })
  const foreign = all.find((commit) => commit.id === prefix) ?? (all.length === 1 ? all[0] : undefined)
  if (!foreign) throw all.length === 0 ? nothing() : await ambiguousAbroad(queries, repo, prefix, all, nothing)
  const made = await madeBy(queries, repo, foreign.id as CommitId)
  if (made.length === 0) throw nothing()
  if (made.length > 1) throw ambiguous(`the commit ${prefix} led to several commits of ${repo}`, made)
  return { commit: made[0]!, via: 'propagation' }
}

/** Of several commits of other repos those count that led to one of this repo. */
async function ambiguousAbroad(
  queries: Queries,
  repo: RepoName,
  prefix: string,
  all: readonly Candidate[],
  nothing: () => CommitNotFound,
): Promise<CommitNotFound | AmbiguousCommit> {
  for (const { id } of all) {
    const made = await madeBy(queries, repo, id as CommitId)
    if (made.length > 0) return ambiguous(`several commits begin with ${prefix}, and led to`, made)
  }
  return nothing()
}

async function byPrefix(queries: Queries, prefix: string): Promise<readonly Candidate[]> {
  return queries.all<Candidate>(
    'SELECT id, repo, state, failure, kind FROM commits WHERE id >= ? AND id < ? ORDER BY number LIMIT ?',
    [prefix, `${prefix}g`, MAX_CANDIDATES],
  )
}

/**
 * The commits of a repo that a commit's own propagation made, one for each branch: where the same inputs were computed again (a rerun,
 * a new spec), the newest stands for all.
 */
async function madeBy(queries: Queries, repo: RepoName, commit: CommitId): Promise<readonly Candidate[]> {
  return queries.all<Candidate>(
    `SELECT c.id, c.repo, c.state, c.failure, c.kind FROM commits AS c WHERE c.number IN (
       SELECT max(c.number) FROM propagations AS made CROSS JOIN commits AS c ON c.id = made.commit_id
       WHERE made.origin_id IN (
           SELECT ? UNION SELECT origin_id FROM propagations WHERE commit_id = ?
         ) AND c.repo = ?
         AND EXISTS (SELECT 1 FROM provenance AS p WHERE p.commit_id = c.id AND p.upstream_id = ?)
       GROUP BY c.branch_id) ORDER BY c.number LIMIT ?`,
    [commit, commit, repo, commit, MAX_CANDIDATES],
  )
}

function theOne(candidates: readonly Candidate[], prefix: string): Candidate {
  const exact = candidates.find((candidate) => candidate.id === prefix)
  if (exact) return exact
  if (candidates.length > 1) throw ambiguous(`several commits begin with ${prefix}`, candidates)
  return candidates[0]!
}

function ambiguous(what: string, candidates: readonly Candidate[]): AmbiguousCommit {
  const commits = candidates.map(({ repo, id }) => `${repo}@${id}`)
  return new AmbiguousCommit(`${what}: ${commits.join(', ')}`, { commits })
}

/** By full id or unambiguous prefix, in any repo. */
export async function findCommit(queries: Queries, id: string): Promise<CommitRef> {
  if (!isCommitPrefix(id)) {
    throw new CommitNotFound(
      `${JSON.stringify(id)} is not a commit id or a prefix of at least ${MIN_COMMIT_PREFIX} digits`,
    )
  }
  const found = await byPrefix(queries, id)
  if (found.length === 0) throw new CommitNotFound(`no commit begins with ${id}`, { commit: id })
  const one = theOne(found, id)
  return { repo: one.repo as RepoName, commit: one.id as CommitId }
}

/** What `Versioning` says a revision is. Throws CommitNotFound, AmbiguousCommit, RepoNotFound, BranchNotFound, InvalidInput (of a time). */
export async function resolveRevision(queries: Queries, repo: RepoName, revision: string): Promise<CommitId> {
  const { base, atMs, back } = parseRevision(revision)
  const newest = await baseCommit(queries, repo, base ?? (await defaultBranch(queries, repo)))
  const from = atMs === undefined ? newest : await commitAt(queries, newest, atMs)
  if (from === undefined) {
    throw new CommitNotFound(
      `${repo}@${revision}: there was no finished commit yet at ${new Date(atMs!).toISOString()}`,
      { repo, revision },
    )
  }
  return back === 0 ? from : commitsBack(queries, from, back, `${repo}@${revision}`)
}

/** So many first parents back: one statement, whatever the number. */
async function commitsBack(queries: Queries, from: CommitId, back: number, name: string): Promise<CommitId> {
  const row = await queries.get<{ depth: number; id: string }>(
    `WITH RECURSIVE line (depth, id, parent) AS (
       SELECT 0, id, parent FROM commits WHERE id = ?
       UNION ALL SELECT line.depth + 1, c.id, c.parent FROM line CROSS JOIN commits AS c ON c.id = line.parent WHERE line.depth < ?
     ) SELECT depth, id FROM line ORDER BY depth DESC LIMIT 1`,
    [from, back],
  )
  if (row?.depth === back) return row.id as CommitId
  throw new CommitNotFound(`${name}: ${row?.id ?? from} has no parent`, { commit: row?.id ?? from })
}

async function defaultBranch(queries: Queries, repo: RepoName): Promise<string> {
  const row = await queries.get<{ default_branch: string }>('SELECT default_branch FROM repos WHERE name = ?', [repo])
  if (!row) throw new RepoNotFound(repo)
  return row.default_branch
}

async function baseCommit(queries: Queries, repo: RepoName, base: string): Promise<CommitId> {
  if (isCommitPrefix(base)) return (await findInRepo(queries, repo, base)).commit.id as CommitId
  const branch = parseBranchName(base)
  const row = await queries.get<{ head: string | null }>('SELECT head FROM branches WHERE repo = ? AND name = ?', [
    repo,
    branch,
  ])
  if (!row) {
    const tag = await readTag(queries, repo, branch)
    if (tag) return tag.commit_id as CommitId
    throw await missing(queries, { repo, branch })
  }
  if (row.head) return row.head as CommitId
  throw new CommitNotFound(`${repo}@${branch} has no finished commit yet`, { repo, branch })
}
